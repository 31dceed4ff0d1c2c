//! What the operator says about a route's responses, and the times of one exchange.
//!
//! Owns: the settings of the policy and their defaults. May touch: nothing outside this room.

/// What the operator decides about caching. All times are in seconds, and they count from when
/// this cache receives a response, not from when the server made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A response of one of the `statuses` that may be stored is fresh for at least so long.
    /// `no-store`, `private` and `no-cache` hold all the same.
    pub min_ttl: u32,
    /// How long a response of one of the `statuses` is fresh if it does not say so itself.
    /// Without it, RFC 9111's heuristic decides.
    pub default_ttl: Option<u32>,
    /// No response is fresh for longer. With 0, none is stored.
    pub max_ttl: Option<u32>,
    /// The statuses that `min_ttl` and `default_ttl` are for.
    pub statuses: Vec<u16>,
    /// How long a stale response is served while it is refreshed, if it does not say so itself.
    pub stale_while_revalidate: Option<u32>,
    /// How long a stale response is served if the server fails, if it does not say so itself.
    pub stale_if_error: Option<u32>,
    /// Whether clients may ask for validation or for stale responses (RFC 9111 §5.2.1).
    pub heed_client: bool,
    /// Whether every response with `Set-Cookie` may be stored, not only those marked for it.
    pub cookies: bool,
}

impl Default for Rules {
    /// Of the statuses that are cacheable by default (RFC 9110 §15.1), 404, 405, 414 and 501 are
    /// left out: a `default_ttl` of 30 days must not hide a picture that is uploaded a minute
    /// later. 206 is never stored.
    fn default() -> Self {
        Self {
            min_ttl: 0,
            default_ttl: None,
            max_ttl: None,
            statuses: vec![200, 203, 204, 300, 301, 308, 410],
            stale_while_revalidate: None,
            stale_if_error: None,
            heed_client: true,
            cookies: false,
        }
    }
}

/// When a request was sent and its response's head came, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the request was sent (`request_time` in RFC 9111 §4.2.3).
    pub requested: u64,
    /// When the response's head came (`response_time`).
    pub received: u64,
}
