//! How long a response is fresh (RFC 9111 §4.2.1, §4.2.2).
//!
//! Owns: the order in which a response's own words, the operator's and the heuristic count. May
//! touch: nothing outside this room.

use http::{
    HeaderMap, StatusCode,
    header::{DATE, EXPIRES, LAST_MODIFIED},
};

use super::{Rules, age::clamp, dates, directives::Directives, list::MAX_SECONDS};

/// The statuses that are cacheable without an explicit lifetime (RFC 9110 §15.1), without 206.
const HEURISTICALLY_CACHEABLE: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// The most that the heuristic gives: a day.
const HEURISTIC_LIMIT: u64 = 86_400;

/// Until which age the response is fresh; `None` if it may not be stored without an explicit
/// lifetime (§3), and has none.
pub(super) fn lifetime(
    status: StatusCode,
    response: &HeaderMap,
    directives: &Directives,
    received: u64,
    initial_age: u32,
    rules: &Rules,
) -> Option<u32> {
    // The operator's times count from when the response came.
    let from_now = |seconds: u32| initial_age.saturating_add(seconds).min(MAX_SECONDS);
    let is_listed = rules.statuses.contains(&status.as_u16());
    let by_default = rules.default_ttl.filter(|_| is_listed).map(from_now);
    let by_heuristic = || {
        let is_cacheable = HEURISTICALLY_CACHEABLE.contains(&status.as_u16()) || directives.public;
        is_cacheable.then(|| heuristic(response, received))
    };
    let at_least = (is_listed && rules.min_ttl > 0).then(|| from_now(rules.min_ttl));
    let found = explicit(response, directives, received).or(by_default).or_else(by_heuristic);
    // A time is greater than none.
    let raised = found.max(at_least)?;
    Some(rules.max_ttl.map_or(raised, |most| raised.min(from_now(most))))
}

/// The lifetime that the response states (§4.2.1).
fn explicit(response: &HeaderMap, directives: &Directives, received: u64) -> Option<u32> {
    let stated = directives.lifetime();
    // RFC 9213 §2.2: with a targeted field, Expires does not count either.
    if stated.is_some() || directives.is_targeted {
        return stated;
    }
    // §5.3: what is no date, as 0, is in the past; of several, the earliest.
    let lines = response.get_all(EXPIRES).iter();
    let expires = lines.map(|it| dates::read(it).unwrap_or(0)).min()?;
    let date = dates::earliest(response, &DATE).unwrap_or(received);
    Some(clamp(expires.saturating_sub(date)))
}

/// §4.2.2: a tenth of the time for which the response had not changed when it was made.
fn heuristic(response: &HeaderMap, received: u64) -> u32 {
    let date = dates::earliest(response, &DATE).map_or(received, |date| date.min(received));
    let modified = response.get_all(LAST_MODIFIED).iter();
    let modified = modified.map(|it| dates::read(it).unwrap_or(u64::MAX)).max();
    let unchanged = date.saturating_sub(modified.unwrap_or(u64::MAX));
    clamp((unchanged / 10).min(HEURISTIC_LIMIT))
}
