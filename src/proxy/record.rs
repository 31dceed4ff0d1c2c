//! What is recorded of a request when it ends, in any way.
//!
//! Owns: the facts gathered on the way. May touch: [`crate::http1`], [`crate::message`],
//! [`crate::observe`], [`crate::origin`], [`crate::route`], [`crate::snapshot`]. The last step: dropping the record
//! counts and logs the request, so that none is missed.

use super::{Arrival, Proxy};
use crate::{
    http1::request::Head,
    message::{
        body::BodyError,
        context::{Context, Scope},
        forwarded::ToldOfClient,
    },
    observe::{line_facts::LineFacts, outcome::AttemptOutcome, phase_times::PhaseTimes},
    origin::dial_times::DialTimes,
    route::{Action, Group, Route},
    snapshot::Snapshot,
};
use http::{StatusCode, header};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// What is known of a request.
pub struct Facts {
    /// The request.
    pub context: Context,
    /// The listener's id.
    pub listener: usize,
    /// Whether its body was framed in two ways at once.
    pub framed_twice: bool,
    /// Its site.
    pub site: Option<u32>,
    /// Its route.
    pub route: Option<u32>,
    /// The member of the upstream that was tried last.
    pub member: Option<u32>,
    /// How that attempt has gone so far, from its response head on. It is counted once it has
    /// ended.
    pub attempt: Option<AttemptOutcome>,
    /// Servers tried.
    pub attempts: u32,
    /// Those of them that could not be connected to.
    pub unconnected: u32,
    /// When the last attempt began.
    pub attempt_begun: Option<Instant>,
    /// How long its connection took to open.
    pub dialed: DialTimes,
    /// From the last attempt's start to its response head.
    pub upstream_time: Option<Duration>,
    /// Whether anybody wants to know where the time went.
    pub timed: bool,
    /// When the server's body had ended, if anybody wants to know.
    pub body_ended: Option<Instant>,
    /// Bytes of the request's body.
    pub received: Option<Arc<AtomicU64>>,
    /// Whether its server has agreed to a tunnel, which is open as long as the record lives.
    pub tunnel: bool,
    /// The answer's status; `None` before the answer's head.
    pub status: Option<StatusCode>,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// What went wrong.
    pub reason: Option<&'static str>,
    /// The same in the words of what failed.
    pub detail: Option<Box<str>>,
    /// What the cache did, if the route has one.
    pub cache: Option<&'static str>,
    /// When the answer had been sent; `None`: when the record is dropped.
    pub ended: Option<Instant>,
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
        let trusted = snapshot.trusted_proxies.contains(peer.address);
        let told = if trusted {
            let Snapshot { trusted_proxies, believed, .. } = &*snapshot;
            ToldOfClient::read(&head.fields, trusted_proxies, *believed, peer.address)
        } else {
            ToldOfClient::default()
        };
        let context = Context {
            id: proxy.ids.take(&head.fields, head.present.request_id),
            head,
            peer: Arc::clone(peer),
            told,
            trusted,
            number,
            started: Instant::now(),
            country: None,
            trace: None,
        };
        let mut facts = Facts::new(context, listener, framed_twice);
        facts.timed = snapshot.wants_times;
        Box::new(Self { proxy, snapshot, facts })
    }

    /// The response's body broke. This is noted, and counts against the attempt if the server broke
    /// it.
    pub fn body_failed(&mut self, error: &BodyError) {
        self.facts.reason = Some(error.reason());
        self.facts.detail = Some(error.to_string().into());
        self.facts.attempt_broke(error);
    }
}

/// The status to write down if the client was gone before the answer.
pub fn client_closed() -> StatusCode {
    StatusCode::from_u16(CLIENT_CLOSED).unwrap_or(StatusCode::BAD_REQUEST)
}

/// What a request's record learns about a fetch that was made for it.
#[derive(Clone)]
pub struct ToldOfFetch {
    member: Option<u32>,
    attempts: u32,
    unconnected: u32,
    attempt_begun: Option<Instant>,
    dialed: DialTimes,
    upstream_time: Option<Duration>,
    reason: Option<&'static str>,
    detail: Option<Box<str>>,
}

impl ToldOfFetch {
    /// What is known of the fetch with these facts.
    pub fn of(facts: &Facts) -> Self {
        Self {
            member: facts.member,
            attempts: facts.attempts,
            unconnected: facts.unconnected,
            attempt_begun: facts.attempt_begun,
            dialed: facts.dialed.clone(),
            upstream_time: facts.upstream_time,
            reason: facts.reason,
            detail: facts.detail.clone(),
        }
    }

    /// Writes it into a request's facts. The attempt itself is counted by the fetch.
    pub fn tell(self, facts: &mut Facts) {
        let Self { member, attempts, unconnected, upstream_time, reason, detail, .. } = self;
        (facts.member, facts.attempts, facts.unconnected) = (member, attempts, unconnected);
        (facts.attempt_begun, facts.dialed) = (self.attempt_begun, self.dialed);
        (facts.upstream_time, facts.reason, facts.detail) = (upstream_time, reason, detail);
    }
}

impl Facts {
    /// Nothing is known yet but the request itself.
    fn new(context: Context, listener: usize, framed_twice: bool) -> Self {
        Self {
            context,
            listener,
            framed_twice,
            site: None,
            route: None,
            member: None,
            attempt: None,
            attempts: 0,
            unconnected: 0,
            attempt_begun: None,
            dialed: DialTimes::default(),
            upstream_time: None,
            timed: false,
            body_ended: None,
            received: None,
            tunnel: false,
            status: None,
            sent: 0,
            reason: None,
            detail: None,
            cache: None,
            ended: None,
        }
    }

    /// The facts of a fetch with another head, made for this request or behind its answer.
    #[must_use]
    pub fn for_fetch(&self, head: Head) -> Self {
        let Context { peer, told, trusted, number, id, country, trace, .. } = &self.context;
        let context = Context {
            id: id.clone(),
            head,
            peer: Arc::clone(peer),
            told: *told,
            trusted: *trusted,
            number: *number,
            started: Instant::now(),
            country: *country,
            trace: trace.clone(),
        };
        let (site, route) = (self.site, self.route);
        Self { site, route, ..Self::new(context, self.listener, false) }
    }

    /// Another attempt for the same request follows.
    pub fn ask_again(&mut self) {
        self.context.started = Instant::now();
    }

    /// The response's body broke. This counts against the attempt if the server broke it.
    pub fn attempt_broke(&mut self, error: &BodyError) {
        let outcome = match error {
            BodyError::Truncated | BodyError::Reset(_) => AttemptOutcome::ResponseTruncated,
            BodyError::ReadTimeout => AttemptOutcome::ReadTimeout,
            BodyError::BadChunk | BodyError::BadFrame | BodyError::BadCoding => {
                AttemptOutcome::BadResponse
            }
            BodyError::Client(_) | BodyError::TooLarge | BodyError::File(_) | BodyError::Idle => {
                return;
            }
        };
        if let Some(attempt) = &mut self.attempt {
            *attempt = outcome;
        }
    }

    /// Counts the attempt that has ended, unless it was counted before.
    pub fn count_attempt(&mut self, group: &Group) {
        if let (Some(outcome), Some(member)) = (self.attempt.take(), self.member) {
            group.metrics.attempt(member as usize, outcome);
        }
    }

    /// Where the time went of a request that had ended at `ended`.
    pub fn phases(&self, ended: Instant) -> PhaseTimes {
        let since = |later: Option<Instant>, earlier: Option<Instant>| {
            Some(later?.saturating_duration_since(earlier?))
        };
        let (connect, tls) = (self.dialed.connect(), self.dialed.tls());
        let opening = connect.unwrap_or_default() + tls.unwrap_or_default();
        let head = self.attempt_begun.zip(self.upstream_time).map(|(begun, time)| begun + time);
        PhaseTimes {
            queue: since(self.attempt_begun, Some(self.context.started)),
            connect,
            tls,
            first_byte: self.upstream_time.map(|time| time.saturating_sub(opening)),
            body: since(self.body_ended, head),
            client: since(Some(ended), self.body_ended),
        }
    }

    /// The request as templates see it.
    pub fn scope<'a>(&'a self, route: &'a Route) -> Scope<'a> {
        let (upstream, server) = self.names(Some(route));
        Scope { context: &self.context, route: &route.name, upstream, server, path: None }
    }

    fn names<'a>(&self, route: Option<&'a Route>) -> (&'a str, &'a str) {
        let Some(Route { action: Action::Forward(forward), .. }) = route else { return ("", "") };
        let upstream = &forward.group.upstream;
        let server = self.member.and_then(|member| upstream.members().get(member as usize));
        (upstream.name(), server.map_or("", |member| member.server.address()))
    }
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
        if snapshot.access_logs.is_empty() {
            return;
        }
        let (upstream, server) = facts.names(route);
        let line = LineFacts {
            context: &facts.context,
            host: facts.context.head.target.host().as_bytes(),
            route: route.map_or("", |it| &it.name),
            upstream,
            server,
            attempts: facts.attempts,
            upstream_time: facts.upstream_time,
            status,
            sent: facts.sent,
            received,
            took,
            times: if facts.timed { facts.phases(ended) } else { PhaseTimes::default() },
            trace_id: None,
            cache: facts.cache,
            reason: facts.reason.or_else(|| left_out(facts, route)),
            detail: facts.detail.as_deref(),
        };
        snapshot.access_logs.record(proxy.worker, &line);
    }
}
