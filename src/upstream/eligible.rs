//! Which servers a request may go to: the only place that has the rules.
//!
//! Owns: [`Member`], [`Candidates`], the fail-open choice and the reason when there is none. May
//! touch: [`crate::settings`], [`crate::tls`]. Next: a strategy chooses among the candidates.

use super::{
    Reach, Tried,
    health::passive::{EjectionLimits, Standing},
    server::Server,
};
use crate::settings::ServerTerms;
use crate::tls::to_server::ServerHandshakes;
use std::sync::Arc;

/// The reason if a server is alive but full.
pub(super) const FULL: &str = "max_conns";

/// The value of `Retry-After` if it is not known when a server returns, in milliseconds.
const RETRY_AFTER_UNKNOWN_MS: u64 = 1000;

/// A server with its settings in one snapshot.
#[derive(Clone)]
pub struct Member {
    /// The server.
    pub server: Arc<Server>,
    /// How it is reached.
    pub reach: Arc<Reach>,
    /// How many requests it gets, and when it is left out.
    pub terms: ServerTerms,
}

impl Member {
    /// A server with the config's default settings.
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, reach: Arc::default(), terms: ServerTerms::default() }
    }

    /// Whether the server is not verified although it is reached by TLS.
    pub fn is_unverified(&self) -> bool {
        self.reach.means.tls.as_ref().is_some_and(ServerHandshakes::is_unverified)
    }

    /// When failures eject it.
    pub fn limits(&self) -> EjectionLimits {
        let ServerTerms { max_fails, fail_timeout, fail_share, .. } = self.terms;
        EjectionLimits { max_fails, fail_timeout, fail_share }
    }

    /// Its state by its traffic. A reload that sets `max_fails = 0` ends an ejection.
    #[inline]
    pub(super) fn standing(&self, now: u64) -> Standing {
        if self.terms.max_fails == 0 { Standing::In } else { self.server.passive().standing(now) }
    }

    /// Whether it has `max_conns` attempts in flight.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.terms.max_conns != 0 && self.server.in_flight() >= self.terms.max_conns
    }

    /// Whether requests may go there, apart from its failures and its load.
    #[inline]
    pub(super) fn is_usable(&self) -> bool {
        !self.terms.down
            && !self.server.is_drained()
            && self.terms.weight > 0
            && self.server.is_resolved()
            && self.server.active().is_usable()
    }

    /// Whether the server is in. It may be full.
    #[inline]
    pub(super) fn is_in(&self, now: u64) -> bool {
        self.is_usable() && self.standing(now) == Standing::In
    }

    #[inline]
    fn is_eligible(&self, now: u64) -> bool {
        self.is_usable()
            && matches!(self.standing(now), Standing::In | Standing::Due)
            && !self.is_full()
    }
}

/// The servers of one group as one request sees them. Nothing is computed in advance.
pub struct Candidates<'a> {
    members: &'a [Member],
    /// Indices into `members`.
    group: &'a [usize],
    tried: &'a Tried,
    now: u64,
}

impl<'a> Candidates<'a> {
    /// Candidates are those of `members` whose index is in `group`.
    pub fn new(members: &'a [Member], group: &'a [usize], tried: &'a Tried, now: u64) -> Self {
        Self { members, group, tried, now }
    }

    /// How many there are, eligible or not.
    pub fn len(&self) -> usize {
        self.group.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.group.is_empty()
    }

    /// Candidate `i`.
    #[inline]
    pub fn member(&self, i: usize) -> &Member {
        &self.members[self.group[i]]
    }

    /// Whether the request may go to candidate `i`.
    #[inline]
    pub fn is_eligible(&self, i: usize) -> bool {
        let index = self.group[i];
        !self.tried.contains(index) && self.members[index].is_eligible(self.now)
    }

    /// The member index of candidate `i`.
    pub(super) fn index(&self, i: usize) -> usize {
        self.group[i]
    }
}

/// The server to take although it is ejected: the one whose ejection ends first, primaries before
/// backups. A server that has come back meanwhile is taken first.
pub(super) fn first_to_return(members: &[Member], tried: &Tried, now: u64) -> Option<usize> {
    let ends = |member: &Member| match member.standing(now) {
        Standing::In => 0,
        Standing::Due | Standing::Probing => now,
        Standing::Ejected(until) => until,
    };
    members
        .iter()
        .enumerate()
        .filter(|(index, member)| {
            !tried.contains(*index) && member.is_usable() && !member.is_full()
        })
        .min_by_key(|(_, member)| (member.terms.backup, ends(member)))
        .map(|(index, _)| index)
}

/// Why a request got no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// When to ask again, in milliseconds: the end of the next ejection, or a second.
    pub retry_after_ms: u64,
    /// `max_conns`: one is alive but full; else `no_live_upstream`.
    pub reason: &'static str,
}

impl Unavailable {
    pub(super) fn of(members: &[Member], tried: &Tried, now: u64) -> Self {
        let full = members.iter().enumerate().any(|(index, member)| {
            !tried.contains(index)
                && member.is_usable()
                && matches!(member.standing(now), Standing::In | Standing::Due)
                && member.is_full()
        });
        if full {
            return Self { retry_after_ms: RETRY_AFTER_UNKNOWN_MS, reason: FULL };
        }
        let next_end = members
            .iter()
            .filter(|member| member.is_usable())
            .filter_map(|member| match member.standing(now) {
                Standing::Ejected(until) => Some(until - now),
                _ => None,
            })
            .min();
        Self {
            retry_after_ms: next_end.unwrap_or(RETRY_AFTER_UNKNOWN_MS),
            reason: "no_live_upstream",
        }
    }
}
