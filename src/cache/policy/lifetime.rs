//! How long a response is fresh (RFC 9111 §4.2.1, §4.2.2).
//!
//! Owns: the order in which a response's own words, the operator's and the heuristic count. May
//! touch: nothing outside this room.

use http::{
    HeaderMap, StatusCode,
    header::{DATE, EXPIRES, LAST_MODIFIED},
};

use serde::{Deserialize, Serialize};

use super::{Rules, age::clamp, dates, directives::Directives, list::MAX_SECONDS};

/// The statuses that are cacheable without an explicit lifetime (RFC 9110 §15.1), without 206.
const HEURISTICALLY_CACHEABLE: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// The most that the heuristic gives: a day.
const HEURISTIC_LIMIT: u64 = 86_400;

/// Where a response's lifetime is from. The order is part of what tiers write: a new one goes to the
/// end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LifetimeSource {
    /// It has none: it is only stored to be validated, or served stale.
    None,
    /// `CDN-Cache-Control`.
    Targeted,
    /// `s-maxage`.
    SMaxage,
    /// `max-age`.
    MaxAge,
    /// `Expires`.
    Expires,
    /// A tenth of the time since `Last-Modified`.
    Heuristic,
    /// The operator's `default_ttl`.
    DefaultTtl,
    /// The operator's `min_ttl`, which was longer.
    MinTtl,
    /// The operator's `max_ttl`, which was shorter.
    MaxTtl,
}

impl LifetimeSource {
    /// One word for people and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Targeted => "cdn-cache-control",
            Self::SMaxage => "s-maxage",
            Self::MaxAge => "max-age",
            Self::Expires => "expires",
            Self::Heuristic => "heuristic",
            Self::DefaultTtl => "default_ttl",
            Self::MinTtl => "min_ttl",
            Self::MaxTtl => "max_ttl",
        }
    }
}

/// Until which age the response is fresh, and who says so; `None` if it may not be stored without
/// an explicit lifetime (§3), and has none.
pub(super) fn lifetime(
    status: StatusCode,
    response: &HeaderMap,
    directives: &Directives,
    received: u64,
    initial_age: u32,
    rules: &Rules,
) -> Option<(u32, LifetimeSource)> {
    // The operator's times count from when the response came.
    let from_now = |seconds: u32| initial_age.saturating_add(seconds).min(MAX_SECONDS);
    let is_listed = rules.statuses.contains(&status.as_u16());
    let by_default = || {
        let seconds = rules.default_ttl.filter(|_| is_listed)?;
        Some((from_now(seconds), LifetimeSource::DefaultTtl))
    };
    let by_heuristic = || {
        let is_cacheable = HEURISTICALLY_CACHEABLE.contains(&status.as_u16()) || directives.public;
        is_cacheable.then(|| heuristic(response, received))
    };
    let found = explicit(response, directives, received);
    let found = found.or_else(by_default).or_else(by_heuristic);
    let least = (is_listed && rules.min_ttl > 0).then(|| from_now(rules.min_ttl));
    let (seconds, source) = match (found, least) {
        (Some((seconds, _)), Some(least)) if seconds < least => (least, LifetimeSource::MinTtl),
        (None, Some(least)) => (least, LifetimeSource::MinTtl),
        (found, _) => found?,
    };
    match rules.max_ttl.map(from_now) {
        Some(most) if most < seconds => Some((most, LifetimeSource::MaxTtl)),
        _ => Some((seconds, source)),
    }
}

/// The lifetime that the response states (§4.2.1).
fn explicit(
    response: &HeaderMap,
    directives: &Directives,
    received: u64,
) -> Option<(u32, LifetimeSource)> {
    // RFC 9213 §2.2: with a targeted field, Expires does not count either.
    if directives.is_targeted {
        return directives.lifetime().map(|it| (it, LifetimeSource::Targeted));
    }
    if let Some(seconds) = directives.lifetime() {
        let is_shared = directives.has_s_maxage();
        return Some((
            seconds,
            if is_shared { LifetimeSource::SMaxage } else { LifetimeSource::MaxAge },
        ));
    }
    // §5.3: what is no date, as 0, is in the past; of several, the earliest.
    let lines = response.get_all(EXPIRES).iter();
    let expires = lines.map(|it| dates::read(it).unwrap_or(0)).min()?;
    let date = dates::earliest(response, &DATE).unwrap_or(received);
    Some((clamp(expires.saturating_sub(date)), LifetimeSource::Expires))
}

/// §4.2.2: a tenth of the time for which the response had not changed when it was made.
fn heuristic(response: &HeaderMap, received: u64) -> (u32, LifetimeSource) {
    let date = dates::earliest(response, &DATE).map_or(received, |date| date.min(received));
    let modified = response.get_all(LAST_MODIFIED).iter();
    let modified = modified.map(|it| dates::read(it).unwrap_or(u64::MAX)).max();
    let unchanged = date.saturating_sub(modified.unwrap_or(u64::MAX));
    let seconds = clamp((unchanged / 10).min(HEURISTIC_LIMIT));
    (seconds, if seconds > 0 { LifetimeSource::Heuristic } else { LifetimeSource::None })
}
