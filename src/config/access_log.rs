//! `[access_log]`: one line a request.

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
