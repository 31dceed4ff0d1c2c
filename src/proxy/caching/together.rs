//! Waiting for a fetch: one's own, or one that somebody else has begun.
//!
//! Owns: who waits for whom, and the answer from a fetch. May touch: [`crate::cache`],
//! [`crate::message`], [`crate::task`]. Next: [`super::fill`] fetches.

use super::{
    CachePlace, Facts, Lookup, Refusal, StoredNow,
    fill::{self, Filled, Job},
    hit, stored, unix_now,
};
use crate::{
    cache::{
        flight::{FlightBody, FoundResponse, Reused, Settled, Stage},
        flights::{Joined, Ticket},
        lookup::{FoundKept, response, variant_key},
        policy::{
            Decision,
            cache_status::{Forwarded, Handled},
            decide, may_serve_on_error,
        },
        store::StoreKey,
    },
    message::{answer::Answer, body::Body},
    task,
};
use http::{Method, StatusCode};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use tokio::sync::oneshot;

/// What came of waiting for somebody else.
enum Followed {
    /// The answer.
    Answered(Result<Answer<Body>, Refusal>),
    /// It is for other values of the fields in `Vary`. This is the key for the request's own.
    OtherVariant(StoreKey),
    /// It is for nobody else.
    Alone,
}

/// The last response could not be stored. Whoever wants a part of it, or not even that if it has it,
/// gets this from the server; for the others it is tried again to store it.
pub(super) async fn pass(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    (stored, key): (StoredNow, StoreKey),
    why: Forwarded,
) -> Result<Answer<Body>, Refusal> {
    let ticket = place.caching.cache.alone(key, &request.url, request.host());
    let head = &facts.context.head;
    if stored.is_some() || head.method == Method::GET && !head.present.conditional {
        return lead(place, facts, request, (stored, ticket), why).await;
    }
    let job = Job::new(place, facts, request, None, ticket).passing(head);
    run(place, facts, request, job, why).await
}

/// Gets the answer with somebody else's fetch, or fetches it for all who come.
pub(super) async fn wait_or_lead(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    (stored, mut key): (StoredNow, StoreKey),
    why: Forwarded,
) -> Result<Answer<Body>, Refusal> {
    let cache = &place.caching.cache;
    for _ in 0..2 {
        let fetch = match cache.join(key, &request.url, request.host()) {
            Joined::Lead(ticket) => {
                if let Some(answer) = stored_since(place, facts, request, &stored) {
                    return answer;
                }
                return lead(place, facts, request, (stored, ticket), why).await;
            }
            Joined::Follow(fetch) => fetch,
        };
        match follow(place, facts, request, fetch, why).await {
            Followed::Answered(answer) => return answer,
            Followed::OtherVariant(own) => key = request.waits_by(own),
            Followed::Alone => break,
        }
    }
    let ticket = cache.alone(key, &request.url, request.host());
    lead(place, facts, request, (stored, ticket), why).await
}

/// The answer from what another worker has stored since this request looked: a fetch is in the
/// store before nobody can join it any more, so the one that was to be joined may have ended.
fn stored_since(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    before: &StoredNow,
) -> Option<Result<Answer<Body>, Refusal>> {
    let now = unix_now();
    let found = place.caching.cache.peek(request.key, &facts.context.head.fields, now);
    let Some(FoundKept::Response(entry, fresh)) = found.kept else { return None };
    if before.as_ref().is_some_and(|(it, _)| Arc::ptr_eq(it, &entry)) {
        return None;
    }
    match decide(&fresh, &request.asked, now) {
        Decision::Validate(_) => None,
        decision => Some(hit(place, facts, request, (found.key, entry, fresh), (decision, now))),
    }
}

/// Waits for somebody else's fetch.
async fn follow(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    fetch: FlightBody,
    why: Forwarded,
) -> Followed {
    let stage = fetch.flight().stage().await;
    let variant = match &stage {
        Stage::Streaming(head) => Some((&head.names, head.key)),
        Stage::Settled(Settled::Found(found)) => Some((&found.names, found.key)),
        _ => None,
    };
    if let Some((names, key)) = variant {
        let own = variant_key(request.key, names, &facts.context.head.fields);
        if own != key {
            return Followed::OtherVariant(own);
        }
    }
    let Some(answer) = from_stage(facts, request, fetch, stage, (why, true)) else {
        return Followed::Alone;
    };
    facts.cache.get_or_insert("coalesced");
    place.caching.cache.counts.coalesced.fetch_add(1, Relaxed);
    Followed::Answered(answer)
}

/// Fetches for this request, and for all who join.
pub(super) async fn lead(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    (kept, ticket): (StoredNow, Ticket),
    why: Forwarded,
) -> Result<Answer<Body>, Refusal> {
    let job = Job::new(place, facts, request, kept, ticket);
    run(place, facts, request, job, why).await
}

/// Fetches in a task of its own, which goes on if this client leaves.
async fn run(
    place: CachePlace<'_>,
    facts: &mut Facts,
    request: &Lookup,
    job: Job,
    why: Forwarded,
) -> Result<Answer<Body>, Refusal> {
    let counts = &place.caching.cache.counts;
    let fetch = job.ticket.flight.attend();
    let (reply, filled) = oneshot::channel();
    task::spawn(Box::pin(fill::fill(job, Some(reply))));
    let Ok((told, filled)) = filled.await else {
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "fetch_lost"));
    };
    told.tell(facts);
    facts.cache = Some("miss");
    match filled {
        Filled::Passed(answer, why_not) => {
            counts.misses.fetch_add(1, Relaxed);
            Ok(stored::passed(answer, why, Some(why_not)))
        }
        Filled::Shared => {
            let stage = fetch.flight().stage().await;
            let count = match &stage {
                Stage::Settled(Settled::Stored(_, Reused::Validated)) => {
                    facts.cache = Some("validated");
                    counts.validated.fetch_add(1, Relaxed);
                    &counts.misses
                }
                Stage::Settled(Settled::Found(_)) => &counts.hits,
                _ => &counts.misses,
            };
            count.fetch_add(1, Relaxed);
            from_stage(facts, request, fetch, stage, (why, false))
                .unwrap_or_else(|| Err(Refusal::new(StatusCode::BAD_GATEWAY, "fetch_lost")))
        }
    }
}

/// The answer to a request from a fetch; `None` if its response is not for it.
fn from_stage(
    facts: &mut Facts,
    request: &Lookup,
    fetch: FlightBody,
    stage: Stage,
    (why, collapsed): (Forwarded, bool),
) -> Option<Result<Answer<Body>, Refusal>> {
    match stage {
        Stage::Streaming(head) => {
            let body = fetch.of_length(head.length);
            let outcome = Handled::Forward {
                why,
                status: Some(head.head.status()),
                stored: head.fresh.is_ok(),
                collapsed,
                ttl: head.fresh.ok().map(|it| it.ttl(unix_now())),
                detail: head.fresh.err(),
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
                // The one who began it may have asked for it.
                Reused::OnError(_) if !may_serve_on_error(&fresh, &request.asked, unix_now()) => {
                    return None;
                }
                Reused::OnError(status) => {
                    let is_fresh = fresh.is_fresh(unix_now());
                    let (why, word, detail) = if is_fresh {
                        (why, "hit", "fresh-if-error")
                    } else {
                        (Forwarded::Stale, "stale", "stale-if-error")
                    };
                    facts.cache = Some(word);
                    Handled::Forward {
                        why,
                        status,
                        stored: false,
                        collapsed,
                        ttl: Some(ttl),
                        detail: Some(detail),
                    }
                }
            };
            Some(stored::answer(facts, &entry, &fresh, &outcome))
        }
        Stage::Settled(Settled::Found(found)) => from_tier(facts, request, &found, collapsed),
        Stage::Settled(Settled::Failed(failed)) => {
            let retry_after = failed.retry_after;
            Some(Err(Refusal { retry_after, ..Refusal::new(failed.status, failed.reason) }))
        }
        Stage::Settled(Settled::Pass) | Stage::Waiting => None,
    }
}

/// The answer that a tier beside memory had; `None` if it is not for this request.
fn from_tier(
    facts: &mut Facts,
    request: &Lookup,
    found: &FoundResponse,
    collapsed: bool,
) -> Option<Result<Answer<Body>, Refusal>> {
    let now = unix_now();
    let FoundResponse { tier, entry, fresh, .. } = found;
    facts.cache = match decide(fresh, &request.asked, now) {
        // The one who began it wanted less.
        Decision::Validate(_) if collapsed => return None,
        // For the one who began it, it was fresh when it was found.
        Decision::Fresh | Decision::Validate(_) => Some("hit"),
        Decision::Stale | Decision::StaleWhileRevalidate => Some("stale"),
    };
    let outcome = Handled::Hit { ttl: fresh.ttl(now), detail: Some(tier) };
    Some(stored::answer(facts, entry, fresh, &outcome))
}
