//! One TOML table as its reader sees it: keys asked for by name and type, with defaults.
//!
//! Owns: the table's shape, and finding unknown keys: those that the reader has not asked for when
//! it is done. A wrong value is reported and replaced by its default, so that one run finds all
//! mistakes. May touch: nothing outside this room. Next: [`super::values`] has the typed keys; the
//! files of the tables use both.

use super::{
    Place,
    document::{ConfigText, Stray},
    shape::Shape,
    tree::{KeyAndValue, Span, TextValue, Value, ValueKind},
};
use std::{cell::Cell, iter::zip, ops::Deref, rc::Rc};

/// One table while it is read.
pub(super) struct Table<'d> {
    /// Where findings go.
    pub(super) document: &'d ConfigText<'d>,
    entries: &'d [KeyAndValue],
    /// The table's place: its header, or all of it if it is inline.
    pub(super) span: Span,
    shape: Rc<Shape>,
    /// Which of the entries were asked for.
    asked: Vec<Cell<bool>>,
}

impl<'d> Table<'d> {
    /// The whole file.
    pub(super) fn top(document: &'d ConfigText<'d>) -> Self {
        Self::new(document, document.entries(), 0..0, Rc::clone(document.shape()))
    }

    fn new(
        document: &'d ConfigText<'d>,
        entries: &'d [KeyAndValue],
        span: Span,
        shape: Rc<Shape>,
    ) -> Self {
        Self { document, entries, span, shape, asked: vec![Cell::new(false); entries.len()] }
    }

    /// For messages, as `[upstream.app]`; empty at the top.
    pub(super) fn label(&self) -> &str {
        &self.shape.label
    }

    /// Whether nothing is written in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key. From now on the key is a known one.
    pub(super) fn value(&self, key: &'static str) -> Option<&'d Value> {
        let at = self.entries.iter().position(|entry| entry.key == key);
        self.shape.ask(key, at.is_some());
        let at = at?;
        self.asked[at].set(true);
        // The line is broken: what the parser made of it is not what the user wrote.
        Some(&self.entries[at].value).filter(|it| !self.document.is_garbled(&it.span))
    }

    /// Whether a key is written. This does not make it a known one.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The place of a key, or of the table where it is absent.
    pub(super) fn key_span(&self, key: &str) -> Span {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
    }

    /// The place of a key's value, or of the table where it is absent.
    pub(super) fn value_span(&self, key: &str) -> Span {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map_or_else(|| self.span.clone(), |entry| entry.value.span.clone())
    }

    /// Where the table stands.
    pub(super) fn place(&self) -> Place {
        Place { line: self.line(&self.span) as u32 }
    }

    /// Where a key stands, if it is written.
    pub(super) fn place_of(&self, key: &str) -> Place {
        if self.has(key) {
            Place { line: self.line(&self.key_span(key)) as u32 }
        } else {
            Place::default()
        }
    }

    /// Every entry, for tables whose keys are the user's own.
    pub(super) fn free_entries(&self) -> &'d [KeyAndValue] {
        // Then no key of this table is unknown.
        self.asked.iter().for_each(|asked| asked.set(true));
        self.entries
    }

    /// A table below. If it is absent, an empty one, so that its defaults are read.
    pub(super) fn table(&self, key: &'static str) -> Table<'d> {
        self.optional_table(key).unwrap_or_else(|| {
            Table::new(self.document, &[], self.key_span(key), self.shape.table(key))
        })
    }

    /// A table below.
    pub(super) fn optional_table(&self, key: &'static str) -> Option<Table<'d>> {
        let value = self.value(key)?;
        let table = self.table_in(value, || self.shape.table(key));
        if table.is_none() {
            let hint = format!("write `{key} = {{ … }}`");
            self.wrong_kind(key, value, "a table", Some(hint));
        }
        table
    }

    /// The tables of an array, as `[[site]]` or `servers = [{ … }]`; wrong ones are left out.
    pub(super) fn tables(&self, key: &'static str, example: &str) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let hint = || Some(format!("write `{example}`"));
        let ValueKind::Array(values) = &value.kind else {
            // Where a `[[site]]` is broken, `[[site.route]]` makes `site` a plain table.
            let message = format!("`{key}` is an array of tables, not {}", value.kind.describe());
            self.absent(value.span.clone(), message, hint());
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(values.len());
        for value in values {
            match self.table_in(value, || self.shape.element(key)) {
                Some(table) => tables.push(table),
                None => self.wrong_kind(key, value, "an array of tables", hint()),
            }
        }
        tables
    }

    /// A table that may be written several times, `[log]` or `[[log]]`. Each comes with its path in
    /// the file.
    pub(super) fn one_or_several(&self, key: &'static str) -> Vec<(String, Table<'d>)> {
        if !matches!(self.value(key).map(|it| &it.kind), Some(ValueKind::Array(_))) {
            return self.optional_table(key).map(|it| (key.to_owned(), it)).into_iter().collect();
        }
        let tables = self.tables(key, &format!("[[{key}]]")).into_iter().enumerate();
        tables.map(|(at, table)| (format!("{key}[{at}]"), table)).collect()
    }

    /// One value of an array, if it is a table.
    pub(super) fn element(&self, key: &'static str, value: &'d Value) -> Option<Table<'d>> {
        self.table_in(value, || self.shape.element(key))
    }

    /// The tables of a table, by the names that the user gave, as `[upstream.NAME]`.
    pub(super) fn named_tables(&self, key: &'static str) -> Vec<(String, Table<'d>)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let path = if self.label().is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.label().trim_matches(['[', ']']))
        };
        let hint = || Some(format!("write `[{path}.NAME]`, with a name of your own"));
        let ValueKind::Table(entries) = &value.kind else {
            self.wrong_kind(key, value, "a table of tables", hint());
            return Vec::new();
        };
        let mut tables = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.table_in(&entry.value, || self.shape.named(key, &entry.key)) {
                Some(table) => tables.push((entry.key.clone(), table)),
                None => self.error(
                    entry.key_span.clone(),
                    format!("`{}` stands outside of any {key}: every {key} has a name", entry.key),
                    hint(),
                ),
            }
        }
        tables
    }

    fn table_in(&self, value: &'d Value, shape: impl FnOnce() -> Rc<Shape>) -> Option<Table<'d>> {
        let ValueKind::Table(entries) = &value.kind else { return None };
        Some(Table::new(self.document, entries, value.span.clone(), shape()))
    }

    /// A string and its place.
    pub(super) fn text(&self, key: &'static str) -> Option<&'d TextValue> {
        let value = self.value(key)?;
        let text = value.as_text();
        if text.is_none() {
            self.not_a_string(key, value, "a string");
        }
        text
    }

    /// A string that must be there.
    pub(super) fn required_text(&self, key: &'static str, example: &str) -> Option<&'d TextValue> {
        if !self.has(key) {
            self.missing(key, example);
        }
        self.text(key)
    }

    /// A key that must be there is not.
    pub(super) fn missing(&self, key: &'static str, example: &str) {
        let message = format!("{} has no `{key}`", self.label());
        self.document.absent(self.span.clone(), message, Some(format!("add `{key} = {example}`")));
    }

    /// The strings of an array, where the key is written.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<&'d TextValue>> {
        let value = self.value(key)?;
        let ValueKind::Array(values) = &value.kind else {
            let hint = value.as_text().map(|it| format!("write `{key} = [\"{}\"]`", it.value));
            self.wrong_kind(key, value, "an array of strings", hint);
            return None;
        };
        let mut texts = Vec::with_capacity(values.len());
        for value in values {
            match value.as_text() {
                Some(text) => texts.push(text),
                None => self.not_a_string(key, value, "an array of strings"),
            }
        }
        Some(texts)
    }

    /// Reports a value that is no string. If only quotes are missing, the hint says so.
    pub(super) fn not_a_string(&self, key: &str, value: &Value, want: &str) {
        let hint = match value.kind {
            ValueKind::Array(_) | ValueKind::Table(_) => "write one string, in quotes".into(),
            _ => format!("write it in quotes: `\"{}\"`", self.written(&value.span)),
        };
        self.wrong_kind(key, value, want, Some(hint));
    }

    /// A value has another type than its key takes.
    pub(super) fn wrong_kind(&self, key: &str, value: &Value, want: &str, hint: Option<String>) {
        let got = value.kind.describe();
        self.error(value.span.clone(), format!("`{key}` is {want}, not {got}"), hint);
    }
}

/// What is wrong goes to the document.
impl<'d> Deref for Table<'d> {
    type Target = ConfigText<'d>;

    fn deref(&self) -> &ConfigText<'d> {
        self.document
    }
}

/// Unknown keys are found when the reader is done, so no reader can forget to look.
impl Drop for Table<'_> {
    fn drop(&mut self) {
        for (entry, asked) in zip(self.entries, &self.asked) {
            if !asked.get() && !self.document.is_garbled(&entry.key_span) {
                self.document.stray(Stray {
                    key: entry.key.clone(),
                    span: entry.key_span.clone(),
                    shape: Rc::clone(&self.shape),
                });
            }
        }
    }
}

impl Value {
    /// Whether it is an array with nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.kind, ValueKind::Array(values) if values.is_empty())
    }

    /// The string, where it is one.
    pub(super) fn as_text(&self) -> Option<&TextValue> {
        match &self.kind {
            ValueKind::Text(text) => Some(text),
            _ => None,
        }
    }
}
