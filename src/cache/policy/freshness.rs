//! How fresh one stored response is, at any time (RFC 9111 §4.2).
//!
//! Owns: the few numbers kept with every stored response. May touch: nothing outside this room.

use serde::{Deserialize, Serialize};

use super::{age::clamp, lifetime::LifetimeSource, list::MAX_SECONDS};

/// What is kept of a response's head to decide about its use. It is small, because a million are
/// kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// When it came, in Unix seconds.
    pub(super) received: u64,
    /// How old it was then (§4.2.3).
    pub(super) initial_age: u32,
    /// Until which age it is fresh (§4.2.1).
    pub(super) lifetime: u32,
    /// How long behind that it is served while it is refreshed (RFC 5861 §3).
    pub(super) while_revalidate: u32,
    /// How long behind that it is served if the server fails (RFC 5861 §4).
    pub(super) if_error: u32,
    /// `no-cache`: it is always validated first (§5.2.2.4).
    pub(super) no_cache: bool,
    /// `must-revalidate`, `proxy-revalidate` or `s-maxage`: a client may not have it stale.
    pub(super) must_revalidate: bool,
    /// `immutable`: it does not change while it is fresh (RFC 8246).
    pub(super) immutable: bool,
    /// There is an `ETag` or a `Last-Modified` to validate it with.
    pub(super) has_validator: bool,
    /// Who says for how long it is fresh.
    pub(super) source: LifetimeSource,
    /// It was purged softly: it is stale, whatever the clock says.
    pub(super) staled: bool,
}

const _: () = assert!(size_of::<Freshness>() <= 32);

impl Freshness {
    /// How old the response is: `current_age` (§4.2.3). A clock that went back makes it no younger
    /// than it was when it came.
    pub fn age(&self, now: u64) -> u32 {
        let resident_time = clamp(now.saturating_sub(self.received));
        self.initial_age.saturating_add(resident_time).min(MAX_SECONDS)
    }

    /// Until which age the response is fresh.
    pub fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// Who says for how long it is fresh.
    pub fn source(&self) -> LifetimeSource {
        self.source
    }

    /// How old the response was when it came.
    pub fn initial_age(&self) -> u32 {
        self.initial_age
    }

    /// When the response came, in Unix seconds.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether it must be validated before each use (§5.2.2.4).
    pub fn no_cache(&self) -> bool {
        self.no_cache
    }

    /// Whether it is fresh; a response as old as its lifetime is not (§4.2).
    pub fn is_fresh(&self, now: u64) -> bool {
        !self.staled && self.age(now) < self.lifetime
    }

    /// How long it stays fresh. Negative: it has been stale for so long; 0 is stale too.
    pub fn ttl(&self, now: u64) -> i64 {
        let ttl = i64::from(self.lifetime) - i64::from(self.age(now));
        if self.staled { ttl.min(0) } else { ttl }
    }

    /// For how long it has been stale; 0 if it is fresh.
    pub(super) fn stale_for(&self, now: u64) -> u32 {
        self.ttl(now).min(0).unsigned_abs() as u32
    }

    /// For how long, in seconds, it is worth keeping: until it may no longer be served, and a while
    /// more where the server can say that it is still right.
    pub fn useful_for(&self, now: u64) -> u32 {
        /// What can be validated saves a transfer, but what nobody asks for should go.
        const TO_BE_VALIDATED: u32 = 600;
        let fresh = self.lifetime.saturating_sub(self.age(now));
        let stale = self.while_revalidate.max(self.if_error);
        let validated = if self.has_validator { TO_BE_VALIDATED } else { 1 };
        fresh.saturating_add(stale.max(validated)).min(MAX_SECONDS)
    }

    /// Which share of its time in this cache is over, to refresh it ahead: 1 or more if it is
    /// stale. What had passed before it came does not count, or what comes old from another cache
    /// would be refreshed at every request.
    pub fn used(&self, now: u64) -> f32 {
        if !self.is_fresh(now) {
            return 1.0;
        }
        let here = self.age(now).saturating_sub(self.initial_age) as f32;
        here / self.lifetime.saturating_sub(self.initial_age).max(1) as f32
    }

    /// A soft purge: stale from now on, and the rules for stale responses count from now. One that
    /// is stale already stays as it is.
    #[must_use]
    pub fn staled(self, now: u64) -> Self {
        Self { lifetime: self.lifetime.min(self.age(now)), staled: true, ..self }
    }
}
