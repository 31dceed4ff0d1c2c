//! A group of servers: which one gets the next attempt, and what is learnt from it.
//!
//! Owns: [`Upstream`], built once per config and immutable except for atomics. May touch:
//! [`crate::cidr`], [`crate::message`], [`crate::settings`], [`crate::tls`]. A pick goes `strategy`
//! → `eligible` → `server` → [`Lease`]; its verdict comes back through [`Upstream::report`] to
//! `health`.
//!
//! Every `now` is in monotonic milliseconds since process start, and comes from the caller.

mod budget;
pub mod eligible;
pub mod health;
mod lease;
mod overruled;
mod preview;
mod reach;
pub mod resolve;
pub mod server;
pub mod strategy;
mod tried;

#[cfg(test)]
mod tests;

pub use budget::RetryPermit;
pub use eligible::{Member, Unavailable};
pub use health::ActiveHealth;
pub use lease::{Lease, OpenTunnel};
pub use overruled::Overruled;
pub use preview::{Pending, Preview};
pub use reach::{Means, Reach, Speaks};
pub use server::{Server, ServerState, ServerStatus};
pub use strategy::StrategyKind;
pub use tried::Tried;

use budget::Budget;
use eligible::Candidates;
use health::passive::Standing;
use lease::Entry;
use std::sync::{Arc, Mutex};
use strategy::Rank;

/// A group of servers, as one config has it.
pub struct Upstream {
    name: Arc<str>,
    members: Vec<Member>,
    primaries: Rank,
    backups: Rank,
    fail_open: bool,
    budget: Budget,
    /// Held while a server is being ejected. The old and the new snapshot share it.
    ejections: Arc<Mutex<()>>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered.
    Success {
        /// From sending to the response's head, in microseconds.
        latency_us: u64,
    },
    /// The server failed, with the reason.
    Failure(&'static str),
    /// The outcome says nothing about the server: the client went away, or a pooled connection was
    /// stale.
    Neutral,
}

/// What followed from an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// Nothing changed.
    Noted,
    /// This failure ejected the server (again, if it was a probe).
    Ejected {
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// This probe brought the server back.
    Readmitted,
}

impl Upstream {
    /// Builds an upstream. With `fail_open`, an ejected server is taken when no other is left. The
    /// order of turns continues from the `previous` upstream of the same name.
    pub fn new(
        name: &str,
        kind: StrategyKind,
        members: Vec<Member>,
        fail_open: bool,
        previous: Option<&Self>,
    ) -> Self {
        let group = |backup, old: Option<&Rank>| Rank::new(kind, &members, backup, old);
        Self {
            name: name.into(),
            primaries: group(false, previous.map(|old| &old.primaries)),
            backups: group(true, previous.map(|old| &old.backups)),
            members,
            fail_open,
            budget: previous.map(|old| old.budget.clone()).unwrap_or_default(),
            ejections: previous.map(|old| Arc::clone(&old.ejections)).unwrap_or_default(),
        }
    }

    /// A server for the next attempt of a request that has `tried` some. The hashing strategies
    /// have made `key` of the request. If no server is left, it may be an ejected one.
    pub fn pick(&self, tried: &Tried, key: u64, now: u64) -> Result<Lease, Unavailable> {
        self.pick_in(tried, key, now).or_else(|none| {
            // If a server is only full, ask no ejected one: it will soon be free again.
            while self.fail_open
                && none.reason != eligible::FULL
                && let Some(index) = eligible::first_to_return(&self.members, tried, now)
            {
                if let Some(lease) = self.take(index, true, now) {
                    return Ok(lease);
                }
            }
            Err(none)
        })
    }

    /// The same, but never an ejected one.
    pub fn pick_in(&self, tried: &Tried, key: u64, now: u64) -> Result<Lease, Unavailable> {
        for group in [&self.primaries, &self.backups] {
            let candidates = Candidates::new(&self.members, group.indices(), tried, now);
            // Between choosing and taking, the server may have become full, or another request may
            // have claimed its probe.
            while let Some(i) = group.pick(&candidates, key) {
                if let Some(lease) = self.take(candidates.index(i), false, now) {
                    return Ok(lease);
                }
            }
        }
        Err(Unavailable::of(&self.members, tried, now))
    }

    /// Takes a slot and, if it is due, the probe; `None` when another request was faster.
    fn take(&self, index: usize, fail_open: bool, now: u64) -> Option<Lease> {
        let member = &self.members[index];
        let server = &member.server;
        if !server.reserve(member.terms.max_conns) {
            return None;
        }
        let standing = member.standing(now);
        let claim = match standing {
            Standing::Due => server.passive().claim(member.limits(), now),
            _ => None,
        };
        let entry = match (standing, claim) {
            (Standing::In, _) => Entry::Ordinary,
            (_, Some(claim)) => Entry::Probe(claim),
            (_, None) if fail_open => Entry::FailOpen,
            (_, None) => {
                server.release();
                return None;
            }
        };
        server.count_request();
        Some(Lease::new(Arc::clone(server), index, entry, member.terms.backup))
    }

    /// Learns from an attempt. One lease may be reported twice: after a good head, a body that
    /// breaks off is still counted as a failure.
    pub fn report(&self, lease: &mut Lease, outcome: Outcome, now: u64) -> Reported {
        let Some(member) = self.members.get(lease.index()) else { return Reported::Noted };
        let server = &member.server;
        if !Arc::ptr_eq(server, lease.server()) {
            return Reported::Noted;
        }
        match outcome {
            Outcome::Success { latency_us } => {
                server.note_latency(latency_us);
                let (passive, attempts) = (server.passive(), server.requests());
                match lease.settle() {
                    None => passive.succeeded(member.limits(), now, attempts),
                    Some(claim) if passive.succeed(claim, attempts) => return Reported::Readmitted,
                    Some(_) => {}
                }
            }
            Outcome::Failure(reason) => {
                server.count_failure();
                let limits = member.limits();
                let ejected = if let Some(claim) = lease.settle() {
                    server.passive().eject_again(claim, limits, now, reason)
                } else {
                    let others_in = || self.is_another_in(lease.index(), now);
                    let moment = (now, server.requests());
                    server.passive().fail(limits, moment, reason, &self.ejections, others_in)
                };
                if let Some(for_ms) = ejected {
                    return Reported::Ejected { for_ms };
                }
            }
            Outcome::Neutral => {
                if let Some(claim) = lease.settle() {
                    server.passive().give_back(claim);
                }
            }
        }
        Reported::Noted
    }

    /// Whether a server other than `index` is in. One that waits for its probe is not.
    fn is_another_in(&self, index: usize, now: u64) -> bool {
        self.members.iter().enumerate().any(|(other, member)| other != index && member.is_in(now))
    }

    /// A permit to retry, if fewer than `max(min, percent of running)` retries are in progress.
    pub fn try_retry(&self, percent: u32, min: u32) -> Option<RetryPermit> {
        self.budget.permit(percent, min, self.running())
    }

    /// The servers, in the order of the config.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How the server of a lease is reached.
    pub fn reach(&self, lease: &Lease) -> &Reach {
        &self.members[lease.index()].reach
    }

    /// The name in the config.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Attempts in progress.
    pub fn running(&self) -> u32 {
        self.members.iter().map(|member| member.server.in_flight()).sum()
    }

    /// Whether a server is in, or only awaits its probe.
    pub fn has_live(&self, now: u64) -> bool {
        self.members.iter().any(|member| {
            member.is_usable() && !matches!(member.standing(now), Standing::Ejected(_))
        })
    }
}
