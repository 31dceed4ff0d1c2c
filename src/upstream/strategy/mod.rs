//! How one of the eligible servers is chosen; each strategy has a file.
//!
//! Owns: the trait and the one match over its kinds. May touch: nothing outside this room. Next:
//! `Upstream::pick` takes the server.

pub mod consistent_hash;
pub mod ip_hash;
mod least_connections;
mod random_two;
mod round_robin;
mod share;

use super::eligible::{Candidates, Member};
use consistent_hash::ConsistentHash;
use ip_hash::IpHash;
use least_connections::LeastConnections;
use random_two::RandomTwo;
use round_robin::RoundRobin;
pub use share::Share;
use std::sync::{Arc, atomic::AtomicU64};

/// Chooses a server.
pub trait Strategy: Send + Sync {
    /// The index of an eligible candidate; `None` only if none is eligible.
    fn pick(&self, candidates: &Candidates<'_>, key: u64) -> Option<usize>;

    /// What [`Self::pick`] would choose now. Nobody's turn is taken.
    fn peek(&self, candidates: &Candidates<'_>, key: u64) -> Option<Foreseen>;
}

/// A choice that has not been made yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// Those that it may fall on: more than one if chance decides.
    pub among: Vec<usize>,
    /// Why.
    pub why: String,
}

impl Foreseen {
    fn one(candidate: usize, why: impl Into<String>) -> Self {
        Self { among: vec![candidate], why: why.into() }
    }
}

/// The strategies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyKind {
    /// Smooth weighted turns.
    RoundRobin,
    /// The server with the fewest attempts in flight, per weight.
    LeastConnections,
    /// By the client's address, as nginx's `ip_hash`; the key is [`ip_hash::key`].
    IpHash,
    /// The less loaded of two random ones.
    RandomTwo,
    /// By a ring, as nginx's `hash … consistent`; the key is [`consistent_hash::key`].
    ConsistentHash,
}

fn build(kind: StrategyKind, shares: &[Share<'_>], cursor: Arc<AtomicU64>) -> Box<dyn Strategy> {
    let turns = RoundRobin::new(shares, cursor);
    match kind {
        StrategyKind::RoundRobin => Box::new(turns),
        StrategyKind::LeastConnections => Box::new(LeastConnections::new(shares, turns)),
        StrategyKind::IpHash => Box::new(IpHash::new(shares, turns)),
        StrategyKind::RandomTwo => Box::new(RandomTwo::new(shares, turns)),
        StrategyKind::ConsistentHash => Box::new(ConsistentHash::new(shares, turns)),
    }
}

/// The primaries or the backups of an upstream, with their own strategy.
pub(super) struct Rank {
    indices: Vec<usize>,
    strategy: Box<dyn Strategy>,
    /// The position in the turns; shared with the same group in the next snapshot.
    cursor: Arc<AtomicU64>,
}

impl Rank {
    /// The group of those `members` that are backups, or the group of the others.
    pub(super) fn new(
        kind: StrategyKind,
        members: &[Member],
        backup: bool,
        previous: Option<&Self>,
    ) -> Self {
        let indices: Vec<usize> =
            (0..members.len()).filter(|index| members[*index].terms.backup == backup).collect();
        let shares: Vec<Share<'_>> = indices
            .iter()
            .map(|index| &members[*index])
            .map(|member| Share {
                server: &member.server,
                weight: member.terms.weight,
                down: member.terms.down,
            })
            .collect();
        let cursor = previous.map(|old| Arc::clone(&old.cursor)).unwrap_or_default();
        Self { strategy: build(kind, &shares, Arc::clone(&cursor)), indices, cursor }
    }

    pub(super) fn indices(&self) -> &[usize] {
        &self.indices
    }

    pub(super) fn pick(&self, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        if self.indices.is_empty() { None } else { self.strategy.pick(candidates, key) }
    }

    pub(super) fn peek(&self, candidates: &Candidates<'_>, key: u64) -> Option<Foreseen> {
        if self.indices.is_empty() { None } else { self.strategy.peek(candidates, key) }
    }
}
