//! The response cache on a request's way, before a server is asked.
//!
//! Owns: what a request gets: a stored response, somebody else's fetch, or a fetch of its own. May
//! touch: [`crate::cache`], [`crate::message`], [`crate::route`], [`crate::snapshot`],
//! [`crate::task`]. Called by [`super::handle`] on routes with a cache. Next: [`fill`] fetches,
//! [`stored`] answers.

mod fill;
mod job;
mod stored;
mod write;

use super::{Proxy, forward, record::Facts, refusal::Refusal};
use crate::{
    cache::{
        Caching,
        flight::{Flight, Reused, Settled, Stage},
        flights::{Joined, Ticket},
        kept::CacheEntry,
        lookup::{FoundKept, LookedUp, response, variant_key},
        policy::{
            Asked, Decision, Freshness, Why,
            cache_status::{Forwarded, Handled},
            decide,
        },
        store::{StoreKey, StoredEntry},
        url,
    },
    message::{answer::Answer, body::Body},
    route::{Forward, Route},
    snapshot::Snapshot,
    task,
};
use fill::{Filled, Job};
use http::{HeaderMap, Method, StatusCode, header};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::oneshot;

/// Where a request is.
#[derive(Clone, Copy)]
pub(super) struct CachePlace<'a> {
    /// The worker's part.
    pub(super) proxy: &'a Arc<Proxy>,
    /// The config.
    pub(super) snapshot: &'a Arc<Snapshot>,
    /// The route, with its number.
    pub(super) route: (u32, &'a Route),
    /// Its action.
    pub(super) forward: &'a Forward,
    /// Its cache.
    pub(super) caching: &'a Caching,
    /// The normalised path, if it differs from the one received.
    pub(super) unclean: Option<&'a str>,
}

/// A request as the cache sees it.
struct Lookup {
    asked: Asked,
    /// What the server is to get, if parameters are left out.
    target: Option<String>,
    /// Scheme, host, path and query.
    url: String,
    key: StoreKey,
}

/// What is stored, and how fresh it is.
type StoredNow = Option<(Arc<StoredEntry<CacheEntry>>, Freshness)>;

/// Seconds since 1970.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

/// The answer to a request, from the cache if it can be.
pub(super) async fn answer(
    place: CachePlace<'_>,
    facts: &mut Facts,
    body: Body,
) -> Result<Answer<Body>, Refusal> {
    facts.context.head.fields.map();
    let mut answer = match facts.context.head.method {
        Method::GET | Method::HEAD => read(place, facts, body).await,
        _ => Box::pin(write::answer(place, facts, body)).await,
    }?;
    if place.caching.settings.hide_tags {
        let fields = answer.fields.map();
        fields.remove("surrogate-key");
        fields.remove("cache-tag");
    }
    Ok(answer)
}

/// The answer to GET and HEAD.
async fn read(
    place: CachePlace<'_>,
    facts: &mut Facts,
    body: Body,
) -> Result<Answer<Body>, Refusal> {
    let CachePlace { caching, .. } = place;
    if let Some(detail) = goes_by(caching, facts, &body) {
        facts.cache = Some("bypass");
        let answer = forward(place, facts, body).await;
        return answer.map(|it| stored::passed(it, Forwarded::Bypass, Some(detail)));
    }
    let request = request(caching, facts);
    let now = unix_now();
    let LookedUp { key, kept } =
        caching.cache.look_up(request.key, facts.context.head.fields.map(), now);
    let mut why = Forwarded::UriMiss;
    let mut shared = !request.asked.no_store();
    let mut stored = None;
    match kept {
        Some(FoundKept::Response(entry, fresh)) => match decide(&fresh, &request.asked, now) {
            Decision::Validate(reason) => {
                // Who asks for a new response does not wait for an older fetch.
                let by_server = matches!(reason, Why::Expired | Why::ResponseNoCache);
                why = if by_server { Forwarded::Stale } else { Forwarded::Request };
                shared &= by_server;
                stored = Some((entry, fresh));
            }
            decision => return hit(place, facts, &request, (key, entry, fresh), decision),
        },
        Some(FoundKept::OtherVariants) => why = Forwarded::VaryMiss,
        Some(FoundKept::Passed) => shared = false,
        None => {}
    }
    if request.asked.only_if_cached() {
        // RFC 9111 §5.2.1.7.
        return Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "only_if_cached"));
    }
    let ticket = match shared.then(|| caching.cache.flights.join(key)) {
        Some(Joined::Lead(ticket)) => ticket,
        Some(Joined::Follow(flight)) => {
            if let Some(answer) = follow(place, facts, &request, &flight, why).await {
                return answer;
            }
            // Its response is not for this request.
            Ticket::alone(key)
        }
        None => Ticket::alone(key),
    };
    lead(place, facts, &request, (stored, ticket), why).await
}

/// What is stored is the answer.
fn hit(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    (key, entry, fresh): (StoreKey, Arc<StoredEntry<CacheEntry>>, Freshness),
    decision: Decision,
) -> Result<Answer<Body>, Refusal> {
    let Caching { cache, settings, .. } = place.caching;
    let now = unix_now();
    let is_fresh = matches!(decision, Decision::Fresh);
    let ahead = settings.refresh_ahead;
    if matches!(decision, Decision::StaleWhileRevalidate)
        || is_fresh && ahead > 0.0 && fresh.used(now) >= ahead
    {
        refresh_behind(place, facts, request, (key, &entry, fresh));
    }
    facts.cache = Some(if is_fresh { "hit" } else { "stale" });
    let count = if is_fresh { &cache.counts.hits } else { &cache.counts.stale };
    count.fetch_add(1, Relaxed);
    let outcome = Handled::Hit { ttl: fresh.ttl(now), detail: None };
    stored::answer(facts, &entry, &fresh, &outcome)
}

/// Why a request does not concern the cache.
fn goes_by(caching: &Caching, facts: &Facts, body: &Body) -> Option<&'static str> {
    let head = &facts.context.head;
    if head.protocols.is_some() {
        return Some("upgrade");
    }
    if !body.is_ended() {
        // A server may answer by the content, which is no part of the key.
        return Some("content");
    }
    let names = &caching.settings.bypass_cookies;
    if !names.is_empty() && url::has_cookie(head.fields.values(&header::COOKIE), names) {
        return Some("cookie");
    }
    None
}

fn request(caching: &Caching, facts: &Facts) -> Lookup {
    let head = &facts.context.head;
    let scheme = facts.context.scheme();
    let settings = &caching.settings;
    let target = url::filtered(head.target.path(), head.target.query(), &settings.query);
    let path_and_query = target.as_deref().unwrap_or(head.target.path_and_query());
    let url = url::absolute(scheme, head.target.host(), path_and_query);
    let cookies = job::kept_cookies(settings, &head.fields).unwrap_or_default();
    let key = StoreKey::of(&[url.as_bytes(), &cookies]);
    // What is stored is for GET and HEAD; it is fetched by GET.
    let asked = match head.fields.as_map() {
        Some(fields) => Asked::new(&Method::GET, fields, settings.heed_client),
        None => Asked::new(&Method::GET, &HeaderMap::new(), settings.heed_client),
    };
    Lookup { asked, target, url, key }
}

/// Waits for somebody else's fetch; `None` if its response is not for this request.
async fn follow(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    flight: &Arc<Flight>,
    why: Forwarded,
) -> Option<Result<Answer<Body>, Refusal>> {
    let stage = flight.stage().await;
    facts.cache = Some("coalesced");
    let answer = from_stage(facts, request, flight, stage, (why, true));
    let counts = &place.caching.cache.counts;
    if answer.is_some() {
        counts.coalesced.fetch_add(1, Relaxed);
    }
    answer
}

/// Fetches in a task of its own, which goes on if this client leaves.
async fn lead(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    (kept, ticket): (StoredNow, Ticket),
    why: Forwarded,
) -> Result<Answer<Body>, Refusal> {
    place.caching.cache.counts.misses.fetch_add(1, Relaxed);
    let flight = Arc::clone(&ticket.flight);
    let (reply, filled) = oneshot::channel();
    let job = Job::new(place, facts, request, kept, ticket);
    task::spawn(Box::pin(fill::fill(job, Some(reply))));
    let Ok((told, filled)) = filled.await else {
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "fetch_lost"));
    };
    told.tell(facts);
    facts.cache = Some("miss");
    match filled {
        Filled::Passed(answer, why_not) => Ok(stored::passed(answer, why, Some(why_not))),
        Filled::Shared => {
            let stage = flight.stage().await;
            if let Stage::Settled(Settled::Stored(_, Reused::Validated)) = stage {
                facts.cache = Some("validated");
                place.caching.cache.counts.validated.fetch_add(1, Relaxed);
            }
            from_stage(facts, request, &flight, stage, (why, false))
                .unwrap_or_else(|| Err(Refusal::new(StatusCode::BAD_GATEWAY, "fetch_lost")))
        }
    }
}

/// The answer to a request from a fetch; `None` if its response is not for it.
fn from_stage(
    facts: &mut Facts,
    request: &Lookup,
    flight: &Arc<Flight>,
    stage: Stage,
    (why, collapsed): (Forwarded, bool),
) -> Option<Result<Answer<Body>, Refusal>> {
    match stage {
        Stage::Streaming(head) => {
            let fields = facts.context.head.fields.map();
            if variant_key(request.key, &head.names, fields) != head.key {
                return None;
            }
            let body = flight.read(head.length)?;
            let outcome = Handled::Forward {
                why,
                status: Some(head.head.status()),
                stored: true,
                collapsed,
                ttl: Some(head.fresh.ttl(unix_now())),
                detail: None,
            };
            Some(stored::streamed(facts, &head, body, &outcome))
        }
        Stage::Settled(Settled::Stored(entry, reused)) => {
            let fresh = response(&entry)?.fresh;
            let ttl = fresh.ttl(unix_now());
            let outcome = match reused {
                Reused::Validated => Handled::Forward {
                    why: Forwarded::Stale,
                    status: Some(304),
                    stored: true,
                    collapsed,
                    ttl: Some(ttl),
                    detail: None,
                },
                Reused::OnError(status) => {
                    facts.cache = Some("stale");
                    Handled::Forward {
                        why: Forwarded::Stale,
                        status,
                        stored: false,
                        collapsed,
                        ttl: Some(ttl),
                        detail: Some("stale-if-error"),
                    }
                }
            };
            Some(stored::answer(facts, &entry, &fresh, &outcome))
        }
        Stage::Settled(Settled::Failed(failed)) => {
            let retry_after = failed.retry_after;
            Some(Err(Refusal { retry_after, ..Refusal::new(failed.status, failed.reason) }))
        }
        Stage::Settled(Settled::Pass) | Stage::Waiting => None,
    }
}

/// Fetches what is stored again, while the client gets the answer from it.
fn refresh_behind(
    place: CachePlace<'_>,
    facts: &Facts,
    request: &Lookup,
    (key, entry, fresh): (StoreKey, &Arc<StoredEntry<CacheEntry>>, Freshness),
) {
    let cache = &place.caching.cache;
    let Joined::Lead(ticket) = cache.flights.join(key) else { return };
    cache.counts.refreshes.fetch_add(1, Relaxed);
    let kept = Some((Arc::clone(entry), fresh));
    let job = Job::new(place, facts, request, kept, ticket).behind();
    task::spawn(Box::pin(fill::fill(job, None)));
}

/// Asks a server for this request alone.
async fn forward(
    place: CachePlace<'_>,
    facts: &mut Facts,
    body: Body,
) -> Result<Answer<Body>, Refusal> {
    let CachePlace { proxy, route: (_, route), forward, unclean, .. } = place;
    Box::pin(forward::forward(proxy, route, forward, facts, body, unclean)).await
}

/// Fetches what a write has changed, at once or behind the answer.
async fn refresh(place: CachePlace<'_>, facts: &Facts, request: &Lookup, wait: bool) {
    let cache = &place.caching.cache;
    cache.counts.refreshes.fetch_add(1, Relaxed);
    let Some(fields) = facts.context.head.fields.as_map() else { return };
    let found = cache.look_up(request.key, fields, unix_now());
    let Joined::Lead(ticket) = cache.flights.join(found.key) else { return };
    let flight = Arc::clone(&ticket.flight);
    let job = Job::new(place, facts, request, None, ticket).behind();
    task::spawn(Box::pin(fill::fill(job, None)));
    if wait {
        flight.ended().await;
    }
}
