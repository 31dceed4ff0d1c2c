//! What an attempt says about its server.
//!
//! Owns: which outcome is a success, a failure, or neither. May touch: [`crate::message`],
//! [`crate::observe`], [`crate::origin`], [`crate::route`], [`crate::upstream`]. [`super::forward`]
//! calls it after every attempt.

use super::{Proxy, facts::Facts, grpc, refusal::outcome};
use crate::{
    message::body::BodyError,
    observe::outcome::AttemptOutcome as Count,
    origin::failure::{Failed, Failure},
    route::Group,
    upstream::{Lease, Outcome, Reported},
};
use http::StatusCode;
use std::time::Duration;

/// Reports that the server answered with `status`, after a time and at a moment.
pub(super) fn report_answer(
    group: &Group,
    lease: &mut Lease,
    facts: &mut Facts,
    status: StatusCode,
    (latency, now): (Duration, u64),
) {
    (facts.upstream_time, facts.attempt_status) = (Some(latency), Some(status));
    group.metrics.answered(lease.index(), latency);
    facts.attempt = Some(if group.fail_on.contains(&status) {
        report(group, lease, Outcome::Failure("http_status"), now);
        Count::Status
    } else {
        report(group, lease, Outcome::Success { latency_us: latency.as_micros() as u64 }, now);
        Count::Success
    });
}

/// Reports that the server did not answer.
pub(super) fn report_failure(
    proxy: &Proxy,
    group: &Group,
    lease: &mut Lease,
    failed: &Failed,
    facts: &mut Facts,
) {
    let failure = &failed.failure;
    let count = outcome(failure);
    facts.attempt = Some(count);
    facts.count_attempt(group);
    let now = proxy.live.clock.now();
    facts.unconnected +=
        u32::from(matches!(count, Count::ConnectFailed | Count::ConnectTimeout | Count::TlsFailed));
    let (upstream, server) = (group.upstream.name(), lease.server().address());
    let (reason, attempt) = (count.name(), facts.attempts);
    match failure {
        Failure::Client(error) => {
            if !matches!(error, BodyError::TooLarge) {
                tracing::debug!(upstream, server, %error, "the client's body broke");
            }
            report(group, lease, Outcome::Neutral, now);
        }
        Failure::ClientTimeout => {
            report(group, lease, Outcome::Neutral, now);
        }
        _ => {
            // The log line keeps what went wrong even if another server answers.
            facts.reason = Some(reason);
            let detail = grpc::detail(failure, facts);
            tracing::debug!(upstream, server, attempt, reason, %detail, "an attempt failed");
            facts.detail = Some(detail.into());
            let no_fault = failed.is_no_fault();
            let outcome = if no_fault { Outcome::Neutral } else { Outcome::Failure(reason) };
            report(group, lease, outcome, now);
        }
    }
}

fn report(group: &Group, lease: &mut Lease, outcome: Outcome, now: u64) {
    let reported = group.upstream.report(lease, outcome, now);
    let (upstream, server) = (group.upstream.name(), lease.server().address());
    match reported {
        Reported::Noted => {}
        Reported::Ejected { for_ms } => {
            group.metrics.ejected(lease.index());
            let reason = if let Outcome::Failure(reason) = outcome { reason } else { "" };
            tracing::warn!(upstream, server, reason, for_ms, "server ejected");
        }
        Reported::Readmitted => tracing::info!(upstream, server, "server is back in"),
    }
}
