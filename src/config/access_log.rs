//! `[access_log]`: one line a request.

use super::{table::Table, tree::TextValue};
use std::path::PathBuf;

/// A line is up to some KiB.
const LEAST_BUFFER: usize = 64 << 10;

/// One line a request.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// `path`: `"stdout"` is `None`; relative paths are taken from the config file's directory.
    pub path: Option<PathBuf>,
    /// `format`, default `json`.
    pub format: AccessLogFormat,
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
    /// Reads `[access_log]`.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let path = table.text("path").filter(|text| text.value != "stdout");
        let formats = [("json", AccessLogFormat::Json), ("combined", AccessLogFormat::Combined)];
        Self {
            path: path.map(|text| read_path(table, text)),
            format: table.choice("format", AccessLogFormat::Json, &formats),
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
