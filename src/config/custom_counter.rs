//! `[metrics.custom.NAME]`: a counter of the user's own.
//!
//! Owns: reading it, and its name in `/metrics`. May touch: [`crate::condition`],
//! [`crate::template`]. Next: [`super::load`].

use super::{table::Table, tree::Span};
use crate::{
    condition::{Amount, Condition},
    template::Template,
};

/// A counter of requests, or of what they have.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomCounter {
    /// The metric's name: `custom_NAME_total`.
    pub metric: String,
    /// `help`: the metric's text for people.
    pub help: String,
    /// `when`: the requests that count; `None`: all.
    pub when: Option<Condition>,
    /// `add`: what of a request is added; `None`: 1.
    pub add: Option<Amount>,
    /// `labels`, by name.
    pub labels: Vec<(String, Template)>,
    /// `max_series`: different labels beyond these are counted together, default 100.
    pub max_series: usize,
}

impl CustomCounter {
    /// Reads all of `[metrics]`.
    pub(super) fn read_all(top: &Table<'_>) -> Vec<Self> {
        let Some(metrics) = top.optional_table("metrics") else { return Vec::new() };
        let mut all: Vec<Self> = Vec::new();
        for (name, table) in metrics.named_tables("custom") {
            let counter = Self::read(&name, &table);
            if all.iter().any(|it| it.metric == counter.metric) {
                let message = format!("there is another counter `{}`", counter.metric);
                let hint = Some("give one of them another name; `_total` is added to all".into());
                table.error(table.span.clone(), message, hint);
            }
            all.push(counter);
        }
        all
    }

    fn read(name: &str, table: &Table<'_>) -> Self {
        if !is_name(name) {
            let hint = "write small letters, digits and `_`, and a letter first: `orders`";
            let message = format!("`{name}` is no name of a counter");
            table.error(table.span.clone(), message, Some(hint.into()));
        }
        let help = table.string("help");
        Self {
            metric: format!("custom_{}_total", name.strip_suffix("_total").unwrap_or(name)),
            help: help.unwrap_or_else(|| format!("Counted by [metrics.custom.{name}].")),
            when: table.condition("when"),
            add: table.choice(
                "add",
                None,
                &[
                    ("requests", None),
                    ("bytes_sent", Some(Amount::BytesSent)),
                    ("bytes_received", Some(Amount::BytesReceived)),
                    ("attempts", Some(Amount::Attempts)),
                ],
            ),
            labels: read_labels(&table.table("labels")),
            max_series: table.number("max_series", 100, 1..=100_000),
        }
    }
}

fn read_labels(table: &Table<'_>) -> Vec<(String, Template)> {
    let mut labels = Vec::new();
    for entry in table.free_entries() {
        check_label(table, &entry.key, entry.key_span.clone());
        let Some(text) = entry.value.as_text() else {
            if !table.is_garbled(&entry.value.span) {
                table.not_a_string(&entry.key, &entry.value, "a string");
            }
            continue;
        };
        labels.extend(table.template_in(text).map(|it| (entry.key.clone(), it)));
    }
    labels
}

/// Names that begin with `__` are Prometheus' own.
fn check_label(table: &Table<'_>, name: &str, span: Span) {
    if !is_name(name) {
        let hint = "write small letters, digits and `_`, and a letter first: `tenant`";
        table.error(span, format!("`{name}` is no name of a label"), Some(hint.into()));
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|it: char| it.is_ascii_lowercase())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_')
}
