//! `[access_log]`: one line a request.
//!
//! Owns: where the lines go, and which requests have one. May touch: [`crate::condition`]. Next:
//! [`super::line_fields`] has what is in a line.

use super::{LineField, line_fields, table::Table, tree::TextValue};
use crate::condition::Condition;
use std::path::PathBuf;

/// A line is up to some KiB.
const LEAST_BUFFER: usize = 64 << 10;

/// One line a request.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// The table in the file, as `access_log` or `access_log[1]`.
    pub place: String,
    /// Where the lines go.
    pub sink: LogSink,
    /// `format`, default `json`.
    pub format: AccessLogFormat,
    /// `fields` of a JSON line, in their order.
    pub fields: Vec<LineField>,
    /// `when`: the requests that have a line; `None`: all.
    pub when: Option<Condition>,
    /// `sample`: of them so many per cent, default 100.
    pub sample: u32,
    /// `always`: of them those that are not sampled.
    pub always: Option<Condition>,
}

/// Where lines go, and how they wait.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSink {
    /// `path`: `"stdout"` is `None`; relative paths are taken from the config file's directory.
    pub path: Option<PathBuf>,
    /// `buffer`: bytes that may wait for the writer, default 16 MiB.
    pub buffer: usize,
    /// `when_full`, default `drop`.
    pub when_full: WhenFull,
}

/// `when_full`: what happens to a line when the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// `drop`: it is lost, and counted.
    Drop,
    /// `wait`: the worker waits, and all its connections with it.
    Wait,
}

/// `format` of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// `json`.
    Json,
    /// `combined`, nginx's and Apache's.
    Combined,
}

/// A path where a file can be. [`super::system`] checks whether this user can write it.
fn read_path(table: &Table<'_>, text: &TextValue) -> PathBuf {
    let path = table.path_in(text);
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let shown = path.display();
    if text.value.is_empty() {
        return path;
    }
    if path.is_dir() {
        let hint =
            format!("write a file in it: `\"{}/access.log\"`", text.value.trim_end_matches('/'));
        table.error(text.span.clone(), format!("`{shown}` is a directory"), Some(hint));
    } else if let Some(directory) = directory.filter(|it| !it.is_dir()) {
        let directory = directory.display();
        let hint = format!("make it with `mkdir -p {directory}`, or write another path");
        table.error(text.span.clone(), format!("there is no directory `{directory}`"), Some(hint));
    }
    path
}

impl AccessLog {
    /// Reads every `[access_log]`.
    pub(super) fn read_all(top: &Table<'_>) -> Vec<Self> {
        let tables = top.one_or_several("access_log").into_iter();
        tables.map(|(place, table)| Self::read(&table, place)).collect()
    }

    fn read(table: &Table<'_>, place: String) -> Self {
        let formats = [("json", AccessLogFormat::Json), ("combined", AccessLogFormat::Combined)];
        let format = table.choice("format", AccessLogFormat::Json, &formats);
        if format == AccessLogFormat::Combined && table.has("fields") {
            let hint = "remove it, or write `format = \"json\"`: combined lines have one form";
            table.warning(
                table.key_span("fields"),
                "`fields` has no effect here",
                Some(hint.into()),
            );
        }
        let errors = table.errors();
        let sample = table.percent("sample", 100);
        if sample == 100 && table.has("always") && table.errors() == errors {
            let hint =
                "it is for lines that `sample` leaves out: write `sample = \"10%\"` beside it";
            table.warning(
                table.key_span("always"),
                "`always` has no effect here",
                Some(hint.into()),
            );
        }
        Self {
            place,
            sink: LogSink::read(table),
            format,
            fields: line_fields::read(table),
            when: table.condition("when"),
            sample,
            always: table.condition("always"),
        }
    }
}

impl LogSink {
    fn read(table: &Table<'_>) -> Self {
        let path = table.text("path").filter(|text| text.value != "stdout");
        Self {
            path: path.map(|text| read_path(table, text)),
            buffer: Self::read_buffer(table),
            when_full: table.choice(
                "when_full",
                WhenFull::Drop,
                &[("drop", WhenFull::Drop), ("wait", WhenFull::Wait)],
            ),
        }
    }

    fn read_buffer(table: &Table<'_>) -> usize {
        let buffer = table.size("buffer", 16 << 20);
        if buffer < LEAST_BUFFER {
            let hint = Some("write at least `\"64KiB\"`".into());
            table.error(table.value_span("buffer"), "`buffer` has no room for lines", hint);
        }
        buffer
    }
}
