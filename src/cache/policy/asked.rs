//! What a request asks of the cache (RFC 9111 §5.2.1, §5.4).
//!
//! Owns: the directives of requests. May touch: nothing outside this room.

use http::{
    HeaderMap, Method,
    header::{CACHE_CONTROL, PRAGMA},
};

use super::list::{Argument, MAX_SECONDS, directives};

/// What a request's method and fields say to the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `max-age`: no response older than this, please.
    pub(super) max_age: Option<u32>,
    /// `max-stale`: one that is stale for so long will do.
    pub(super) max_stale: Option<u32>,
    /// `min-fresh`: it must stay fresh for so long.
    pub(super) min_fresh: Option<u32>,
    /// `stale-if-error` (RFC 5861 §4).
    pub(super) stale_if_error: Option<u32>,
    no_cache: bool,
    no_store: bool,
    only_if_cached: bool,
    is_get: bool,
}

impl Asked {
    /// Reads a request's head. Unless the client is heeded, only `no-store` and `only-if-cached`
    /// count: they cannot make the server work.
    pub fn new(method: &Method, headers: &HeaderMap, heed_client: bool) -> Self {
        let mut asked = Self { is_get: method == Method::GET, ..Self::default() };
        let lines = headers.get_all(CACHE_CONTROL);
        directives(lines).for_each(|(name, argument)| asked.take(name, argument));
        // §5.4: without Cache-Control, Pragma: no-cache stands for it.
        if !headers.contains_key(CACHE_CONTROL) {
            let is_no_cache = |(name, _): (&[u8], _)| name.eq_ignore_ascii_case(b"no-cache");
            asked.no_cache = directives(headers.get_all(PRAGMA)).any(is_no_cache);
        }
        if !heed_client {
            asked.no_cache = false;
            asked.max_age = None;
            asked.max_stale = None;
            asked.min_fresh = None;
            asked.stale_if_error = None;
        }
        asked
    }

    /// Of a GET that says nothing to caches.
    pub fn nothing() -> Self {
        Self { is_get: true, ..Self::default() }
    }

    /// One directive. Of two that conflict, the stricter one counts, and a number that cannot be
    /// read is taken for the strictest one.
    fn take(&mut self, name: &[u8], argument: Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let least = |old: Option<u32>, new: u32| Some(old.map_or(new, |old| old.min(new)));
        if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            self.max_age = least(self.max_age, argument.seconds().unwrap_or(0));
        } else if is("min-fresh") {
            self.min_fresh = self.min_fresh.max(Some(argument.seconds().unwrap_or(MAX_SECONDS)));
        } else if is("max-stale") {
            // §5.2.1.2: without a number, however stale it is.
            let any = argument == Argument::Absent;
            let limit = if any { MAX_SECONDS } else { argument.seconds().unwrap_or(0) };
            self.max_stale = least(self.max_stale, limit);
        } else if is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error, argument.seconds().unwrap_or(0));
        }
    }

    /// `only-if-cached`: if the cache cannot answer, the answer is 504 (§5.2.1.7).
    pub fn only_if_cached(&self) -> bool {
        self.only_if_cached
    }

    /// `no-store`: the response is not stored. It may come from the cache all the same (§5.2.1.5).
    pub fn no_store(&self) -> bool {
        self.no_store
    }

    /// `no-cache`, also as `Pragma`: nothing from the cache without validation (§5.2.1.4).
    pub fn no_cache(&self) -> bool {
        self.no_cache
    }

    /// Whether the method is GET, whose responses may be stored.
    pub fn is_get(&self) -> bool {
        self.is_get
    }
}
