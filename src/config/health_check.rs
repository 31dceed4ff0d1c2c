//! `health_check = { … }` of an upstream: active probes.

use super::{table::Table, tree::Value};
use crate::settings::{HealthCheck, StatusRange};
use std::time::Duration;

impl HealthCheck {
    /// Reads `health_check` of an upstream.
    pub(super) fn read(table: &Table<'_>) -> Self {
        if table.is_empty() {
            let message = "`health_check` is empty: every server is asked for `/` every 5 s";
            let hint = "write what to ask for, as `{ path = \"/health\" }`, or leave it out";
            table.warning(table.span.clone(), message, Some(hint.into()));
        }
        let path = table.text("path");
        if let Some(text) = path.filter(|it| !it.value.starts_with('/')) {
            let hint = format!("write `\"/{}\"`", text.value);
            table.error(text.span.clone(), "a path starts with `/`", Some(hint));
        }
        if let Some(text) = path.filter(|it| !is_sendable(&it.value)) {
            let hint = Some("escape what is not a letter of a path, as `%20`".into());
            table.error(text.span.clone(), "a request line cannot hold this", hint);
        }
        if let Some(text) = table.text("host").filter(|it| !is_sendable(&it.value)) {
            let hint = Some("write a name, as `\"app.internal\"`".into());
            table.error(text.span.clone(), "a `Host` cannot be this", hint);
        }
        let interval = table.positive_duration("interval", Duration::from_secs(5));
        let check = Self {
            path: path.map_or_else(|| "/".to_owned(), |text| text.value.clone()),
            grpc: Self::read_grpc(table),
            host: table.string("host"),
            interval,
            timeout: table.positive_duration("timeout", interval.min(Duration::from_secs(2))),
            fall: table.number("fall", 3, 1..=1000),
            rise: table.number("rise", 2, 1..=1000),
            status: Self::read_status(table),
        };
        if check.timeout > check.interval {
            let hint = Some("a probe may still wait when the next is due: lower `timeout`".into());
            table.warning(table.value_span("timeout"), "`timeout` exceeds `interval`", hint);
        }
        check
    }

    fn read_grpc(table: &Table<'_>) -> Option<String> {
        let service = table.text("grpc")?;
        for key in ["path", "status"] {
            if table.has(key) {
                let message = format!("`{key}` has no effect beside `grpc`");
                let hint = "a call is well if the service says SERVING: remove it".into();
                table.warning(table.key_span(key), message, Some(hint));
            }
        }
        Some(service.value.clone())
    }

    fn read_status(table: &Table<'_>) -> Vec<StatusRange> {
        let default = || vec![StatusRange { first: 200, last: 399 }];
        let Some(values) = table.array("status") else { return default() };
        if values.is_empty() {
            let hint = Some("leave `status` out to accept 200 to 399".into());
            table.error(table.value_span("status"), "no status is accepted", hint);
        }
        let ranges: Vec<_> = values.iter().filter_map(|it| StatusRange::read(table, it)).collect();
        if ranges.is_empty() { default() } else { ranges }
    }
}

/// Whether the text can be sent in a probe: a space or a line end would cut it off.
fn is_sendable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl StatusRange {
    /// `200`, `"200"` or `"200-399"`.
    pub(super) fn read(table: &Table<'_>, value: &Value) -> Option<Self> {
        let Some(text) = value.as_text() else {
            let status = table.number_in("status", value, 100..=599)?;
            let status = u16::try_from(status).ok()?;
            return Some(Self { first: status, last: status });
        };
        let (first, last) = text.value.split_once('-').unwrap_or((&text.value, &text.value));
        let range = match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => Some(Self { first, last }),
            _ => None,
        };
        let range = range.filter(|it| it.first >= 100 && it.first <= it.last && it.last <= 599);
        if range.is_none() {
            let hint = Some("write `\"200\"` or `\"200-399\"`, within 100 to 599".into());
            table.error(text.span.clone(), format!("`{}` is no status", text.value), hint);
        }
        range
    }
}
