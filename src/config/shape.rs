//! How tables look that were read: what they are called, and which keys they were asked for.
//!
//! Owns: one shape for all tables of a kind, so that ten thousand sites need no more words than one.
//! May touch: nothing of ours. Made by [`super::table`]; [`super::document`] looks at all of them in
//! the end.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ptr,
    rc::Rc,
};

/// What tables of a kind have in common.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// As `upstream.*`; a key below it is named by both.
    pattern: String,
    /// For messages, as `[upstream.app]`; empty at the top.
    pub(super) label: String,
    asked: RefCell<Vec<Asked>>,
    below: RefCell<Vec<Below>>,
}

/// A key that was asked for.
#[derive(Debug)]
struct Asked {
    key: &'static str,
    /// In one of the tables at least.
    written: bool,
}

#[derive(Debug)]
struct Below {
    key: &'static str,
    kind: Kind,
    shape: Rc<Shape>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    Element,
    /// It has a name of its own, and so a shape.
    Named,
}

/// What was asked for, in all shapes together. Keys are named as `upstream.*.servers[].weight`.
#[derive(Default)]
pub(super) struct Keys {
    /// Everywhere.
    pub(super) asked: BTreeSet<String>,
    /// In the text.
    pub(super) written: BTreeSet<String>,
    /// What the first table is called that was asked for a key of this name.
    pub(super) homes: BTreeMap<&'static str, String>,
}

impl Shape {
    /// A key of such a table was asked for.
    pub(super) fn ask(&self, key: &'static str, written: bool) {
        let mut asked = self.asked.borrow_mut();
        // The words are constants, and mostly the very same ones.
        let known = (asked.iter().position(|it| ptr::eq(it.key, key)))
            .or_else(|| asked.iter().position(|it| it.key == key));
        match known {
            Some(known) => asked[known].written |= written,
            None => asked.push(Asked { key, written }),
        }
    }

    /// The keys that such tables were asked for.
    pub(super) fn known(&self) -> Vec<&'static str> {
        self.asked.borrow().iter().map(|it| it.key).collect()
    }

    /// Of the table that is a key's value.
    pub(super) fn table(&self, key: &'static str) -> Rc<Self> {
        self.shared(key, Kind::Table)
    }

    /// Of the tables in a key's array.
    pub(super) fn element(&self, key: &'static str) -> Rc<Self> {
        self.shared(key, Kind::Element)
    }

    /// Of a table in the table that is a key's value.
    pub(super) fn named(&self, key: &'static str, name: &str) -> Rc<Self> {
        self.add(key, Kind::Named, format!("{key}.*"), format!("[{key}.{name}]"))
    }

    fn shared(&self, key: &'static str, kind: Kind) -> Rc<Self> {
        let known = |it: &&Below| it.kind == kind && it.key == key;
        if let Some(below) = self.below.borrow().iter().find(known) {
            return Rc::clone(&below.shape);
        }
        let pattern = self.pattern_of(key);
        let (pattern, label) = match (kind, self.label.as_str()) {
            (Kind::Element, "") => (format!("{pattern}[]"), format!("[[{key}]]")),
            (Kind::Element, "[[site]]") => (format!("{pattern}[]"), format!("[[site.{key}]]")),
            (Kind::Element, label) => (format!("{pattern}[]"), format!("`{key}` of {label}")),
            (_, "") => (pattern, format!("[{key}]")),
            (_, label) => (pattern, format!("`{key}` of {label}")),
        };
        self.add(key, kind, pattern, label)
    }

    fn add(&self, key: &'static str, kind: Kind, pattern: String, label: String) -> Rc<Self> {
        let shape = Rc::new(Self { pattern, label, ..Self::default() });
        self.below.borrow_mut().push(Below { key, kind, shape: Rc::clone(&shape) });
        shape
    }

    fn pattern_of(&self, key: &str) -> String {
        if self.pattern.is_empty() { key.to_owned() } else { format!("{}.{key}", self.pattern) }
    }

    /// Everything that was asked for here and below.
    pub(super) fn collect(&self, keys: &mut Keys) {
        for Asked { key, written } in &*self.asked.borrow() {
            keys.homes.entry(key).or_insert_with(|| self.label.clone());
            if *written {
                keys.written.insert(self.pattern_of(key));
            }
            keys.asked.insert(self.pattern_of(key));
        }
        self.below.borrow().iter().for_each(|below| below.shape.collect(keys));
    }
}
