//! The access logs of a config, opened, and the counters of its own.
//!
//! Owns: what is taken over from the running config. May touch: [`crate::condition`],
//! [`crate::config`], [`crate::observe`], [`crate::settings`]; log files. A reload that changes what
//! is in a log, and not where it goes, keeps its file and its writer. Next: [`super::build`].

use super::{Snapshot, live::Resources};
use crate::{
    condition::Condition,
    config::{self, Config},
    observe::{
        access_line::LineForm,
        access_log::{AccessLog, AccessLogs, LineChoice},
        custom_metrics::CustomCounter,
        json_line::{self, ChosenField},
        log_writer::LogWriter,
    },
    settings::{LogField, LogSink, LogTarget},
};
use http::HeaderName;
use std::{fmt, io, path::PathBuf, sync::Arc};

/// An access log that can't be opened.
#[derive(Debug)]
pub struct LogError {
    table: String,
    path: PathBuf,
    error: io::Error,
}

impl LogError {
    fn new(wanted: &config::AccessLog, error: io::Error) -> Self {
        let path = match &wanted.sink.target {
            LogTarget::File(path, _) => path.clone(),
            _ => PathBuf::new(),
        };
        Self { table: wanted.place.clone(), path, error }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, path, error } = self;
        let path = path.display();
        write!(f, "error: `path` of [{table}], {path}, can't be opened: {error}")?;
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                f.write_str("\n  = hint: let the user that sheave runs as write it")
            }
            _ => Ok(()),
        }
    }
}

/// Opens the logs of `config`.
pub fn open(
    config: &Config,
    previous: Option<&Snapshot>,
    resources: &Resources,
) -> Result<AccessLogs, LogError> {
    let mut open: Vec<(&LogSink, Arc<LogWriter>)> = Vec::new();
    if let Some(previous) = previous {
        let sinks = previous.config.access_logs.iter().map(|it| &it.sink);
        open.extend(sinks.zip(previous.access_logs.all().map(|it| Arc::clone(&it.writer))));
    }
    let mut logs = Vec::with_capacity(config.access_logs.len());
    for wanted in &config.access_logs {
        let known = open.iter().find(|(sink, _)| **sink == wanted.sink);
        let writer = if let Some((_, writer)) = known {
            Arc::clone(writer)
        } else {
            let dropped = resources.metrics.access_log_dropped.clone();
            let writer = LogWriter::start(&wanted.sink, resources.workers, dropped);
            Arc::new(writer.map_err(|error| LogError::new(wanted, error))?)
        };
        open.push((&wanted.sink, Arc::clone(&writer)));
        let choice = LineChoice {
            when: wanted.when.clone(),
            sample: wanted.sample,
            always: wanted.always.clone(),
        };
        logs.push(AccessLog { form: form(wanted), choice, writer });
    }
    Ok(AccessLogs::new(logs))
}

fn form(wanted: &config::AccessLog) -> LineForm {
    if wanted.format == config::AccessLogFormat::Combined {
        return LineForm::Combined;
    }
    let defaults = LogField::default_set().map(config::LineField::Known);
    if defaults.eq(wanted.fields.iter().cloned()) {
        return LineForm::Json;
    }
    let chosen = |field: &config::LineField| {
        let begin = json_line::begin(&field.name());
        match field {
            config::LineField::Known(field) => ChosenField::Known(*field),
            config::LineField::Header(name) => ChosenField::Header { begin, name: name.clone() },
            config::LineField::ResponseHeader(name) => {
                ChosenField::ResponseHeader { begin, name: name.clone() }
            }
            config::LineField::Template { value, .. } => {
                ChosenField::Template { begin, value: value.clone() }
            }
        }
    };
    LineForm::Chosen(wanted.fields.iter().map(chosen).collect())
}

/// The answers' fields that a log or a counter asks about, each once.
pub fn noted_fields(config: &Config) -> Box<[HeaderName]> {
    let fields = config.access_logs.iter().flat_map(|it| &it.fields).filter_map(|it| match it {
        config::LineField::ResponseHeader(name) => Some(name),
        _ => None,
    });
    let logs = config.access_logs.iter().flat_map(|it| [&it.when, &it.always]);
    let conditions = logs.chain(config.custom_counters.iter().map(|it| &it.when)).flatten();
    let mut noted: Vec<HeaderName> = Vec::new();
    for name in fields.chain(conditions.flat_map(Condition::response_headers)) {
        if !noted.contains(name) {
            noted.push(name.clone());
        }
    }
    noted.into()
}

/// The counters of `[metrics.custom]`. Those that the previous config has go on counting.
pub fn custom_counters(config: &Config, resources: &Resources) -> Option<Box<[CustomCounter]>> {
    let counter = |wanted: &config::CustomCounter| {
        let config::CustomCounter { metric, help, when, add, labels, max_series } = wanted;
        let names: Vec<_> = labels.iter().map(|(name, _)| name.clone()).collect();
        CustomCounter {
            when: when.clone(),
            add: *add,
            labels: labels.iter().map(|(_, value)| value.clone()).collect(),
            series: resources.metrics.custom.series(metric, help, &names, *max_series),
        }
    };
    let counters: Box<[_]> = config.custom_counters.iter().map(counter).collect();
    Some(counters).filter(|it| !it.is_empty())
}
