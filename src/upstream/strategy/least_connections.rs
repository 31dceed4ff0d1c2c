//! The least loaded: fewest attempts in flight per weight; among equals, in turn.
//!
//! Owns: nothing but the turns. May touch: the candidates.

use super::{Candidates, Member, Strategy, round_robin::RoundRobin};

/// The least loaded server.
pub(super) struct LeastConnections {
    turns: RoundRobin,
}

/// Attempts in flight, over a weight.
#[derive(Clone, Copy)]
pub(super) struct Load {
    in_flight: u32,
    weight: u32,
}

impl Load {
    #[inline]
    pub(super) fn of(member: &Member) -> Self {
        Self { in_flight: member.server.in_flight(), weight: member.weight }
    }

    /// Compared by cross-multiplication: exact, and no division.
    #[inline]
    pub(super) fn is_below(self, other: Self) -> bool {
        self.over(other) < other.over(self)
    }

    #[inline]
    fn equals(self, other: Self) -> bool {
        self.over(other) == other.over(self)
    }

    /// By the weight of `other`, so that both are by the same.
    #[inline]
    fn over(self, other: Self) -> u64 {
        u64::from(self.in_flight) * u64::from(other.weight)
    }
}

impl LeastConnections {
    pub(super) fn new(turns: RoundRobin) -> Self {
        Self { turns }
    }
}

impl Strategy for LeastConnections {
    fn pick(&self, candidates: &Candidates<'_>, _key: u64) -> Option<usize> {
        let mut loads = candidates.members().map(Load::of).enumerate();
        let (mut first, mut least) = loads.find(|(i, _)| candidates.is_eligible(*i))?;
        let mut tied = false;
        for (i, load) in loads {
            // The load is compared first: most servers lose by it and need no further look, and
            // whether an equal one is eligible will be asked when its turn comes.
            if load.is_below(least) {
                if candidates.is_eligible(i) {
                    (first, least, tied) = (i, load, false);
                }
                continue;
            }
            // No branch: among busy servers nobody could guess which are equal.
            tied |= load.equals(least);
            if tied && least.in_flight == 0 {
                break;
            }
        }
        if !tied {
            return Some(first);
        }
        // Every server has a slot in the period, so a tied one comes, unless other threads change
        // the loads or draw its slots meanwhile.
        for _ in 0..self.turns.period() {
            let i = self.turns.draw();
            if !least.is_below(Load::of(candidates.member(i))) && candidates.is_eligible(i) {
                return Some(i);
            }
        }
        Some(first)
    }
}
