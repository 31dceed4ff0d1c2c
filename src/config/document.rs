//! One config text while it is read: its values, and everything found wrong so far.
//!
//! Owns: parsing with recovery, collecting findings, unknown keys, and looking places up by path
//! for the rules across tables. May touch: nothing outside this room. Next: [`super::table`] reads
//! keys; [`super::parse`] decides from the result of [`ConfigText::finish`].

use super::{
    Diagnostic, Severity,
    environment::ReadVariable,
    nearest::nearest,
    not_yet,
    shape::{Keys, Shape},
    syntax::{self, Sound},
    tree::{KeyAndValue, Span, Walk, place},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    path::{Path, PathBuf},
    rc::Rc,
};
use toml::de::DeTable;

/// One config text while it is read.
pub(super) struct ConfigText<'a> {
    file: &'a Path,
    source: &'a str,
    entries: Vec<KeyAndValue>,
    /// Where each line ends. It is kept because large files ask often.
    line_ends: Vec<usize>,
    /// Lines that are not TOML. Nothing else is reported about them.
    garbled: BTreeSet<usize>,
    /// Strings with a `${…}` that could not be filled in. Nothing else is reported about them.
    unfilled: Vec<Span>,
    found: RefCell<Vec<Diagnostic>>,
    /// Errors and warnings beyond [`MOST`].
    more: [Cell<usize>; 2],
    strays: RefCell<Vec<Stray>>,
    /// Of the table that is the whole file.
    shape: Rc<Shape>,
    errors: Cell<usize>,
}

/// At most so many findings of one severity are reported: a generated file can have the same
/// mistake ten thousand times.
const MOST: usize = 100;

/// A key that nobody asked for.
pub(super) struct Stray {
    pub(super) key: String,
    pub(super) span: Span,
    /// Of the table that it stands in.
    pub(super) shape: Rc<Shape>,
}

/// What remains of a document that was read.
pub(super) struct Finished {
    /// In the order of the file.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Keys that readers asked for, and that the file does not have.
    pub(super) defaulted: BTreeSet<String>,
}

impl<'a> ConfigText<'a> {
    /// Parses `source`. If some lines are broken, the others are kept.
    pub(super) fn parse(source: &'a str, file: &'a Path, lookup: ReadVariable<'a>) -> Self {
        let Sound { text, faults } = syntax::sound(source);
        let (tree, _) = DeTable::parse_recoverable(&text);
        let mut walk = Walk { source, lookup, unfilled: Vec::new() };
        let entries = walk.table(tree.get_ref());
        let unfilled = walk.unfilled;
        let mut document = Self {
            file,
            source,
            entries,
            line_ends: source.match_indices('\n').map(|(at, _)| at).collect(),
            garbled: BTreeSet::new(),
            unfilled: Vec::new(),
            found: RefCell::default(),
            more: Default::default(),
            strays: RefCell::default(),
            shape: Rc::default(),
            errors: Cell::new(0),
        };
        document.garbled = faults.iter().map(|fault| document.line(&fault.span)).collect();
        for fault in faults {
            document.error(fault.span, fault.message, fault.hint);
        }
        let mut strings = Vec::new();
        for (string, span, fault) in unfilled {
            document.error(span, fault.message, Some(fault.hint));
            strings.push(string);
        }
        document.unfilled = strings;
        document
    }

    /// Where relative paths start.
    pub(super) fn directory(&self) -> PathBuf {
        self.file.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// What stands at the top.
    pub(super) fn entries(&self) -> &[KeyAndValue] {
        &self.entries
    }

    /// The shape of the table that is the whole file.
    pub(super) fn shape(&self) -> &Rc<Shape> {
        &self.shape
    }

    /// Reports an error: the config is refused.
    pub(super) fn error(&self, span: Span, message: impl Into<String>, hint: Option<String>) {
        self.errors.set(self.errors.get() + 1);
        self.find(Severity::Error, span, message.into(), hint);
    }

    /// Reports that something is missing, unless the text has broken lines: it may be in one of
    /// them.
    pub(super) fn absent(&self, span: Span, message: impl Into<String>, hint: Option<String>) {
        if self.garbled.is_empty() {
            self.error(span, message, hint);
        }
    }

    /// Reports a warning.
    pub(super) fn warning(&self, span: Span, message: impl Into<String>, hint: Option<String>) {
        self.find(Severity::Warning, span, message.into(), hint);
    }

    fn find(&self, severity: Severity, span: Span, message: String, hint: Option<String>) {
        if self.unfilled.iter().any(|it| it.start <= span.start && span.end <= it.end) {
            return;
        }
        let mut found = self.found.borrow_mut();
        if found.iter().filter(|it| it.severity == severity).count() >= MOST {
            return self.more[severity as usize].update(|it| it + 1);
        }
        found.push(Diagnostic::new(severity, self.file, self.source, span, message, hint));
    }

    /// How many errors there are so far. A reader compares two counts to see if its own part has an
    /// error.
    pub(super) fn errors(&self) -> usize {
        self.errors.get()
    }

    /// Whether the whole text was TOML. Otherwise a key that seems absent may be in a broken line.
    pub(super) fn is_whole(&self) -> bool {
        self.garbled.is_empty()
    }

    /// The place of the value at `path`, or of the nearest table around it.
    pub(super) fn value_at(&self, path: &str) -> Span {
        place(&self.entries, path).map_or(0..0, |(place, _)| place.value)
    }

    /// The place of the key at `path`, or of the nearest table around it.
    pub(super) fn key_at(&self, path: &str) -> Span {
        match place(&self.entries, path) {
            Some((place, "")) => place.key,
            Some((place, _)) => place.value,
            None => 0..0,
        }
    }

    /// The source at a place.
    pub(super) fn written(&self, span: &Span) -> &str {
        self.source.get(span.clone()).unwrap_or_default()
    }

    /// The line number of a place, for a message about another place.
    pub(super) fn line(&self, span: &Span) -> usize {
        self.line_ends.partition_point(|end| *end < span.start) + 1
    }

    /// Nobody asked for this key.
    pub(super) fn stray(&self, stray: Stray) {
        self.strays.borrow_mut().push(stray);
    }

    /// Everything found, in the order of the file.
    pub(super) fn finish(self) -> Finished {
        let mut keys = Keys::default();
        self.shape.collect(&mut keys);
        for stray in self.strays.take() {
            let hint = stray_hint(&stray, &keys);
            let message = match stray.shape.label.as_str() {
                "" => format!("unknown key `{}` at the top level", stray.key),
                table => format!("unknown key `{}` in {table}", stray.key),
            };
            self.error(stray.span, message, Some(hint));
        }
        let mut diagnostics = self.found.take();
        diagnostics.sort_by_key(|it| it.span.start);
        diagnostics.dedup();
        for (severity, more) in [Severity::Error, Severity::Warning].into_iter().zip(self.more) {
            if more.get() > 0 {
                let message = format!("and {} more like these", more.get());
                let end = self.source.len()..self.source.len();
                let last = Diagnostic::new(severity, self.file, self.source, end, message, None);
                diagnostics.push(last);
            }
        }
        Finished { diagnostics, defaulted: keys.asked.difference(&keys.written).cloned().collect() }
    }

    /// Whether the parser gave up on this line.
    pub(super) fn is_garbled(&self, span: &Span) -> bool {
        !self.garbled.is_empty() && self.garbled.contains(&self.line(span))
    }
}

fn home(label: &str) -> String {
    if label.is_empty() { "at the top level".into() } else { format!("in {label}") }
}

fn stray_hint(stray: &Stray, keys: &Keys) -> String {
    if let Some(hint) = not_yet::hint(&stray.key, &stray.shape.pattern) {
        return hint.to_owned();
    }
    let known = stray.shape.known();
    if let Some(word) = nearest(&stray.key, known.iter().copied()) {
        return format!("did you mean `{word}`?");
    }
    if let Some(homes) = keys.homes.get(stray.key.as_str()) {
        let homes: Vec<_> = homes.iter().map(|(_, label)| home(label)).collect();
        return format!("`{}` is known {}", stray.key, homes.join(" and "));
    }
    let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
    format!("known keys are {}", known.join(", "))
}
