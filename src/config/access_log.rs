//! `[access_log]`: one line a request.

use super::table::Table;
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

/// `when_full`: what becomes of a line that the buffer has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// `drop`: it is lost, and counted.
    Drop,
    /// `wait`: its worker waits, with all its connections.
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

impl AccessLog {
    /// Reads `[access_log]`.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let path = table.text("path").filter(|text| text.value != "stdout");
        let formats = [("json", AccessLogFormat::Json), ("combined", AccessLogFormat::Combined)];
        Self {
            path: path.map(|text| table.path_in(text)),
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
