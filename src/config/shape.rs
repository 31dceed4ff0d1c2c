//! The shape of tables: their name, and the keys that their reader knows.
//!
//! Owns: one shape for all tables of a kind, so that ten thousand sites take no more memory for it
//! than one. May touch: nothing outside this room. Filled by [`super::table`]; [`super::document`]
//! looks at all shapes at the end.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ptr,
    rc::Rc,
};

/// What tables of a kind have in common.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Such as `upstream.*`. The full name of a key has this before it.
    pub(super) pattern: String,
    /// For messages, as `[upstream.app]`; empty at the top.
    pub(super) label: String,
    asked: RefCell<Vec<AskedKey>>,
    below: RefCell<Vec<Below>>,
}

/// A key that was asked for.
#[derive(Debug)]
struct AskedKey {
    key: &'static str,
    /// Whether it is written in at least one of the tables.
    written: bool,
}

#[derive(Debug)]
struct Below {
    key: &'static str,
    kind: ShapeKind,
    shape: Rc<Shape>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShapeKind {
    Table,
    Element,
    /// A table with a name that the user chose; it has a shape of its own.
    Named,
}

/// What was asked for, in all shapes together. Keys are named as `upstream.*.servers[].weight`.
#[derive(Default)]
pub(super) struct Keys {
    /// Everywhere.
    pub(super) asked: BTreeSet<String>,
    /// In the text.
    pub(super) written: BTreeSet<String>,
    /// The tables that know a key of this name: of each kind the first, by pattern and label.
    pub(super) homes: BTreeMap<&'static str, Vec<(String, String)>>,
}

impl Shape {
    /// Notes that the reader of such a table knows a key.
    pub(super) fn ask(&self, key: &'static str, written: bool) {
        let mut asked = self.asked.borrow_mut();
        // Keys are constants, so most can be compared by their address.
        let known = (asked.iter().position(|it| ptr::eq(it.key, key)))
            .or_else(|| asked.iter().position(|it| it.key == key));
        match known {
            Some(known) => asked[known].written |= written,
            None => asked.push(AskedKey { key, written }),
        }
    }

    /// The keys that such a table's reader knows.
    pub(super) fn known(&self) -> Vec<&'static str> {
        self.asked.borrow().iter().map(|it| it.key).collect()
    }

    /// Of the table that is a key's value.
    pub(super) fn table(&self, key: &'static str) -> Rc<Self> {
        self.shared(key, ShapeKind::Table)
    }

    /// Of the tables in a key's array.
    pub(super) fn element(&self, key: &'static str) -> Rc<Self> {
        self.shared(key, ShapeKind::Element)
    }

    /// The shape of the table that is a key's value.
    pub(super) fn named(&self, key: &'static str, name: &str) -> Rc<Self> {
        let path = self.pattern_of(key);
        self.add(key, ShapeKind::Named, format!("{path}.*"), format!("[{path}.{name}]"))
    }

    fn shared(&self, key: &'static str, kind: ShapeKind) -> Rc<Self> {
        let known = |it: &&Below| it.kind == kind && it.key == key;
        if let Some(below) = self.below.borrow().iter().find(known) {
            return Rc::clone(&below.shape);
        }
        let pattern = self.pattern_of(key);
        let (pattern, label) = match (kind, self.label.as_str()) {
            (ShapeKind::Element, "") => (format!("{pattern}[]"), format!("[[{key}]]")),
            (ShapeKind::Element, "[[site]]") => (format!("{pattern}[]"), format!("[[site.{key}]]")),
            (ShapeKind::Element, label) => (format!("{pattern}[]"), format!("`{key}` of {label}")),
            (_, "") => (pattern, format!("[{key}]")),
            (_, label) => (pattern, format!("`{key}` of {label}")),
        };
        self.add(key, kind, pattern, label)
    }

    fn add(&self, key: &'static str, kind: ShapeKind, pattern: String, label: String) -> Rc<Self> {
        let shape = Rc::new(Self { pattern, label, ..Self::default() });
        self.below.borrow_mut().push(Below { key, kind, shape: Rc::clone(&shape) });
        shape
    }

    fn pattern_of(&self, key: &str) -> String {
        if self.pattern.is_empty() { key.to_owned() } else { format!("{}.{key}", self.pattern) }
    }

    /// Everything that was asked for here and below.
    pub(super) fn collect(&self, keys: &mut Keys) {
        for AskedKey { key, written } in &*self.asked.borrow() {
            let homes = keys.homes.entry(key).or_default();
            if !homes.iter().any(|(pattern, _)| *pattern == self.pattern) {
                homes.push((self.pattern.clone(), self.label.clone()));
            }
            if *written {
                keys.written.insert(self.pattern_of(key));
            }
            keys.asked.insert(self.pattern_of(key));
        }
        self.below.borrow().iter().for_each(|below| below.shape.collect(keys));
    }
}
