//! `[access_log]`, one line a request, and `[slow_log]`, one line a slow request.
//!
//! Owns: which requests have a line. May touch: [`crate::condition`], [`crate::settings`],
//! [`crate::units`]. Next:
//! [`super::line_fields`] has what is in a line, [`super::log_sink`] where it goes.

use super::{LineField, line_fields, log_sink, table::Table};
use crate::{
    condition::Condition,
    settings::{LogField, LogSink},
    units::WHOLE,
};
use std::time::Duration;

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
    /// `sample`: of them so many millionths, default all.
    pub sample: u32,
    /// `always`: of them those that are not sampled.
    pub always: Option<Condition>,
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
    /// Reads every `[access_log]`.
    pub(super) fn read_all(top: &Table<'_>) -> Vec<Self> {
        let tables = top.one_or_several("access_log").into_iter();
        let all = LogField::default_set;
        let logs = tables.map(|(place, table)| Self::read(&table, place, all()));
        logs.chain(top.optional_table("slow_log").map(|table| Self::read_slow(&table))).collect()
    }

    /// Its lines have the phases of the time, too.
    fn read_slow(table: &Table<'_>) -> Self {
        let limit = table.duration("longer_than", Duration::from_secs(1));
        let all = LogField::NAMED.iter().map(|(_, field)| *field);
        let log = Self::read(table, "slow_log".into(), all);
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Self { when: Some(Condition::slower_than(limit, log.when)), ..log }
    }

    fn read(table: &Table<'_>, place: String, fields: impl Iterator<Item = LogField>) -> Self {
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
        let sample = table.share("sample", WHOLE);
        if sample == WHOLE && table.has("always") && table.errors() == errors {
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
            sink: log_sink::read(table),
            format,
            fields: line_fields::read(table, fields),
            when: table.condition("when"),
            sample,
            always: table.condition("always"),
        }
    }
}
