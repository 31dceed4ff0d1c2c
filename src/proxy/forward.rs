//! Asks servers until one answers: the only loop on a request's way.
//!
//! Owns: attempts, retries, and reporting them to the server's health. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::observe`], [`crate::origin`], [`crate::route`],
//! [`crate::settings`], [`crate::upstream`]. Called by [`super::handle`], which sends the answer's
//! body.

use super::{
    Proxy,
    facts::Facts,
    grpc::Call,
    refusal::Refusal,
    request_head::Forwarding,
    retry::{is_unwanted, to_retry, try_permit},
    trace,
    verdict::{report_answer, report_failure},
};
use crate::{
    http1::{fields::Fields, request::Head},
    message::{answer::Answer, body::Body, upload::Upload},
    observe::outcome::AttemptOutcome as Count,
    origin::{Destination, Fetched, Home, Reply, Taker, Way, fetch},
    route::{Forward, Group, Key, Route},
    settings::Timeouts,
    upstream::{
        Lease, RetryPermit, Tried, Unavailable, Upstream,
        strategy::{consistent_hash, ip_hash},
    },
};
use http::{StatusCode, header};
use std::{mem::take, sync::Arc, time::Instant};

/// What is known of a request's servers so far.
struct Choice<'a> {
    upstream: &'a Upstream,
    tried: Tried,
    key: u64,
    /// Whether an ejected server has been asked because all are ejected. One such try is enough.
    opened: bool,
    /// The server asked last, if it has refused the request without processing it (RFC 9113 §8.7).
    refused_by: Option<usize>,
}

impl<'a> Choice<'a> {
    fn new(upstream: &'a Upstream, key: u64) -> Self {
        Self { upstream, tried: Tried::default(), key, opened: false, refused_by: None }
    }

    /// The next server to ask. If there is no other, it is the one that refused: it may take the
    /// request now, or on another connection.
    fn take(&mut self, now: u64) -> Result<Lease, Unavailable> {
        self.take_another(now).or_else(|none| match self.refused_by.take() {
            Some(index) => {
                self.tried.remove(index);
                self.take_another(now)
            }
            None => Err(none),
        })
    }

    fn take_another(&mut self, now: u64) -> Result<Lease, Unavailable> {
        if self.opened {
            return self.take_in(now);
        }
        let lease = self.upstream.pick(&self.tried, self.key, now)?;
        self.opened = lease.is_fail_open();
        self.tried.insert(lease.index());
        Ok(lease)
    }

    /// The same, but only a server that is in.
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
    body: Body,
    unclean: Option<&str>,
) -> Result<Answer<Body>, Refusal> {
    let mut body = upload(route, forward, facts, body);
    if body.is_too_large() {
        return Err(Refusal::too_large());
    }
    facts.received = body.received();
    let call = Call::of(facts, forward);
    let timeouts = call.as_ref().map_or(&forward.timeouts, |call| &call.timeouts);
    let target = target(route, forward, facts, unclean);
    facts.trace_target(target.as_deref());
    let group = &*forward.group;
    let mut choice = Choice::new(&group.upstream, key(route, forward, facts));
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
        begin_attempt(proxy, facts, group, &lease, begun);
        let asking = asking(forward, facts, target.as_deref());
        let terms = forward.terms(timeouts, (begun, now));
        let to = Destination::new(lease.server(), group.upstream.reach(&lease));
        let to = to.of(&facts.context.peer).timed(&facts.dialed);
        let Fetched { reply, way } = fetch(&proxy.pool, &to, &asking, &mut body, &terms).await;
        count_way(proxy, facts, group, &lease, way);
        match reply {
            Ok(mut reply) => {
                let answered = Instant::now();
                let now = proxy.live.clock.at(answered);
                report_answer(group, &mut lease, facts, reply.status, (answered - begun, now));
                if reply.is_sent() && is_unwanted(&mut reply, &body, forward, facts) {
                    // Give the answer up only if a server that is in will certainly be asked.
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
                let whose = (forward, timeouts);
                let answer = respond(proxy, whose, facts, reply, body, lease, now);
                return Ok(Call::limit(call, answer));
            }
            Err(failed) => {
                report_failure(proxy, group, &mut lease, &failed, facts);
                choice.refused_by = failed.is_refused().then(|| lease.index());
                // Give both back first, so that neither counts as running during the wait.
                drop((lease, permit.take()));
                let (refusal, another) = Box::pin(to_retry(forward, facts, &failed, &body)).await?;
                (permit, last) = (Some(another), Some(Box::new(refusal)));
                begun = Instant::now();
                body.rewind();
            }
        }
    }
}

/// The request as servers get it. `target` is theirs, if it differs from the client's.
pub(super) fn asking<'a>(
    forward: &Forward,
    facts: &'a Facts,
    target: Option<&'a str>,
) -> Forwarding<'a> {
    Forwarding {
        context: &facts.context,
        target: target.unwrap_or(facts.context.head.target.path_and_query()),
        edits_host: forward.edits_host,
        written: forward.written,
    }
}

/// The client's body, as far as the route lets it pass.
fn upload(route: &Route, forward: &Forward, facts: &Facts, body: Body) -> Upload {
    if facts.context.head.protocols.is_some() {
        return Upload::tunnel(body);
    }
    Upload::new(body, most(route, facts), forward.retry.max_body, &forward.edited_in_requests)
}

/// How many bytes the body may have; 0 is no limit.
pub(super) fn most(route: &Route, facts: &Facts) -> u64 {
    // A gRPC call may have many messages over a long time. Its server limits each message.
    if facts.context.head.present.grpc { 0 } else { route.max_body }
}

/// Whether the reply is a stream of events, which come now and then (HTML §9.2). Then silence means
/// nothing.
fn is_event_stream(reply: &Reply, fields: &Fields) -> bool {
    let of_events = |value: &[u8]| {
        value.get(..17).is_some_and(|it| it.eq_ignore_ascii_case(b"text/event-stream"))
    };
    reply.is_endless() && fields.first(&header::CONTENT_TYPE).is_some_and(of_events)
}

fn begin_attempt(proxy: &Proxy, facts: &mut Facts, group: &Group, lease: &Lease, begun: Instant) {
    // Counts the previous attempt, whose answer was given up.
    facts.count_attempt(group);
    facts.attempt_begun = Some(begun);
    facts.dialed.reset();
    (facts.upstream_time, facts.attempt_status) = (None, None);
    facts.attempts += 1;
    facts.member = Some(lease.index() as u32);
    if facts.attempts > 1 {
        group.metrics.retries.inc();
    }
    trace::begin_attempt(facts, &proxy.ids, begun);
}

fn count_way(proxy: &Proxy, facts: &mut Facts, group: &Group, lease: &Lease, way: Way) {
    facts.trace_way(way);
    let metrics = &proxy.live.metrics;
    if way != Way::Fresh {
        metrics.pool_hits.inc();
    }
    if way != Way::Kept {
        metrics.pool_misses.inc();
    }
    if way == Way::Stale {
        group.metrics.attempt(lease.index(), Count::StaleConnection);
    }
}

/// The body of `reply`, which came at `now`, on its way to the client.
fn respond(
    proxy: &Proxy,
    (forward, timeouts): (&Forward, &Timeouts),
    facts: &mut Facts,
    mut reply: Reply,
    upload: Upload,
    lease: Lease,
    now: u64,
) -> Answer<Body> {
    let (status, fields) = (reply.status, take(&mut reply.fields));
    if status == StatusCode::SWITCHING_PROTOCOLS {
        facts.tunnel = true;
        proxy.live.metrics.tunnels.inc();
    }
    let context = &facts.context;
    let home = Home {
        pool: Arc::clone(&proxy.pool),
        limits: forward.group.pool,
        lease: Some(lease),
        clock: proxy.live.clock,
    };
    let taker = Taker {
        part: context.peer.part(),
        may_move: context.takes_moved(),
        edited: forward.edited_in_responses.clone(),
        personal: authenticates_the_connection(&context.head),
        read: if is_event_stream(&reply, &fields) { timeouts.tunnel } else { timeouts.read },
        tunnel: timeouts.tunnel,
        now,
    };
    let body = reply.into_body(upload, home, taker);
    Answer { status, fields, body, close: false, ahead: forward.response_buffer }
}

/// Whether the request's credentials are valid for the whole connection. If another client's
/// requests came on it, the server would take them for this client's.
fn authenticates_the_connection(head: &Head) -> bool {
    head.present.authorization
        && head.fields.get(&header::AUTHORIZATION).is_some_and(|value| {
            let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
        })
}

/// What the hashing strategies hash.
pub(super) fn key(route: &Route, forward: &Forward, facts: &Facts) -> u64 {
    match &forward.key {
        Key::None => 0,
        Key::ClientIp => ip_hash::key(facts.context.client()),
        Key::Text(template) => consistent_hash::key(facts.scope(route).render(template).as_bytes()),
    }
}

/// Path and query for the server, if they differ from the client's.
pub(super) fn target(
    route: &Route,
    forward: &Forward,
    facts: &Facts,
    unclean: Option<&str>,
) -> Option<String> {
    let received = &facts.context.head.target;
    // `OPTIONS *` is about the server and has no path.
    if forward.target.is_identity() || received.path() == "*" {
        return None;
    }
    let (raw, query) = (received.path(), received.query());
    Some(forward.target.uri(raw, query, unclean.unwrap_or(raw), &facts.scope(route)))
}
