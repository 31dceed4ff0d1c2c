//! The least loaded: fewest attempts in flight per weight; among equals, in turn.
//!
//! Owns: nothing but the turns. May touch: the candidates.

use super::{Candidates, Strategy, round_robin::RoundRobin};

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
    pub(super) fn of(candidates: &Candidates<'_>, i: usize) -> Self {
        Self { in_flight: candidates.in_flight(i), weight: candidates.weight(i) }
    }

    /// Compared by cross-multiplication: exact, and no division.
    pub(super) fn is_below(self, other: Self) -> bool {
        u64::from(self.in_flight) * u64::from(other.weight)
            < u64::from(other.in_flight) * u64::from(self.weight)
    }
}

impl LeastConnections {
    pub(super) fn new(turns: RoundRobin) -> Self {
        Self { turns }
    }
}

impl Strategy for LeastConnections {
    fn pick(&self, candidates: &Candidates<'_>, _key: u64) -> Option<usize> {
        let mut best: Option<(usize, Load)> = None;
        let mut tied = false;
        for i in 0..candidates.len() {
            let load = Load::of(candidates, i);
            // The load is compared first: most servers lose by it and need no further look, and
            // whether an equal one is eligible will be asked when its turn comes.
            match best {
                Some((_, least)) if least.is_below(load) => {}
                Some((_, least)) if !load.is_below(least) => tied = true,
                _ if candidates.is_eligible(i) => {
                    best = Some((i, load));
                    tied = false;
                }
                _ => {}
            }
        }
        let (first, least) = best?;
        if !tied {
            return Some(first);
        }
        // Every server has a slot in the period, so a tied one comes, unless other threads change
        // the loads or draw its slots meanwhile.
        for _ in 0..self.turns.period() {
            let i = self.turns.draw();
            if !least.is_below(Load::of(candidates, i)) && candidates.is_eligible(i) {
                return Some(i);
            }
        }
        Some(first)
    }
}
