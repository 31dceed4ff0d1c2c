//! What a route stores of its servers' responses, and for how long.

use std::time::Duration;

/// `cache` of a route. Without a key of it, the server's fields alone decide.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteCache {
    /// `store`: the name of a `[cache.NAME]`.
    pub store: String,
    /// `min_ttl`: what may be stored is fresh for so long at least, default zero.
    pub min_ttl: Duration,
    /// `default_ttl`: for responses that say nothing, default none (RFC 9111's heuristic).
    pub default_ttl: Option<Duration>,
    /// `max_ttl`: nothing is fresh for longer, default none.
    pub max_ttl: Option<Duration>,
    /// `statuses` that `min_ttl` and `default_ttl` are for, default successes and permanent redirects.
    pub statuses: Vec<u16>,
    /// `stale_while_revalidate`, for responses that do not say it themselves, default none.
    pub stale_while_revalidate: Option<Duration>,
    /// `stale_if_error`, for responses that do not say it themselves, default none.
    pub stale_if_error: Option<Duration>,
    /// `refresh_ahead`: a response that is asked for when so much of its time is over is fetched again
    /// behind the answer, default 0 = never.
    pub refresh_ahead: f32,
    /// `query`, default `"all"`.
    pub query: QueryKey,
    /// `cookies`: the servers' view of them, default `"pass"`.
    pub cookies: CookieKey,
    /// `bypass_cookies`: a request with one of them goes by the cache, default none.
    pub bypass_cookies: Vec<String>,
    /// `heed_client`: `Cache-Control` of requests counts, default true.
    pub heed_client: bool,
    /// `store_cookies`: a response with `Set-Cookie` may be stored, default false.
    pub store_cookies: bool,
    /// `after_write`, default `invalidate`.
    pub after_write: AfterWrite,
    /// `hide_tags`: `Surrogate-Key` and `Cache-Tag` do not reach clients, default false.
    pub hide_tags: bool,
}

/// Which parameters of a query tell one response from another. Servers get no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryKey {
    /// `"all"`, as they are.
    All,
    /// `"none"`.
    None,
    /// `{ only = [...] }`, sorted by name.
    Only(Vec<String>),
    /// `{ without = [...] }`, sorted by name. A name may end with `*`.
    Without(Vec<String>),
}

/// Which cookies servers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CookieKey {
    /// `"pass"`: all, as RFC 9111 has it: who answers differently says `Vary: Cookie`.
    Pass,
    /// `"drop"`: none.
    Drop,
    /// These, and they are part of the key.
    Only(Vec<String>),
}

/// What a request with an unsafe method, as POST, does to what is stored under its URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterWrite {
    /// It is invalid: the next request fetches it (RFC 9111 §4.4).
    Invalidate,
    /// It is fetched before the client gets its answer.
    RefreshBefore,
    /// It is fetched after the client has got its answer.
    RefreshAfter,
}

/// Of the statuses that RFC 9110 §15.1 calls cacheable, 404, 405, 414 and 501 are left out: with a
/// `default_ttl` of 30 days, a picture that is uploaded a minute later must not stay away for a month.
const STATUSES: [u16; 7] = [200, 203, 204, 300, 301, 308, 410];

impl RouteCache {
    /// In this store, with the defaults.
    pub fn of(store: String) -> Self {
        Self {
            store,
            min_ttl: Duration::ZERO,
            default_ttl: None,
            max_ttl: None,
            statuses: STATUSES.to_vec(),
            stale_while_revalidate: None,
            stale_if_error: None,
            refresh_ahead: 0.0,
            query: QueryKey::All,
            cookies: CookieKey::Pass,
            bypass_cookies: Vec::new(),
            heed_client: true,
            store_cookies: false,
            after_write: AfterWrite::Invalidate,
            hide_tags: false,
        }
    }
}
