//! Asks servers until one answers: the only loop of the route.
//!
//! Owns: attempts, retries and what they tell of a server's health. May touch:
//! [`crate::upstream`], [`super::exchange`]. Called by [`super::handle`]; the answer's body goes on
//! by itself.

use super::{
    Proxy,
    exchange::{Failure, exchange},
    read_ahead::ReadAhead,
    record::Facts,
    refusal::{Refusal, outcome},
    request_head::{self, Forwarding},
    response_body::Source,
    response_head::ResponseHead,
    server_body::{Home, ServerBody},
};
use crate::{
    message::{
        answer::Answer,
        body::{BodyError, Incoming, RequestBody},
    },
    observe::metrics::Outcome as Count,
    route::{Forward, Group, Key, Retry, Route},
    upstream::{
        Lease, Outcome, Reported, RetryPermit, Tried,
        connect::Connection,
        strategy::{consistent_hash, ip_hash},
    },
};
use http::{Method, StatusCode, Version};
use std::{
    future::poll_fn,
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

/// Between two looks whether the retry budget has room.
const BUDGET_POLL: Duration = Duration::from_millis(5);

/// A failed attempt, and what may be concluded from how far it came.
struct Failed {
    failure: Failure,
    /// Whether any byte of the request was written.
    sent: bool,
    /// Whether any byte of a response was read.
    answered: bool,
}

/// Gets an answer from one of the route's servers. `unclean` is the normalised path, where it is
/// not the one received.
pub async fn forward(
    proxy: &Proxy,
    route: &Route,
    forward: &Forward,
    facts: &mut Facts,
    incoming: Incoming,
    unclean: Option<&str>,
) -> Result<Answer<Source>, Refusal> {
    let mut body = RequestBody::new(incoming, route.max_body, forward.retry.max_body);
    if body.is_too_large() {
        return Err(Refusal::too_large());
    }
    facts.received = body.received();
    let target = target(route, forward, facts, unclean);
    let group = &*forward.group;
    let key = key(route, forward, facts);
    let mut tried = Tried::default();
    let mut last: Option<Refusal> = None;
    let mut next: Option<Lease> = None;
    // Held while the retry that it allows is under way.
    let mut permit: Option<RetryPermit> = None;
    // Moments are taken once and handed on: asking the system costs as much as the choice itself.
    let mut begun = facts.context.started;
    loop {
        let now = proxy.live.clock.at(begun);
        let picked = next.take().map_or_else(|| group.upstream.pick(&tried, key, now), Ok);
        let mut lease =
            picked.map_err(|none| last.take().unwrap_or(Refusal::unavailable(&none)))?;
        tried.insert(lease.index());
        facts.attempts += 1;
        facts.member = Some(lease.index());
        match attempt(proxy, forward, facts, &lease, target.as_deref(), &mut body, begun).await {
            Ok((head, connection)) => {
                let answered = Instant::now();
                let latency = answered.saturating_duration_since(begun);
                facts.upstream_time = Some(latency);
                let status = head.status;
                let now = proxy.live.clock.at(answered);
                report_answer(group, &mut lease, status, latency, now);
                // The answer is given up only once another server is sure to be asked.
                if connection.outgoing.is_done()
                    && is_unwanted(status, &body, forward, facts)
                    && let Some(another) = try_permit(group, &forward.retry)
                    && let Ok(other) = group.upstream.pick(&tried, key, now)
                {
                    (permit, next) = (Some(another), Some(other));
                    last = Some(Refusal::new(status, "http_status"));
                    begun = answered;
                    body.rewind();
                    continue;
                }
                return Ok(respond(proxy, forward, facts, (head, connection), body, lease).await);
            }
            Err(failed) => {
                report_failure(proxy, group, &mut lease, &failed.failure, facts);
                // Given back first: neither is to count among what runs while this waits.
                drop((lease, permit.take()));
                let (refusal, another) = to_retry(forward, facts, &failed, &body).await?;
                (permit, last) = (Some(another), Some(refusal));
                begun = Instant::now();
                body.rewind();
            }
        }
    }
}

/// What another try needs after a failed one, or the answer where there is to be none.
async fn to_retry(
    forward: &Forward,
    facts: &Facts,
    failed: &Failed,
    body: &RequestBody,
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

/// One try at one server, begun at `begun`. A pooled connection that turns out to be closed is no
/// failure of the server: the request goes over a fresh one.
async fn attempt(
    proxy: &Proxy,
    forward: &Forward,
    facts: &Facts,
    lease: &Lease,
    target: Option<&str>,
    body: &mut RequestBody,
    begun: Instant,
) -> Result<(ResponseHead, Box<Connection>), Failed> {
    let metrics = &proxy.live.metrics;
    let now = proxy.live.clock.at(begun);
    let server = lease.server();
    let method = &facts.context.head.method;
    let received = facts.context.head.uri.path_and_query().map_or("/", |it| it.as_str());
    let forwarding = Forwarding {
        target: target.unwrap_or(received),
        edits_host: forward.edits_host,
        length: body.length(),
        edited: forward.edited,
    };
    if let Some(mut connection) = proxy.pool.check_out(server.id(), now, !method.is_idempotent()) {
        metrics.pool_hits.inc();
        request_head::write(&mut connection.outgoing, &facts.context, &forwarding);
        match exchange(&mut connection, body, method, &forward.timeouts, begun).await {
            Ok(head) => return Ok((head, connection)),
            Err(failure) => {
                let failed = Failed::on(&connection, failure);
                if !is_stale(&failed, body, method) {
                    return Err(failed);
                }
                forward.group.metrics.attempt(lease.index(), Count::StaleConnection);
                body.rewind();
            }
        }
    }
    metrics.pool_misses.inc();
    let buffers = Arc::clone(&proxy.buffers);
    let mut connection =
        match Connection::open(server, forward.timeouts.connect, now, buffers).await {
            Ok(connection) => connection,
            Err(error) => {
                let failure = match error.kind() {
                    io::ErrorKind::TimedOut => Failure::ConnectTimeout,
                    _ => Failure::Connect(error),
                };
                return Err(Failed { failure, sent: false, answered: false });
            }
        };
    request_head::write(&mut connection.outgoing, &facts.context, &forwarding);
    let begun = Instant::now();
    match exchange(&mut connection, body, method, &forward.timeouts, begun).await {
        Ok(head) => Ok((head, connection)),
        Err(failure) => Err(Failed::on(&connection, failure)),
    }
}

impl Failed {
    fn on(connection: &Connection, failure: Failure) -> Self {
        let sent = connection.outgoing.sent > 0;
        Self { failure, sent, answered: !connection.unread.is_empty() }
    }
}

/// Whether a reused connection was closed before the server can have seen the request; where that
/// is not sure, only what may be repeated is (RFC 9110 §9.2.2).
fn is_stale(failed: &Failed, body: &RequestBody, method: &Method) -> bool {
    matches!(failed.failure, Failure::Reset(_))
        && !failed.answered
        && body.can_replay()
        && (!failed.sent || method.is_idempotent())
}

/// Whether the request may be sent to another server after this failure.
fn is_repeatable(failed: &Failed, body: &RequestBody, method: &Method, retry: &Retry) -> bool {
    let wanted = match failed.failure {
        Failure::Connect(_) | Failure::ConnectTimeout => retry.on.connect,
        Failure::Reset(_) | Failure::BadResponse(_) => retry.on.reset,
        Failure::ResponseTimeout | Failure::SendTimeout => retry.on.timeout,
        Failure::Client(_) | Failure::ClientTimeout => false,
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

/// Servers that could not be connected to are not counted: they were asked nothing, and with all of
/// them dead the request is to get to the backup.
fn may_try_again(forward: &Forward, facts: &Facts) -> bool {
    let Retry { tries, timeout, .. } = forward.retry;
    tries > 0
        && facts.attempts - facts.unconnected <= tries
        && facts.context.started.elapsed() < timeout
}

/// Whether the config would rather have another server's answer, and the request may be repeated.
fn is_unwanted(status: StatusCode, body: &RequestBody, forward: &Forward, facts: &Facts) -> bool {
    forward.retry.on.statuses.contains(&status)
        && body.can_replay()
        && (facts.context.head.method.is_idempotent() || forward.retry.non_idempotent)
        && may_try_again(forward, facts)
}

/// The budget keeps retries from multiplying an overload. When a server breaks, all its requests
/// come here at once: those beyond the budget wait for the first to be done, instead of failing.
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

fn try_permit(group: &Group, retry: &Retry) -> Option<RetryPermit> {
    let permit = group.upstream.try_retry(retry.budget_percent, retry.budget_min);
    if permit.is_some() {
        group.metrics.retries.inc();
    }
    permit
}

fn report_answer(
    group: &Group,
    lease: &mut Lease,
    status: StatusCode,
    latency: Duration,
    now: u64,
) {
    if group.fail_on.contains(&status) {
        group.metrics.attempt(lease.index(), Count::Status);
        report(group, lease, Outcome::Failure("http_status"), now);
    } else {
        group.metrics.attempt(lease.index(), Count::Success);
        report(group, lease, Outcome::Success { latency_us: latency.as_micros() as u64 }, now);
    }
}

fn report_failure(
    proxy: &Proxy,
    group: &Group,
    lease: &mut Lease,
    failure: &Failure,
    facts: &mut Facts,
) {
    let count = outcome(failure);
    group.metrics.attempt(lease.index(), count);
    let now = proxy.live.clock.now();
    facts.unconnected += u32::from(matches!(count, Count::ConnectFailed | Count::ConnectTimeout));
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
            // What went wrong stays in the log line even where another server answers.
            facts.reason = Some(reason);
            tracing::debug!(upstream, server, attempt, ?failure, "an attempt failed");
            report(group, lease, Outcome::Failure(reason), now);
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
            tracing::warn!(upstream, server, for_ms, ?outcome, "server ejected: max_fails reached");
        }
        Reported::Readmitted => tracing::info!(upstream, server, "server is back in"),
    }
}

async fn respond(
    proxy: &Proxy,
    forward: &Forward,
    facts: &Facts,
    (head, connection): (ResponseHead, Box<Connection>),
    body: RequestBody,
    lease: Lease,
) -> Answer<Source> {
    let home = Home {
        pool: Arc::clone(&proxy.pool),
        limits: forward.group.pool,
        lease,
        clock: proxy.live.clock,
    };
    let rest = (!connection.outgoing.is_done()).then_some(body);
    let framing = (head.framing, head.reusable);
    let limit = forward.response_buffer;
    let mut body = ServerBody::new(connection, rest, framing, home, forward.timeouts.read, limit);
    if !body.is_ended() {
        poll_fn(|cx| {
            body.take_what_is_there(cx);
            Poll::Ready(())
        })
        .await;
    }
    // HTTP/2 pulls a body no faster than the client's window allows.
    let pulled_late = facts.context.head.version == Version::HTTP_2;
    let source = if pulled_late && body.fits() && !body.is_off_the_server() {
        Source::Ahead(ReadAhead::new(body, limit))
    } else {
        Source::Server(body)
    };
    Answer { status: head.status, fields: head.fields, body: source, close: false }
}

/// What the hashing strategies hash.
fn key(route: &Route, forward: &Forward, facts: &Facts) -> u64 {
    match &forward.key {
        Key::None => 0,
        Key::ClientIp => ip_hash::key(facts.context.client_ip()),
        Key::Text(template) => consistent_hash::key(facts.scope(route).render(template).as_bytes()),
    }
}

/// Path and query for the server, where they are not the client's.
fn target(
    route: &Route,
    forward: &Forward,
    facts: &Facts,
    unclean: Option<&str>,
) -> Option<String> {
    let uri = &facts.context.head.uri;
    let path = unclean.unwrap_or(uri.path());
    (!forward.target.is_identity())
        .then(|| forward.target.uri(uri.path(), uri.query(), path, &facts.scope(route)))
}
