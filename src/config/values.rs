//! The typed keys of a table: numbers, durations, sizes, choices, templates.
//!
//! Owns: one method for each type. It reports a wrong value at its place and returns the default.
//! May touch: [`crate::condition`], [`crate::template`], [`crate::units`]. Next: the table files
//! call these.

use super::{
    foreign_variables,
    nearest::did_you_mean,
    table::Table,
    tree::{TextValue, Value, ValueKind},
};
use crate::{
    condition::Condition,
    template::Template,
    units::{self, UnitError},
};
use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

impl<'d> Table<'d> {
    /// A string of the user's own.
    pub(super) fn string(&self, key: &'static str) -> Option<String> {
        self.text(key).map(|text| text.value.clone())
    }

    /// A whole number within `range`; it may come from the environment as a string.
    pub(super) fn number<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        default: T,
        range: RangeInclusive<u64>,
    ) -> T {
        let Some(value) = self.value(key) else { return default };
        self.number_in(key, value, range).and_then(|it| T::try_from(it).ok()).unwrap_or(default)
    }

    /// One value of an array as a whole number within `range`.
    pub(super) fn number_in(
        &self,
        key: &str,
        value: &Value,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let (first, last) = (*range.start(), *range.end());
        let written = match &value.kind {
            ValueKind::Integer(number) => number.and_then(|it| u64::try_from(it).ok()),
            ValueKind::Text(text) if text.from_environment => text.value.trim().parse().ok(),
            kind => {
                let hint = match kind {
                    ValueKind::Text(text) => text.value.trim().parse::<u64>().ok(),
                    _ => None,
                };
                let hint = hint.map_or_else(
                    || format!("write a whole number from {first} to {last}"),
                    |it| format!("write `{it}` without quotes"),
                );
                self.wrong_kind(key, value, "a whole number", Some(hint));
                return None;
            }
        };
        let within = written.filter(|it| range.contains(it));
        if within.is_none() {
            let message = match value.as_text() {
                Some(text) => format!("`{key}` cannot be `{}`", text.value),
                None => format!("`{key}` cannot be {}", self.written(&value.span)),
            };
            let hint = format!("write a whole number from {first} to {last}");
            self.error(value.span.clone(), message, Some(hint));
        }
        within
    }

    /// The values of an array, where the key is written.
    pub(super) fn array(&self, key: &'static str) -> Option<&'d [Value]> {
        let value = self.value(key)?;
        if let ValueKind::Array(values) = &value.kind {
            return Some(values);
        }
        self.wrong_kind(key, value, "an array", Some(format!("write `{key} = [ … ]`")));
        None
    }

    /// `true` or `false`; it may come from the environment as a string.
    pub(super) fn boolean(&self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.value(key) else { return default };
        match &value.kind {
            ValueKind::Boolean(truth) => return *truth,
            ValueKind::Text(text) if text.from_environment && text.value == "true" => return true,
            ValueKind::Text(text) if text.from_environment && text.value == "false" => {
                return false;
            }
            _ => {}
        }
        let hint = Some(format!("write `{key} = true` or `{key} = false`"));
        self.wrong_kind(key, value, "true or false", hint);
        default
    }

    /// A duration; zero is one.
    pub(super) fn duration(&self, key: &'static str, default: Duration) -> Duration {
        self.in_units(key, "a duration", "s", units::duration).unwrap_or(default)
    }

    /// A duration that may not be zero.
    pub(super) fn positive_duration(&self, key: &'static str, default: Duration) -> Duration {
        match self.in_units(key, "a duration", "s", units::duration) {
            Some(Duration::ZERO) => {
                let span = self.value_span(key);
                let hint = "zero is not `unlimited` here: write a long duration, as `\"1h\"`";
                self.error(span, format!("`{key}` cannot be zero"), Some(hint.into()));
                default
            }
            found => found.unwrap_or(default),
        }
    }

    /// A size in bytes: `"64MiB"` or a plain number.
    pub(super) fn size<T: TryFrom<u64>>(&self, key: &'static str, default: T) -> T {
        if let Some(value) = self.value(key)
            && let ValueKind::Integer(Some(number)) = value.kind
            && let Ok(number) = u64::try_from(number)
        {
            return T::try_from(number).unwrap_or(default);
        }
        let bytes = self.in_units(key, "a size", "KiB", units::size);
        bytes.and_then(|bytes| T::try_from(bytes).ok()).unwrap_or(default)
    }

    /// A percentage.
    pub(super) fn percent(&self, key: &'static str, default: u32) -> u32 {
        self.in_units(key, "a percentage", "%", units::percent).unwrap_or(default)
    }

    /// A percentage with decimals, in millionths.
    pub(super) fn share(&self, key: &'static str, default: u32) -> u32 {
        self.in_units(key, "a percentage", "%", units::share).unwrap_or(default)
    }

    fn in_units<T>(
        &self,
        key: &'static str,
        what: &str,
        unit: &str,
        parse: fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let Some(text) = value.as_text() else {
            let hint = match value.kind {
                ValueKind::Integer(Some(number)) => {
                    format!("write it with its unit: `\"{}{unit}\"`", number.unsigned_abs())
                }
                _ => format!("write a string, as `\"10{unit}\"`"),
            };
            self.wrong_kind(key, value, what, Some(hint));
            return None;
        };
        match parse(&text.value) {
            Ok(found) => Some(found),
            Err(UnitError { message, hint }) => {
                self.error(text.span.clone(), message, Some(hint));
                None
            }
        }
    }

    /// One word of a closed list.
    pub(super) fn choice<T: Clone>(
        &self,
        key: &'static str,
        default: T,
        choices: &[(&'static str, T)],
    ) -> T {
        let Some(value) = self.value(key) else { return default };
        let Some(text) = value.as_text() else {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("`\"{word}\"`")).collect();
            let hint = format!("known values are {}", words.join(", "));
            self.wrong_kind(key, value, "a string", Some(hint));
            return default;
        };
        self.chosen(key, text, choices).unwrap_or(default)
    }

    /// What the word in `text` stands for.
    pub(super) fn chosen<T: Clone>(
        &self,
        key: &str,
        text: &TextValue,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(choice.clone());
        }
        let words = choices.iter().map(|(word, _)| *word);
        let hint = did_you_mean(&text.value, words, "known values");
        self.error(text.span.clone(), format!("unknown `{key}` `{}`", text.value), Some(hint));
        None
    }

    /// A text with variables.
    pub(super) fn template(&self, key: &'static str) -> Option<Template> {
        self.text(key).and_then(|text| self.template_in(text))
    }

    /// The template in a string, or a finding at the wrong part of it.
    pub(super) fn template_in(&self, text: &TextValue) -> Option<Template> {
        match Template::parse(&text.value) {
            Ok(template) => {
                for (place, ours) in foreign_variables::find(&text.value) {
                    let theirs = &text.value[place.clone()];
                    let message =
                        format!("`{theirs}` is not a variable here: it is sent as it stands");
                    let span = text.part(place.start, place.len());
                    self.warning(span, message, Some(format!("write `{ours}`")));
                }
                Some(template)
            }
            Err(fault) => {
                let span = text.part(fault.offset, fault.length);
                self.error(span, fault.message, fault.hint);
                None
            }
        }
    }

    /// A condition on a request that has ended.
    pub(super) fn condition(&self, key: &'static str) -> Option<Condition> {
        let text = self.text(key)?;
        Condition::parse(&text.value)
            .map_err(|fault| {
                let span = text.part(fault.offset, fault.length);
                self.error(span, fault.message, Some(fault.hint));
            })
            .ok()
    }

    /// A path, taken from the config file's directory when it is relative.
    pub(super) fn path_in(&self, text: &TextValue) -> PathBuf {
        if text.value.is_empty() {
            let hint = "write a path; a relative one starts at the config file's directory";
            self.error(text.span.clone(), "an empty path", Some(hint.into()));
        }
        self.directory().join(&text.value)
    }
}
