//! `[log]`: the daemon's own log, on stderr.

/// The daemon's own log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// `level`: `error`, `warn`, `info`, `debug` or `trace`, default `info`.
    pub level: String,
    /// `format`, default `text`.
    pub format: LogFormat,
}

/// `format` of the daemon's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `text`.
    Text,
    /// `json`.
    Json,
}
