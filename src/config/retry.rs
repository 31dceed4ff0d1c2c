//! `retry = { … }` of an upstream or a route.

use super::table::Table;
use crate::settings::{Retry, RetryOn};
use http::StatusCode;

/// A word of `on`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Connect,
    Reset,
    Timeout,
    Status(StatusCode),
    Grpc(u8),
}

const RETRY_ON: [(&str, Cause); 12] = [
    ("connect", Cause::Connect),
    ("reset", Cause::Reset),
    ("timeout", Cause::Timeout),
    ("http_502", Cause::Status(StatusCode::BAD_GATEWAY)),
    ("http_503", Cause::Status(StatusCode::SERVICE_UNAVAILABLE)),
    ("http_504", Cause::Status(StatusCode::GATEWAY_TIMEOUT)),
    ("http_429", Cause::Status(StatusCode::TOO_MANY_REQUESTS)),
    ("grpc_cancelled", Cause::Grpc(1)),
    ("grpc_deadline_exceeded", Cause::Grpc(4)),
    ("grpc_resource_exhausted", Cause::Grpc(8)),
    ("grpc_internal", Cause::Grpc(13)),
    ("grpc_unavailable", Cause::Grpc(14)),
];

impl Retry {
    /// Reads `retry`. Keys that are absent are as in `base`: the route's upstream, or the defaults.
    pub(super) fn read(table: &Table<'_>, base: &Self) -> Self {
        let on = table.texts("on").map(|texts| {
            let mut on = RetryOn::default();
            for cause in texts.iter().filter_map(|text| table.chosen("on", text, &RETRY_ON)) {
                match cause {
                    Cause::Connect => on.connect = true,
                    Cause::Reset => on.reset = true,
                    Cause::Timeout => on.timeout = true,
                    Cause::Status(status) if on.statuses.contains(&status) => {}
                    Cause::Status(status) => on.statuses.push(status),
                    Cause::Grpc(status) => on.grpc |= 1 << status,
                }
            }
            on
        });
        Self {
            on: on.unwrap_or_else(|| base.on.clone()),
            tries: table.number("tries", base.tries, 0..=100),
            timeout: table.positive_duration("timeout", base.timeout),
            non_idempotent: table.boolean("non_idempotent", base.non_idempotent),
            max_body: table.size("max_body", base.max_body),
            budget_percent: table.percent("budget", base.budget_percent),
            budget_min: table.number("budget_min", base.budget_min, 0..=1_000_000),
            budget_wait: table.duration("budget_wait", base.budget_wait),
        }
    }
}
