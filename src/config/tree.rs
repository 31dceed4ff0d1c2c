//! The TOML text as values with their places, in the order of the file.
//!
//! Owns: the walk over the parser's tree, and filling in `${…}`. May touch: nothing outside this
//! room. Next: [`super::table`] reads keys from these values.

use super::environment::{ReadVariable, Unfilled, expand};
use std::ops::Range;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Bytes of the source.
pub(super) type Span = Range<usize>;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Value {
    /// Where it stands.
    pub(super) span: Span,
    /// What it is.
    pub(super) kind: ValueKind,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum ValueKind {
    /// With every `${…}` filled in.
    Text(TextValue),
    /// `None`: larger than 64 bits.
    Integer(Option<i64>),
    Float(f64),
    Boolean(bool),
    Datetime,
    Array(Vec<Value>),
    Table(Vec<KeyAndValue>),
}

/// A string.
#[derive(Debug, Clone)]
pub(super) struct TextValue {
    /// With every `${…}` filled in.
    pub(super) value: String,
    /// The whole of it, with its quotes.
    pub(super) span: Span,
    /// Where `value` starts in the source, if the source has it without escapes.
    verbatim: Option<usize>,
    /// Whether it had a `${…}`: then it may also stand for a number.
    pub(super) from_environment: bool,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct KeyAndValue {
    pub(super) key: String,
    pub(super) key_span: Span,
    pub(super) value: Value,
}

impl TextValue {
    /// The place of a part of the text, or of all of it if the source has escapes.
    pub(super) fn part(&self, offset: usize, length: usize) -> Span {
        match self.verbatim {
            Some(start) => start + offset..start + offset + length,
            None => self.span.clone(),
        }
    }
}

impl ValueKind {
    /// For messages.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Float(_) => "a fraction",
            Self::Boolean(_) => "a boolean",
            Self::Datetime => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// A key's place and its value's.
#[derive(Clone, Debug)]
pub(super) struct KeyPlace {
    pub(super) key: Span,
    pub(super) value: Span,
}

/// The place at a path such as `site[0].route[2].path`. If it is not there, the nearest place on
/// the way to it, and the rest of the path. `None` if not even the first key is there.
pub(super) fn place<'p>(entries: &[KeyAndValue], path: &'p str) -> Option<(KeyPlace, &'p str)> {
    let found = entries.iter().filter_map(|entry| {
        let rest = path.strip_prefix(entry.key.as_str())?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((entry, rest))
    });
    // Names may have dots in them: the longest name that fits is taken.
    let (entry, rest) = found.max_by_key(|(entry, _)| entry.key.len())?;
    let place = KeyPlace { key: entry.key_span.clone(), value: entry.value.span.clone() };
    Some(entry.value.place(rest).unwrap_or((place, rest)))
}

impl Value {
    /// The same below a value; `path` begins with a dot or an index.
    fn place<'p>(&self, path: &'p str) -> Option<(KeyPlace, &'p str)> {
        match &self.kind {
            ValueKind::Table(entries) => place(entries, path.strip_prefix('.')?),
            ValueKind::Array(values) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let value = values.get(index.parse::<usize>().ok()?)?;
                let place = KeyPlace { key: value.span.clone(), value: value.span.clone() };
                Some(value.place(rest).unwrap_or((place, rest)))
            }
            _ => None,
        }
    }
}

/// Turns the parser's tree into ours.
pub(super) struct Walk<'a> {
    pub(super) source: &'a str,
    pub(super) lookup: ReadVariable<'a>,
    /// Variables that the environment does not have: the string, the place in it, the fault.
    pub(super) unfilled: Vec<(Span, Span, Unfilled)>,
}

impl Walk<'_> {
    /// The entries of a table, in the order of the file.
    pub(super) fn table(&mut self, table: &DeTable<'_>) -> Vec<KeyAndValue> {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let value = self.value(value);
            entries.push(KeyAndValue {
                key: key.get_ref().to_string(),
                key_span: key.span(),
                value,
            });
        }
        entries.sort_by_key(|entry| entry.key_span.start);
        entries
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>) -> Value {
        let span = value.span();
        let kind = match value.get_ref() {
            DeValue::String(text) => ValueKind::Text(self.text(text, span.clone())),
            DeValue::Integer(number) => {
                ValueKind::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Float(text) => ValueKind::Float(text.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(truth) => ValueKind::Boolean(*truth),
            DeValue::Datetime(_) => ValueKind::Datetime,
            DeValue::Array(values) => {
                ValueKind::Array(values.iter().map(|value| self.value(value)).collect())
            }
            DeValue::Table(table) => ValueKind::Table(self.table(table)),
        };
        Value { span, kind }
    }

    fn text(&mut self, text: &str, span: Span) -> TextValue {
        let verbatim = self.verbatim(text, &span);
        if !text.contains("${") {
            return TextValue { value: text.to_owned(), span, verbatim, from_environment: false };
        }
        let (value, faults) = expand(text, self.lookup);
        for fault in faults {
            let place = match verbatim {
                Some(start) => start + fault.offset..start + fault.offset + fault.length,
                None => span.clone(),
            };
            self.unfilled.push((span.clone(), place, fault));
        }
        TextValue { value, span, verbatim: None, from_environment: true }
    }

    /// Where `text` starts within its quotes, if the source has it without escapes.
    fn verbatim(&self, text: &str, span: &Span) -> Option<usize> {
        let written = self.source.get(span.clone())?;
        [1, 3].into_iter().find_map(|quotes| {
            let inside = written.get(quotes..written.len().checked_sub(quotes)?)?;
            (inside == text).then_some(span.start + quotes)
        })
    }
}
