//! The least loaded: fewest attempts in flight per weight; among equals, in turn.
//!
//! Owns: nothing but the turns. May touch: the candidates.

use super::{Candidates, Member, Strategy, round_robin::RoundRobin};
use std::cmp::Ordering;

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

    pub(super) fn is_below(self, other: Self) -> bool {
        self.compare(other).is_lt()
    }

    /// By cross-multiplication: exact, and no division.
    #[inline]
    fn compare(self, other: Self) -> Ordering {
        if self.in_flight == 0 && other.in_flight == 0 {
            return Ordering::Equal;
        }
        let ours = u64::from(self.in_flight) * u64::from(other.weight);
        ours.cmp(&(u64::from(other.in_flight) * u64::from(self.weight)))
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
            match load.compare(least) {
                Ordering::Equal => tied = true,
                Ordering::Less if candidates.is_eligible(i) => {
                    (first, least) = (i, load);
                    tied = false;
                }
                _ => {}
            }
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
