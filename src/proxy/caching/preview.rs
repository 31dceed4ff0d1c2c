//! What the cache would do with a request, without doing it.
//!
//! Owns: what is told of it. May touch: [`crate::cache`], [`crate::message`], [`crate::route`].
//! [`crate::proxy::rehearsal`] asks; nothing is counted, and no fetch begins.

use super::{Judged, Missed, concerned, job, judge, stored, unix_now};
use crate::{
    cache::{
        Caching,
        policy::{
            Decision,
            cache_status::{Forwarded, Handled},
        },
    },
    message::{answer::Answer, body::Body},
    proxy::{facts::Facts, refusal::Refusal},
    route::Forward,
};
use http::StatusCode;

/// What the cache would do.
pub struct CacheView {
    /// The cache's name.
    pub name: String,
    /// What the response is stored under; `None` if the request does not concern the cache.
    pub url: Option<String>,
    /// `hit`, `stale`, `miss`, `bypass` or `only_if_cached`.
    pub outcome: &'static str,
    /// Why.
    pub why: String,
    /// Seconds that what is stored stays fresh; negative if it is stale.
    pub ttl: Option<i64>,
    /// The answer, if no server is asked.
    pub answer: Option<Result<Answer<Body>, Refusal>>,
    /// The request that a server gets, if it is not the client's.
    pub fetch: Option<Box<Facts>>,
}

/// What the cache would do with a request. `bodyless` says that it has no body.
pub(in crate::proxy) fn preview(
    forward: &Forward,
    caching: &Caching,
    facts: &mut Facts,
    bodyless: bool,
) -> CacheView {
    facts.context.head.fields.map();
    let view = CacheView {
        name: caching.cache.name.to_string(),
        url: None,
        outcome: "bypass",
        why: String::new(),
        ttl: None,
        answer: None,
        fetch: None,
    };
    let now = unix_now();
    let request = match concerned(caching, facts, bodyless) {
        Ok(request) => request,
        Err(missed) => return view.missed(*missed, forward, caching, facts, now),
    };
    let url = Some(request.url.clone());
    let found = caching.cache.peek(request.key, &facts.context.head.fields, now);
    match judge(caching, request, found, now) {
        Ok(Judged::Hit(_, (_, entry, fresh), decision)) => {
            let ttl = fresh.ttl(now);
            let (outcome, why) = match decision {
                Decision::Fresh => ("hit", format!("fresh by {}", fresh.source().word())),
                Decision::StaleWhileRevalidate => {
                    ("stale", "stale, and fetched again behind the answer".into())
                }
                _ => ("stale", "stale, and the client allows it".into()),
            };
            let outcome_told = Handled::Hit { ttl, detail: None };
            let answer = Some(stored::answer(facts, &entry, &fresh, &outcome_told));
            CacheView { url, outcome, why, ttl: Some(ttl), answer, ..view }
        }
        Ok(Judged::OnlyIfCached) => {
            let refusal = Refusal::new(StatusCode::GATEWAY_TIMEOUT, "only_if_cached");
            let why = "nothing is stored, and the client wants nothing else".into();
            CacheView { url, outcome: "only_if_cached", why, answer: Some(Err(refusal)), ..view }
        }
        Err(missed) => view.missed(*missed, forward, caching, facts, now),
    }
}

impl CacheView {
    /// A server is asked.
    fn missed(
        self,
        missed: Missed,
        forward: &Forward,
        caching: &Caching,
        facts: &Facts,
        now: u64,
    ) -> Self {
        match missed {
            Missed::Write => {
                let why = "it may change what is stored: if it succeeds, that is invalid";
                Self { why: why.into(), ..self }
            }
            Missed::Bypass(detail) => {
                Self { why: format!("it does not concern the cache: {detail}"), ..self }
            }
            Missed::Fetch(request, fetch) => {
                let mut head = job::head(forward, caching, &facts.context.head, &request);
                let mut ttl = None;
                if let Some((entry, fresh)) = &fetch.stored {
                    job::validate(&mut head, entry);
                    ttl = Some(fresh.ttl(now));
                }
                let why = match fetch.why {
                    _ if fetch.passed => "its last response could not be stored",
                    Forwarded::VaryMiss => "stored is only what is for other values of `Vary`",
                    Forwarded::Stale => "what is stored is stale: it is validated",
                    Forwarded::Request => "the client wants what is stored validated",
                    _ if caching.cache.tiers().is_some() => {
                        "it is not in memory; the tiers beside it are looked at first"
                    }
                    _ => "nothing is stored",
                };
                if fetch.passed {
                    job::ask_as(&facts.context.head, &mut head);
                }
                let fetch = Some(Box::new(facts.for_fetch(head)));
                Self {
                    url: Some(request.url),
                    outcome: "miss",
                    why: why.into(),
                    ttl,
                    fetch,
                    ..self
                }
            }
        }
    }
}
