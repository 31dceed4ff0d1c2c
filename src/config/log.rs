//! `[log]`: the daemon's own log, on stderr.

use super::table::Table;

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

impl Log {
    /// Reads `[log]`, which may be empty.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        Self {
            level: table.choice("level", "info", &levels).to_owned(),
            format: table.choice("format", LogFormat::Text, &formats),
        }
    }
}
