//! What has happened: `/errors` and `/reloads`.
//!
//! Owns: the JSON of both. May touch: [`crate::observe`], [`crate::snapshot`].

use super::{
    answer::{AdminAnswer, document, refusal},
    ask::Ask,
};
use crate::{observe::recent_failures::FailedRequest, snapshot::reload_history::PastReload};
use http::StatusCode;
use serde_json::{Value, json};

/// The last requests that failed, the newest first; `?after=N` leaves out those up to number N.
pub(super) fn errors(ask: &Ask) -> AdminAnswer {
    let after = ask.query().map_or(Ok(0), |it| it.strip_prefix("after=").unwrap_or(it).parse());
    let Ok(after) = after else {
        let error = "write `/errors`, or `/errors?after=NUMBER` for those that came later";
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, error);
    };
    let failures = &ask.live.failures;
    let told = json!({
        "count": failures.count(),
        "missed": failures.missed(),
        "errors": failures.after(after).iter().map(failed_request).collect::<Vec<_>>(),
    });
    document(StatusCode::OK, &told)
}

fn failed_request(it: &FailedRequest) -> Value {
    let known = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "number": it.number,
        "time": it.came.to_string(),
        "request_id": it.request_id,
        "trace_id": known(&it.trace_id),
        "method": it.method,
        "host": it.host,
        "path": it.path,
        "status": it.status,
        "route": known(&it.route),
        "upstream": known(&it.upstream),
        "server": known(&it.server),
        "attempts": it.attempts,
        "reason": it.reason,
        "detail": known(&it.detail),
        "duration_ms": it.took.as_micros() as f64 / 1000.0,
    })
}

/// The last reloads and the start, the newest first.
pub(super) fn reloads(Ask { live, .. }: &Ask) -> AdminAnswer {
    let reloads: Vec<_> = live.reloads.newest_first().iter().map(past_reload).collect();
    document(StatusCode::OK, &json!({ "count": live.reloads.count(), "reloads": reloads }))
}

fn past_reload(it: &PastReload) -> Value {
    json!({
        "time": it.time.to_string(),
        "cause": it.cause,
        "outcome": if it.outcome.is_ok() { "success" } else { "failure" },
        "generation": it.outcome.as_ref().ok(),
        "errors": it.outcome.as_ref().err().map(|it| &it["errors"]),
        "text": it.outcome.as_ref().err().map(|it| &it["text"]),
        "changes": it.changes,
        "changed": it.total,
    })
}
