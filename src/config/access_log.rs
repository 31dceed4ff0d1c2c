//! `[access_log]`: one line a request.

use super::table::Table;
use std::path::PathBuf;

/// One line a request.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// `path`: `"stdout"` is `None`; relative paths are taken from the config file's directory.
    pub path: Option<PathBuf>,
    /// `format`, default `json`.
    pub format: AccessLogFormat,
    /// `buffer`: bytes that may wait for the writer, default 1 MiB; what comes past it is dropped and counted.
    pub buffer: usize,
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
            buffer: table.size("buffer", 1 << 20),
        }
    }
}
