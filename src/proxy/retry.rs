//! Whether a request may be sent to another server, and when.
//!
//! Owns: which requests may be repeated (RFC 9110 §9.2.2), how often, and the wait for the retry
//! budget. May touch: [`crate::message`], [`crate::origin`], [`crate::route`], [`crate::settings`],
//! [`crate::upstream`]. [`super::forward`] asks after every failed attempt.

use super::{facts::Facts, refusal::Refusal};
use crate::{
    message::{grpc, upload::Upload},
    origin::{
        Reply,
        failure::{Failed, Failure},
    },
    route::{Forward, Group},
    settings::Retry,
    upstream::RetryPermit,
};
use http::Method;
use std::time::{Duration, Instant};

/// The time between two tries to get a permit from the retry budget.
const BUDGET_POLL: Duration = Duration::from_millis(5);

/// A permit for another try after a failed one, or the answer if there must be none.
pub(super) async fn to_retry(
    forward: &Forward,
    facts: &Facts,
    failed: &Failed,
    body: &Upload,
) -> Result<(Refusal, RetryPermit), Refusal> {
    let refusal = Refusal::failed(&failed.failure);
    let method = &facts.context.head.method;
    if !is_repeatable(failed, body, method, &forward.retry) || !may_try_again(forward, facts) {
        return Err(refusal);
    }
    match await_permit(&forward.group, forward, facts).await {
        Some(permit) => Ok((refusal, permit)),
        None => Err(Refusal { reason: "retry_budget", ..refusal }),
    }
}

/// Whether the request may be sent to another server after this failure.
fn is_repeatable(failed: &Failed, body: &Upload, method: &Method, retry: &Retry) -> bool {
    let wanted = match failed.failure {
        Failure::Connect(_) | Failure::ConnectTimeout | Failure::Tls(_) | Failure::Refused(_) => {
            retry.on.connect
        }
        Failure::Reset(_) | Failure::BadResponse(_) => retry.on.reset,
        Failure::ResponseTimeout | Failure::SendTimeout => retry.on.timeout,
        Failure::Client(_) | Failure::ClientTimeout | Failure::NoTunnels => false,
    };
    if !wanted || failed.sent && !method.is_idempotent() && !retry.non_idempotent {
        return false;
    }
    if !body.can_replay() {
        let limit = retry.max_body;
        tracing::info!(limit, "not tried again: the request's body is larger than retry.max_body");
        return false;
    }
    true
}

/// Servers that could not be connected to are not counted: no request was sent to them, and if all
/// of them are down the request should reach the backup.
fn may_try_again(forward: &Forward, facts: &Facts) -> bool {
    let Retry { tries, timeout, .. } = forward.retry;
    tries > 0
        && facts.attempts - facts.unconnected <= tries
        && facts.context.started.elapsed() < timeout
}

/// Whether the config wants another server's answer instead, and the request may be repeated.
pub(super) fn is_unwanted(
    reply: &mut Reply,
    body: &Upload,
    forward: &Forward,
    facts: &Facts,
) -> bool {
    let Retry { on, non_idempotent, .. } = &forward.retry;
    let method = &facts.context.head.method;
    let by_status =
        on.statuses.contains(&reply.status) && (method.is_idempotent() || *non_idempotent);
    // Every call is a POST. A config that names a gRPC status says that calls with it may be
    // repeated.
    let mut by_call = || {
        on.grpc != 0
            && facts.context.head.present.grpc
            && grpc::status_in(reply.fields.map()).is_some_and(|it| on.grpc >> it.min(31) & 1 == 1)
    };
    (by_status || by_call()) && body.can_replay() && may_try_again(forward, facts)
}

/// Waits for a permit of the retry budget, which keeps retries from making an overload worse. When
/// a server breaks, all its requests come here at once. Those beyond the budget wait until others
/// end, instead of failing.
async fn await_permit(group: &Group, forward: &Forward, facts: &Facts) -> Option<RetryPermit> {
    let retry = &forward.retry;
    let begun = Instant::now();
    loop {
        let permit = try_permit(group, retry);
        if permit.is_some() {
            return permit;
        }
        if begun.elapsed() >= retry.budget_wait || !may_try_again(forward, facts) {
            let (upstream, attempts) = (group.upstream.name(), facts.attempts);
            tracing::debug!(upstream, attempts, "not tried again: the retry budget is spent");
            return None;
        }
        tokio::time::sleep(BUDGET_POLL).await;
    }
}

pub(super) fn try_permit(group: &Group, retry: &Retry) -> Option<RetryPermit> {
    group.upstream.try_retry(retry.budget_percent, retry.budget_min)
}
