//! The response cache on a request's way, before a server is asked.
//!
//! Owns: what a request gets: a stored response, somebody else's fetch, or a fetch of its own. May
//! touch: [`crate::cache`], [`crate::http1`], [`crate::message`], [`crate::route`],
//! [`crate::snapshot`], [`crate::task`]. Called by [`super::handle`] on routes with a cache. Next:
//! [`together`] waits or fetches, [`stored`] answers.

mod fill;
mod job;
mod keep;
pub(super) mod preview;
mod stored;
mod tiers;
mod together;
mod write;

use super::{Proxy, facts::Facts, forward, refusal::Refusal};
use crate::{
    cache::{
        Caching,
        flights::Joined,
        kept::CacheEntry,
        lookup::{FoundKept, LookedUp, url_key},
        policy::{
            Asked, Decision, Freshness, Why,
            cache_status::{Forwarded, Handled},
            decide,
        },
        store::{StoreKey, StoredEntry},
        url,
    },
    http1::request::Head,
    message::{answer::Answer, body::Body},
    route::{Forward, Route},
    snapshot::Snapshot,
    task,
};
use fill::Job;
use futures_util::future::Either;
use http::{Method, StatusCode, header};
use std::{
    future::ready,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};
use together::{lead, pass, wait_or_lead};

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
    /// It has `Authorization`. What comes of it is mostly for itself, so that others do not wait for
    /// it, nor it for them.
    authorized: bool,
}

impl Lookup {
    /// As the URL has it.
    fn host(&self) -> &str {
        url::host_of(&self.url)
    }

    /// By which it finds those who wait for the same, given the key of what is stored.
    fn waits_by(&self, key: StoreKey) -> StoreKey {
        let alone = || StoreKey::of(&[&key.to_u128().to_be_bytes(), b"authorization"]);
        if self.authorized { alone() } else { key }
    }
}

/// What is not answered from what is stored.
enum Missed {
    /// It may change something.
    Write,
    /// It does not concern the cache, and why.
    Bypass(&'static str),
    /// A server is asked.
    Fetch(Lookup, ToFetch),
}

/// What is known before a server is asked.
struct ToFetch {
    /// By which those who wait for the same find it.
    key: StoreKey,
    /// What may still be right.
    stored: StoredNow,
    why: Forwarded,
    /// Its last response could not be stored.
    passed: bool,
    /// It may wait for others, and they for it.
    shared: bool,
}

/// What is stored, and how fresh it is.
type StoredNow = Option<(Arc<StoredEntry<CacheEntry>>, Freshness)>;

/// Seconds since 1970.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

/// The answer to a request, from the cache if it can be: then without a future that waits.
pub(super) fn answer<'a>(
    place: CachePlace<'a>,
    facts: &'a mut Facts,
    body: Body,
) -> impl Future<Output = Result<Answer<Body>, Refusal>> + 'a {
    let Head { fields, present, .. } = &mut facts.context.head;
    if present.conditional || present.for_caches {
        // Others are not looked for by name before a server is asked.
        fields.map();
    }
    let missed = match read(place, facts, body.is_ended()) {
        Ok(answer) => return Either::Left(ready(answer.map(|it| shown(place, it)))),
        Err(missed) => missed,
    };
    Either::Right(Box::pin(async move {
        let answer = match *missed {
            Missed::Write => Box::pin(write::answer(place, facts, body)).await?,
            Missed::Bypass(detail) => {
                facts.cache = Some("bypass");
                let answer = forward(place, facts, body).await?;
                stored::passed(answer, Forwarded::Bypass, Some(detail))
            }
            Missed::Fetch(request, missed) => fetch(place, facts, &request, missed).await?,
        };
        Ok(shown(place, answer))
    }))
}

/// As the client gets it.
fn shown(place: CachePlace<'_>, mut answer: Answer<Body>) -> Answer<Body> {
    if place.caching.settings.hide_tags {
        let fields = answer.fields.map();
        fields.remove("surrogate-key");
        fields.remove("cache-tag");
    }
    answer
}

/// The answer from what is stored.
fn read(
    place: CachePlace<'_>,
    facts: &mut Facts,
    bodyless: bool,
) -> Result<Result<Answer<Body>, Refusal>, Box<Missed>> {
    let (caching, now) = (place.caching, unix_now());
    let request = concerned(caching, facts, bodyless)?;
    let found = caching.cache.look_up(request.key, &facts.context.head.fields, now);
    match judge(caching, request, found, now)? {
        Judged::Hit(request, kept, decision) => {
            Ok(hit(place, facts, &request, kept, (decision, now)))
        }
        // RFC 9111 §5.2.1.7.
        Judged::OnlyIfCached => {
            Ok(Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "only_if_cached")))
        }
    }
}

/// The request as the cache sees it, if it concerns the cache. `bodyless` says that it has no body.
fn concerned(caching: &Caching, facts: &Facts, bodyless: bool) -> Result<Lookup, Box<Missed>> {
    if !matches!(facts.context.head.method, Method::GET | Method::HEAD) {
        return Err(Box::new(Missed::Write));
    }
    match goes_by(caching, facts, bodyless) {
        Some(detail) => Err(Box::new(Missed::Bypass(detail))),
        None => Ok(request(caching, facts)),
    }
}

/// What is known without a server.
enum Judged {
    /// What is stored is the answer.
    Hit(Lookup, (StoreKey, Arc<StoredEntry<CacheEntry>>, Freshness), Decision),
    /// The client wants nothing that is not stored.
    OnlyIfCached,
}

/// Whether what was found is the answer.
fn judge(
    caching: &Caching,
    request: Lookup,
    LookedUp { key, kept }: LookedUp,
    now: u64,
) -> Result<Judged, Box<Missed>> {
    let mut why = Forwarded::UriMiss;
    let mut shared = !request.asked.no_store();
    let (mut stored, mut passed) = (None, false);
    match kept {
        Some(FoundKept::Response(entry, fresh)) => match decide(&fresh, &request.asked, now) {
            Decision::Validate(reason) => {
                // Who asks for a new response does not wait for an older fetch.
                let by_server = matches!(reason, Why::Expired | Why::ResponseNoCache);
                why = if by_server { Forwarded::Stale } else { Forwarded::Request };
                shared &= by_server;
                stored = Some((entry, fresh));
            }
            decision => return Ok(Judged::Hit(request, (key, entry, fresh), decision)),
        },
        Some(FoundKept::OtherVariants) => why = Forwarded::VaryMiss,
        Some(FoundKept::Passed) => passed = true,
        None => {}
    }
    if request.asked.only_if_cached() {
        return Ok(Judged::OnlyIfCached);
    }
    let key = request.waits_by(key);
    passed |= request.authorized && caching.cache.is_passed(key, now);
    Err(Box::new(Missed::Fetch(request, ToFetch { key, stored, why, passed, shared })))
}

/// The answer to GET and HEAD by a fetch.
async fn fetch(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    missed: ToFetch,
) -> Result<Answer<Body>, Refusal> {
    let ToFetch { key, stored, why, passed, shared } = missed;
    if passed {
        return pass(place, facts, request, (stored, key), why).await;
    }
    if !shared {
        let ticket = place.caching.cache.alone(key, &request.url, request.host());
        return lead(place, facts, request, (stored, ticket), why).await;
    }
    wait_or_lead(place, facts, request, (stored, key), why).await
}

/// What is stored is the answer.
fn hit(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    (key, entry, fresh): (StoreKey, Arc<StoredEntry<CacheEntry>>, Freshness),
    (decision, now): (Decision, u64),
) -> Result<Answer<Body>, Refusal> {
    let Caching { cache, settings, .. } = place.caching;
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
fn goes_by(caching: &Caching, facts: &Facts, bodyless: bool) -> Option<&'static str> {
    let head = &facts.context.head;
    if head.protocols.is_some() {
        return Some("upgrade");
    }
    if !bodyless {
        // A server may answer by the content, which is no part of the key.
        return Some("content");
    }
    // RFC 9111 §4.3.2: no cache tests these; only the server knows its present state.
    let for_server = [header::IF_MATCH, header::IF_UNMODIFIED_SINCE];
    if head.present.conditional && for_server.iter().any(|it| head.fields.get(it).is_some()) {
        return Some("precondition");
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
    let fields = &head.fields;
    let (cookies, told) = job::key_parts(caching, facts);
    let key = url_key(&url, &cookies, &told);
    // Text is as it came. It says nothing to caches, or it were a map.
    // What is stored is for GET and HEAD; it is fetched by GET.
    let (authorized, asked) = match fields.as_map() {
        Some(fields) => (
            fields.contains_key(header::AUTHORIZATION),
            Asked::new(&Method::GET, fields, settings.heed_client),
        ),
        None => (head.present.authorization, Asked::nothing()),
    };
    Lookup { asked, target, url, key, authorized }
}

/// Fetches what is stored again, while the client gets the answer from it.
fn refresh_behind(
    place: CachePlace<'_>,
    facts: &Facts,
    request: &Lookup,
    (key, entry, fresh): (StoreKey, &Arc<StoredEntry<CacheEntry>>, Freshness),
) {
    let cache = &place.caching.cache;
    let key = request.waits_by(key);
    let Joined::Lead(ticket) = cache.join(key, &request.url, request.host()) else { return };
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
    let found = cache.look_up(request.key, &facts.context.head.fields, unix_now());
    let key = request.waits_by(found.key);
    let flight = match cache.join(key, &request.url, request.host()) {
        Joined::Lead(ticket) => {
            let flight = Arc::clone(&ticket.flight);
            let job = Job::new(place, facts, request, None, ticket).behind();
            task::spawn(Box::pin(fill::fill(job, None)));
            flight
        }
        // It began after the write.
        Joined::Follow(fetch) => Arc::clone(fetch.flight()),
    };
    if wait {
        flight.ended().await;
    }
}
