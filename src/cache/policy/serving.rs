//! Whether a stored response may answer a request (RFC 9111 §4, §4.2.4, §5.2.1; RFC 5861).
//!
//! Owns: the decision, given what was asked and how fresh the response is. May touch: nothing
//! outside this room.

use http::StatusCode;

use super::{Asked, Freshness};

/// What to do with a stored response that a request selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Serve it.
    Fresh,
    /// Serve it though it is stale: the client allows it.
    Stale,
    /// Serve it though it is stale, and refresh it behind the client's back.
    StaleWhileRevalidate,
    /// Ask the server first.
    Validate(Why),
}

/// Why the server must be asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is stale, and no rule allows it.
    Expired,
    /// The request has `no-cache`.
    RequestNoCache,
    /// It is older than the request's `max-age`.
    RequestMaxAge,
    /// It does not stay fresh for the request's `min-fresh`.
    RequestMinFresh,
    /// The response has `no-cache`.
    ResponseNoCache,
}

/// What to do with the response for this request.
pub fn decide(fresh: &Freshness, asked: &Asked, now: u64) -> Decision {
    // §5.2.2.4, §4: nothing that a request says lifts this.
    if fresh.no_cache {
        return Decision::Validate(Why::ResponseNoCache);
    }
    // §5.2.1.4.
    if asked.no_cache() {
        return Decision::Validate(Why::RequestNoCache);
    }
    // §5.2.1.1. An age is cut to whole seconds, so that nothing is certainly as young as 0. A 0 is what
    // browsers send to reload a page, and RFC 8246 §2 is about just that: there is nothing new. Who
    // doubts it sends no-cache.
    let is_needless = asked.max_age == Some(0) && fresh.immutable && fresh.is_fresh(now);
    let is_too_old = |most| most == 0 || fresh.age(now) > most;
    if !is_needless && asked.max_age.is_some_and(is_too_old) {
        return Decision::Validate(Why::RequestMaxAge);
    }
    if fresh.is_fresh(now) {
        // §5.2.1.3.
        return match asked.min_fresh {
            Some(least) if fresh.ttl(now) < i64::from(least) => {
                Decision::Validate(Why::RequestMinFresh)
            }
            _ => Decision::Fresh,
        };
    }
    if asked.min_fresh.is_some() {
        return Decision::Validate(Why::Expired);
    }
    let stale_for = fresh.stale_for(now);
    // §5.2.1.1: whoever sends max-age without max-stale wants nothing stale. §5.2.1.2: the limit of
    // the client also holds for what the response would allow.
    let wants_none = asked.max_age.is_some() && asked.max_stale.is_none();
    if wants_none || asked.max_stale.is_some_and(|most| stale_for > most) {
        return Decision::Validate(Why::Expired);
    }
    // RFC 5861 §3.
    if fresh.while_revalidate > 0 && stale_for <= fresh.while_revalidate {
        return Decision::StaleWhileRevalidate;
    }
    // §4.2.4: max-stale, unless the response forbids it.
    if asked.max_stale.is_some() && !fresh.must_revalidate {
        return Decision::Stale;
    }
    Decision::Validate(Why::Expired)
}

/// Whether a status means that the server failed (RFC 5861 §4).
pub fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// Whether the response may be served because the server could not be reached, or failed
/// ([`is_failure`]). What the client said about freshness does not count then (RFC 5861 §4): it is
/// only a wish (RFC 9111 §5.2.1), and a fresh response is better than an error. What forbids stale
/// responses counts (RFC 9111 §4.2.4).
pub fn may_serve_on_error(fresh: &Freshness, asked: &Asked, now: u64) -> bool {
    if fresh.no_cache {
        return false;
    }
    if fresh.is_fresh(now) {
        return true;
    }
    let by_client = asked.stale_if_error.filter(|_| !fresh.must_revalidate).unwrap_or(0);
    let limit = fresh.if_error.max(by_client);
    limit > 0 && fresh.stale_for(now) <= limit
        || !matches!(decide(fresh, asked, now), Decision::Validate(_))
}
