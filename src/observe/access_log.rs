//! The access logs: which requests have a line in which of them.
//!
//! Owns: that choice. May touch: [`crate::condition`], [`crate::settings`], [`crate::units`]. Lines
//! that are not written are not formatted either. Next: [`super::log_writer`] writes them.

use super::{
    access_line::LineForm, json_line::ChosenField, line_facts::LineFacts, log_writer::LogWriter,
};
use crate::{condition::Condition, settings::LogField, units::WHOLE};
use siphasher::sip::SipHasher13;
use std::{hash::Hasher, sync::Arc};

/// One access log.
pub struct AccessLog {
    /// The form of its lines.
    pub form: LineForm,
    /// Which requests have one.
    pub choice: LineChoice,
    /// Who writes them.
    pub writer: Arc<LogWriter>,
}

/// Which requests have a line.
#[derive(Clone, Debug)]
pub struct LineChoice {
    /// Those of which this holds.
    pub when: Option<Condition>,
    /// Of these so many millionths.
    pub sample: u32,
    /// Of the others those of which this holds.
    pub always: Option<Condition>,
}

impl LineChoice {
    fn takes(&self, line: &LineFacts<'_>) -> bool {
        self.when.as_ref().is_none_or(|it| it.holds(line))
            && (self.sample >= WHOLE
                || is_sampled(line, self.sample)
                || self.always.as_ref().is_some_and(|it| it.holds(line)))
    }
}

/// Whether a request is in a sample of so many millionths. Another instance that knows it by the same id comes
/// to the same result, so the hash has no key of its own.
fn is_sampled(line: &LineFacts<'_>, millionths: u32) -> bool {
    let id = line.trace_id.unwrap_or(line.context.id.as_str());
    let mut hash = SipHasher13::new();
    hash.write(id.as_bytes());
    hash.finish() % u64::from(WHOLE) < u64::from(millionths)
}

/// All access logs of a config.
#[derive(Default)]
pub struct AccessLogs {
    logs: Vec<AccessLog>,
    wants_times: bool,
}

impl AccessLogs {
    /// These logs.
    pub fn new(logs: Vec<AccessLog>) -> Self {
        let wants = |field: &ChosenField| matches!(field, ChosenField::Known(it) if LogField::PHASES.contains(it));
        let wants = |form: &LineForm| match form {
            LineForm::Chosen(fields) => fields.iter().any(wants),
            LineForm::Json | LineForm::Combined => false,
        };
        Self { wants_times: logs.iter().any(|it| wants(&it.form)), logs }
    }

    /// Whether any of them has a field with a phase of the request's time.
    pub fn wants_times(&self) -> bool {
        self.wants_times
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// The logs, in the order of the config.
    pub fn all(&self) -> impl Iterator<Item = &AccessLog> {
        self.logs.iter()
    }

    /// Adds a line to each log that wants one. `worker` is where the request ran.
    pub fn record(&self, worker: usize, line: &LineFacts<'_>) {
        for log in &self.logs {
            if log.choice.takes(line) {
                log.writer.record(worker, &log.form, line);
            }
        }
    }

    /// Those who write, each once.
    pub fn writers(&self) -> impl Iterator<Item = &Arc<LogWriter>> {
        let is_first = |at: usize, writer: &Arc<LogWriter>| {
            !self.logs[..at].iter().any(|it| Arc::ptr_eq(&it.writer, writer))
        };
        let writers = self.logs.iter().map(|it| &it.writer).enumerate();
        writers.filter(move |(at, writer)| is_first(*at, writer)).map(|(_, writer)| writer)
    }
}
