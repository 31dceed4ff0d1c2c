//! Asks servers until one answers: the only loop on a request's way.
//!
//! Owns: attempts, retries, and reporting them to the server's health. May touch:
//! [`crate::upstream`], [`crate::origin::exchange`]. Called by [`super::handle`], which sends the answer's
//! body.

use super::{
    Proxy,
    read_ahead::ReadAhead,
    record::Facts,
    refusal::Refusal,
    request_head::{self, Forwarding},
    response_body::Source,
    retry::{Failed, is_stale, is_unwanted, to_retry, try_permit},
    verdict::{report_answer, report_failure},
};
use crate::{
    http1::{buffers::SMALL, moved::WORTH_MOVING, request::Head},
    message::{
        answer::Answer,
        body::{Incoming, RequestBody},
    },
    observe::outcome::Outcome as Count,
    origin::{
        body::{Home, ServerBody},
        connect::Connection,
        exchange::{Failure, exchange},
        response_head::{Framing, ResponseHead},
    },
    route::{Forward, Group, Key, Route},
    upstream::{
        Lease, RetryPermit, Server, Tried, Unavailable, Upstream,
        strategy::{consistent_hash, ip_hash},
    },
};
use bytes::Bytes;
use http::{Version, header};
use std::{io, sync::Arc, time::Instant};

/// A body up to this size is copied out of its block for an HTTP/2 client, whose stream may hold it
/// for long.
const COPIED: usize = 4 * 1024;

/// What is known of a request's servers so far.
struct Choice<'a> {
    upstream: &'a Upstream,
    tried: Tried,
    key: u64,
    /// Whether an ejected server has been asked, because all are ejected. One of them is enough.
    opened: bool,
}

impl<'a> Choice<'a> {
    fn new(upstream: &'a Upstream, key: u64) -> Self {
        Self { upstream, tried: Tried::default(), key, opened: false }
    }

    /// The next server to ask.
    fn take(&mut self, now: u64) -> Result<Lease, Unavailable> {
        if self.opened {
            return self.take_in(now);
        }
        let lease = self.upstream.pick(&self.tried, self.key, now)?;
        self.opened = lease.is_fail_open();
        self.tried.insert(lease.index());
        Ok(lease)
    }

    /// The same, if it is in.
    fn take_in(&mut self, now: u64) -> Result<Lease, Unavailable> {
        let lease = self.upstream.pick_in(&self.tried, self.key, now)?;
        self.tried.insert(lease.index());
        Ok(lease)
    }
}

/// Gets an answer from one of the route's servers. `unclean` is the normalised path, if it differs
/// from the one received.
pub async fn forward(
    proxy: &Proxy,
    route: &Route,
    forward: &Forward,
    facts: &mut Facts,
    incoming: Incoming,
    unclean: Option<&str>,
) -> Result<Answer<Source>, Refusal> {
    let (most, kept) = (route.max_body, forward.retry.max_body);
    let mut body = RequestBody::new(incoming, most, kept, &forward.edited_in_requests);
    if body.is_too_large() {
        return Err(Refusal::too_large());
    }
    facts.received = body.received();
    let target = target(route, forward, facts, unclean);
    let group = &*forward.group;
    let key = key(route, forward, facts);
    let mut choice = Choice::new(&group.upstream, key);
    // Boxed: rare, and every request pays for the size of this future.
    let mut last: Option<Box<Refusal>> = None;
    let mut next: Option<Lease> = None;
    // Held while the retry that it allows is under way.
    let mut permit: Option<RetryPermit> = None;
    // The clock is read once and the moment passed on: reading it costs as much as choosing a
    // server.
    let mut begun = facts.context.started;
    loop {
        let now = proxy.live.clock.at(begun);
        let picked = next.take().map_or_else(|| choice.take(now), Ok);
        let mut lease = picked
            .map_err(|none| last.take().map_or_else(|| Refusal::unavailable(&none), |it| *it))?;
        begin_attempt(facts, group, &lease);
        match attempt(proxy, forward, facts, &lease, target.as_deref(), &mut body, (begun, now))
            .await
        {
            Ok((head, connection)) => {
                let answered = Instant::now();
                let latency = answered.saturating_duration_since(begun);
                facts.upstream_time = Some(latency);
                let now = proxy.live.clock.at(answered);
                facts.attempt = Some(report_answer(group, &mut lease, head.status, latency, now));
                let all_sent = connection.gear.outgoing.is_done();
                if all_sent && is_unwanted(head.status, &body, forward, facts) {
                    // Give the answer up only when a server that is in will certainly be asked.
                    drop(permit.take());
                    if let Some(another) = try_permit(group, &forward.retry)
                        && let Ok(other) = choice.take_in(now)
                    {
                        (permit, next, begun) = (Some(another), Some(other), answered);
                        body.rewind();
                        continue;
                    }
                    facts.reason = Some("http_status");
                }
                let answer = (head, connection);
                let mut answer = respond(proxy, forward, facts, answer, body, lease, now);
                take_off(&mut answer.body, facts, forward).await;
                return Ok(answer);
            }
            Err(failed) => {
                report_failure(proxy, group, &mut lease, &failed, facts);
                // Given back first, so that neither counts as running during the wait.
                drop((lease, permit.take()));
                let (refusal, another) = Box::pin(to_retry(forward, facts, &failed, &body)).await?;
                (permit, last) = (Some(another), Some(Box::new(refusal)));
                begun = Instant::now();
                body.rewind();
            }
        }
    }
}

fn begin_attempt(facts: &mut Facts, group: &Group, lease: &Lease) {
    // Of the one before, whose answer was given up.
    facts.count_attempt(group);
    facts.attempts += 1;
    facts.member = Some(lease.index() as u32);
    if facts.attempts > 1 {
        group.metrics.retries.inc();
    }
}

/// One attempt at one server, beginning at a moment. If a pooled connection turns out to be closed,
/// this is no failure of the server: the request goes over a new one.
async fn attempt(
    proxy: &Proxy,
    forward: &Forward,
    facts: &Facts,
    lease: &Lease,
    target: Option<&str>,
    body: &mut RequestBody,
    (begun, now): (Instant, u64),
) -> Result<(ResponseHead, Connection), Failed> {
    let metrics = &proxy.live.metrics;
    let server = lease.server();
    let method = &facts.context.head.method;
    let forwarding = Forwarding {
        target: target.unwrap_or(facts.context.head.target.path_and_query()),
        server: server.address(),
        edits_host: forward.edits_host,
        length: body.length(),
        edited: forward.edited,
    };
    // A request that can't be sent twice must not meet a connection that has just been closed.
    let thorough = !method.is_idempotent() || body.outgrows_what_is_kept();
    if let Some(mut connection) = proxy.pool.check_out(server.id(), now, thorough) {
        metrics.pool_hits.inc();
        request_head::write(&mut connection.gear.outgoing, &facts.context, &forwarding);
        match exchange(
            &mut connection,
            body,
            method,
            (&forward.timeouts, forward.group.response),
            begun,
        )
        .await
        {
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
    // Boxed: rare, and large.
    Box::pin(over_a_fresh_one(proxy, forward, facts, server, &forwarding, body, now)).await
}

async fn over_a_fresh_one(
    proxy: &Proxy,
    forward: &Forward,
    facts: &Facts,
    server: &Server,
    forwarding: &Forwarding<'_>,
    body: &mut RequestBody,
    now: u64,
) -> Result<(ResponseHead, Connection), Failed> {
    let gear = proxy.pool.gear();
    let opened = Connection::open(server, forward.timeouts.connect, now, gear).await;
    let mut connection = opened.map_err(|error| {
        let failure = match error.kind() {
            io::ErrorKind::TimedOut => Failure::ConnectTimeout,
            _ => Failure::Connect(error),
        };
        Failed { failure, sent: false, answered: false, reused: false }
    })?;
    request_head::write(&mut connection.gear.outgoing, &facts.context, forwarding);
    let (method, begun) = (&facts.context.head.method, Instant::now());
    match exchange(
        &mut connection,
        body,
        method,
        (&forward.timeouts, forward.group.response),
        begun,
    )
    .await
    {
        Ok(head) => Ok((head, connection)),
        Err(failure) => Err(Failed::on(&connection, failure)),
    }
}

/// The answer with `head`, received at `now`.
fn respond(
    proxy: &Proxy,
    forward: &Forward,
    facts: &Facts,
    (head, mut connection): (ResponseHead, Connection),
    body: RequestBody,
    lease: Lease,
    now: u64,
) -> Answer<Source> {
    let ResponseHead { status, fields, framing, reusable, .. } = head;
    let answer = |body| Answer { status, fields, body, close: false };
    let all_sent = connection.gear.outgoing.is_done();
    let context = &facts.context;
    let reusable = reusable && !authenticates_the_connection(&context.head);
    let part = context.peer.part();
    connection.link.first_read = match framing {
        // A body that is worth moving is left to the kernel, if the client's connection allows
        // that.
        Framing::Length(length) if !context.takes_moved() || length < WORTH_MOVING => {
            SMALL.max(length.min(part as u64) as usize)
        }
        _ => SMALL,
    };
    // Most small responses have arrived whole with their head.
    if let Framing::Length(length) = framing
        && length <= connection.gear.unread.len() as u64
        && all_sent
    {
        let mut data = connection.gear.unread.split_to(length as usize);
        if context.head.version == Version::HTTP_2 && data.len() <= COPIED {
            data = Bytes::copy_from_slice(&data);
        }
        if reusable {
            proxy.pool.check_in(lease.server().id(), connection, &forward.group.pool, now);
        }
        return answer(Source::Full(data));
    }
    let home = Home {
        pool: Arc::clone(&proxy.pool),
        limits: forward.group.pool,
        lease,
        clock: proxy.live.clock,
    };
    let rest = (!all_sent).then_some(body);
    let (read, limit) = (forward.timeouts.read, forward.response_buffer);
    let body = ServerBody::new(connection, rest, (framing, reusable), home, read, (limit, part))
        .without(forward.edited_in_responses.clone());
    answer(Source::Server(Box::new(body)))
}

/// Takes a short body off its server.
async fn take_off(source: &mut Source, facts: &Facts, forward: &Forward) {
    let Source::Server(body) = source else { return };
    body.gather().await;
    // HTTP/2 pulls a body no faster than the client's window allows.
    if facts.context.head.version == Version::HTTP_2
        && (body.is_sending() || body.fits() && !body.is_off_the_server())
        && let Source::Server(body) = std::mem::replace(source, Source::Empty)
    {
        *source = Source::Ahead(ReadAhead::new(*body, forward.response_buffer.max(1)));
    }
}

/// Whether the request's credentials are valid for the whole connection: the next client's requests
/// on it would be taken for this client's.
fn authenticates_the_connection(head: &Head) -> bool {
    head.present.authorization
        && head.fields.get(&header::AUTHORIZATION).is_some_and(|value| {
            let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
        })
}

/// What the hashing strategies hash.
fn key(route: &Route, forward: &Forward, facts: &Facts) -> u64 {
    match &forward.key {
        Key::None => 0,
        Key::ClientIp => ip_hash::key(facts.context.client_ip()),
        Key::Text(template) => consistent_hash::key(facts.scope(route).render(template).as_bytes()),
    }
}

/// Path and query for the server, if they differ from the client's.
fn target(
    route: &Route,
    forward: &Forward,
    facts: &Facts,
    unclean: Option<&str>,
) -> Option<String> {
    let received = &facts.context.head.target;
    // `OPTIONS *` is about the server, and about no path.
    if forward.target.is_identity() || received.path() == "*" {
        return None;
    }
    let (raw, query) = (received.path(), received.query());
    Some(forward.target.uri(raw, query, unclean.unwrap_or(raw), &facts.scope(route)))
}
