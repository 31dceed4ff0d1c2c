//! What is known of a request, from its head to its end.
//!
//! Owns: the facts gathered on the way. May touch: [`crate::http1`], [`crate::message`],
//! [`crate::observe`], [`crate::origin`], [`crate::route`]. Next: [`super::record`] counts and logs
//! them.

use super::traced::{AttemptEnd, Traced};
use crate::{
    http1::request::Head,
    message::{
        body::BodyError,
        context::{Context, Scope},
    },
    observe::{line_facts::NotedField, outcome::AttemptOutcome, phase_times::PhaseTimes},
    origin::{Way, dial_times::DialTimes},
    route::{Action, Group, Route},
};
use http::StatusCode;
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

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
    /// The status that the last attempt's server answered with.
    pub attempt_status: Option<StatusCode>,
    /// What is kept for the request's spans, if it may have any.
    pub traced: Option<Box<Traced>>,
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
    /// The answer's fields that a log or a counter asks about.
    pub response_fields: Vec<NotedField>,
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
    pub(super) fn new(context: Context, listener: usize, framed_twice: bool) -> Self {
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
            attempt_status: None,
            traced: None,
            timed: false,
            body_ended: None,
            received: None,
            tunnel: false,
            status: None,
            response_fields: Vec::new(),
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
        // Its attempts are told of by the fetch.
        let traced = self.traced.as_ref().map(|_| Box::default());
        Self { site, route, traced, ..Self::new(context, self.listener, false) }
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
            self.trace_end(outcome);
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

    /// Keeps what servers are asked for, if it is not what the client asked for.
    pub(super) fn trace_target(&mut self, target: Option<&str>) {
        if let Some(traced) = &mut self.traced {
            traced.target = target.map(Into::into);
        }
    }

    /// Notes how the attempt came to its connection.
    pub(super) fn trace_way(&mut self, way: Way) {
        if let Some(attempt) = self.traced.as_mut().and_then(|it| it.attempts.last_mut()) {
            attempt.way = Some(way);
        }
    }

    /// Notes how the attempt ended, which is ending now unless its body has ended before.
    pub(super) fn trace_end(&mut self, outcome: AttemptOutcome) {
        let Some(traced) = &mut self.traced else { return };
        let Some(attempt) = traced.attempts.last_mut().filter(|it| it.end.is_none()) else {
            return;
        };
        let failed = !matches!(outcome, AttemptOutcome::Success | AttemptOutcome::Status);
        attempt.end = Some(AttemptEnd {
            at: self.body_ended.unwrap_or_else(Instant::now),
            connect: self.dialed.connect(),
            tls: self.dialed.tls(),
            head: self.upstream_time,
            status: self.attempt_status,
            outcome,
            detail: self.detail.clone().filter(|_| failed),
        });
    }

    /// The names of its upstream and of the server tried last, or empty.
    pub fn names<'a>(&self, route: Option<&'a Route>) -> (&'a str, &'a str) {
        let Some(Route { action: Action::Forward(forward), .. }) = route else { return ("", "") };
        let upstream = &forward.group.upstream;
        let server = self.member.and_then(|member| upstream.members().get(member as usize));
        (upstream.name(), server.map_or("", |member| member.server.address()))
    }
}
