//! What is recorded of a request when it ends, in any way.
//!
//! Owns: a request's beginning and its end. May touch: [`crate::http1`], [`crate::message`],
//! [`crate::observe`], [`crate::route`], [`crate::snapshot`]. The last step: dropping the record
//! counts and logs the request, so that none is missed.

use super::{
    Arrival, Proxy,
    facts::Facts,
    spans::{self, EndedRequest},
    trace,
};
use crate::{
    http1::request::Head,
    message::{
        body::BodyError,
        context::{Context, Peer},
        forwarded::ToldOfClient,
    },
    observe::{line_facts::LineFacts, outcome::AttemptOutcome, phase_times::PhaseTimes},
    route::{Action, Route},
    snapshot::Snapshot,
};
use http::{StatusCode, header};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// nginx's number for a client that went away before the answer's head.
const CLIENT_CLOSED: u16 = 499;

/// A request under way.
pub struct Record {
    /// Where it runs.
    pub proxy: Arc<Proxy>,
    /// The config that it uses.
    pub snapshot: Arc<Snapshot>,
    /// What is known of it.
    pub facts: Facts,
}

impl Record {
    /// Begins the record, now that the head has been read.
    pub fn new(
        proxy: Arc<Proxy>,
        snapshot: Arc<Snapshot>,
        arrival: &Arrival<'_>,
        head: Head,
    ) -> Box<Self> {
        let &Arrival { peer, listener, framed_twice, number, .. } = arrival;
        proxy.live.metrics.in_flight.inc();
        let told = told_of_client(&snapshot, &head, peer);
        let id = proxy.ids.take(&head.fields, head.present.request_id);
        let context = Context { number, ..Context::new(head, Arc::clone(peer), told, id) };
        let facts = Facts::new(context, listener, framed_twice);
        let mut record = Box::new(Self { proxy, snapshot, facts });
        let Self { proxy, snapshot, facts } = &mut *record;
        facts.timed = snapshot.wants_times;
        if let Some(terms) = &snapshot.tracing {
            trace::begin(terms, &proxy.ids, facts);
        }
        record
    }

    /// The response's body broke. This is noted, and counts against the attempt if the server broke
    /// it.
    pub fn body_failed(&mut self, error: &BodyError) {
        self.facts.reason = Some(error.reason());
        self.facts.detail = Some(error.to_string().into());
        self.facts.attempt_broke(error);
    }
}

/// Whether the peer may speak for a client, and what it says.
pub(super) fn told_of_client(
    snapshot: &Snapshot,
    head: &Head,
    peer: &Peer,
) -> (bool, ToldOfClient) {
    let Snapshot { trusted_proxies, believed, .. } = snapshot;
    if !trusted_proxies.contains(peer.address) {
        return (false, ToldOfClient::default());
    }
    (true, ToldOfClient::read(&head.fields, trusted_proxies, *believed, peer.address))
}

/// The status to write down if the client was gone before the answer.
pub fn client_closed() -> StatusCode {
    StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST)
}

/// What the client asked for and did not get, though it was answered. A refused upgrade to HTTP/2
/// does not count: such clients go on without it.
fn left_out(facts: &Facts, route: Option<&Route>) -> Option<&'static str> {
    let Head { fields, present, protocols, .. } = &facts.context.head;
    let upgrade = present.upgrade
        && protocols.is_none()
        && present.nominates
        && matches!(route?.action, Action::Forward(_))
        && fields.tokens(&header::UPGRADE).any(|it| !it.eq_ignore_ascii_case(b"h2c"));
    upgrade.then_some("upgrade_unsupported")
}

impl Drop for Record {
    fn drop(&mut self) {
        let Self { proxy, snapshot, facts } = self;
        let metrics = &proxy.live.metrics;
        let ended = facts.ended.unwrap_or_else(Instant::now);
        let took = ended.saturating_duration_since(facts.context.started);
        let route = facts.route.map(|it| snapshot.route(it));
        let status = facts.status.unwrap_or_else(|| {
            facts.reason.get_or_insert("client_aborted");
            // The client was waiting for that server.
            facts.attempt.get_or_insert(AttemptOutcome::ClientAborted);
            client_closed()
        });
        if let Some(Action::Forward(forward)) = route.map(|it| &it.action) {
            facts.count_attempt(&forward.group);
        }
        let received = facts.received.as_ref().map_or(0, |it| it.load(Ordering::Relaxed));
        metrics.in_flight.dec();
        if facts.tunnel {
            metrics.tunnels.dec();
        }
        metrics.sent.inc_by(facts.sent);
        if received > 0 {
            metrics.received.inc_by(received);
        }
        let histograms = route.map_or(&metrics.unrouted, |it| &it.metrics);
        // A tunnel lives as long as its users want, so only the time until it was open counts.
        let is_tunnel = facts.context.head.protocols.is_some();
        let waited = facts.upstream_time.filter(|_| is_tunnel).unwrap_or(took);
        histograms.observe(&facts.context.head.method, status, waited);
        proxy.count(status, facts.reason);
        if let Some(terms) = &snapshot.tracing {
            let (facts, worker, took) = (&*facts, proxy.worker, waited);
            let ended = (ended, took);
            spans::tell(&EndedRequest { terms, facts, route, worker, status, ended, received });
        }
        let failed = facts.reason.is_some() || status.is_server_error();
        if snapshot.access_logs.is_empty() && snapshot.custom.is_none() && !failed {
            return;
        }
        let line = line(facts, route, status, received, (ended, took));
        if failed {
            proxy.live.failures.note(&line);
        }
        snapshot.custom.iter().flatten().for_each(|it| it.count(&line));
        snapshot.access_logs.record(proxy.worker, &line);
    }
}

fn line<'a>(
    facts: &'a Facts,
    route: Option<&'a Route>,
    status: StatusCode,
    received: u64,
    (ended, took): (Instant, Duration),
) -> LineFacts<'a> {
    let (upstream, server) = facts.names(route);
    LineFacts {
        context: &facts.context,
        host: facts.context.head.target.host().as_bytes(),
        route: route.map_or("", |it| &it.name),
        upstream,
        server,
        attempts: facts.attempts,
        upstream_time: facts.upstream_time,
        status,
        response_fields: &facts.response_fields,
        sent: facts.sent,
        received,
        took,
        times: if facts.timed { facts.phases(ended) } else { PhaseTimes::default() },
        trace_id: facts.context.trace_id(),
        cache: facts.cache,
        reason: facts.reason.or_else(|| left_out(facts, route)),
        detail: facts.detail.as_deref(),
    }
}
