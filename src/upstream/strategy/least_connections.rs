//! The least loaded server: the fewest attempts in flight per weight. Equal servers take turns.
//!
//! Owns: the groups of equal weight, and the turns. May touch: nothing outside this room.

use super::{Candidates, Foreseen, Member, Share, Strategy, round_robin::RoundRobin};
use crate::upstream::Server;
use std::{collections::BTreeMap, sync::Arc};

/// The least loaded server.
pub(super) struct LeastConnections {
    /// Candidates by weight: those of the same weight are compared without a multiplication.
    alike: Vec<Vec<Rival>>,
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
        Self { in_flight: member.server.in_flight(), weight: member.terms.weight }
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

    /// Multiplied by the weight of `other`, so that the two can be compared.
    #[inline]
    fn over(self, other: Self) -> u64 {
        u64::from(self.in_flight) * u64::from(other.weight)
    }
}

/// A candidate and its server, side by side.
struct Rival {
    candidate: usize,
    server: Arc<Server>,
}

/// The least loaded candidate so far, and whether another may be equal to it.
#[derive(Clone, Copy)]
struct Least {
    candidate: usize,
    load: Load,
    tied: bool,
}

impl Least {
    /// The least loaded among candidates of the same weight.
    fn among(candidates: &Candidates<'_>, alike: &[Rival]) -> Option<Self> {
        let (mut found, mut least, mut tied) = (None, u32::MAX, false);
        for rival in alike {
            let in_flight = rival.server.in_flight();
            // Compare the load first: most servers lose, and nothing more of them is read. Whether
            // an equal one is eligible is asked later, when its turn comes.
            if in_flight < least {
                if candidates.is_eligible(rival.candidate) {
                    (found, least, tied) = (Some(rival.candidate), in_flight, false);
                }
                continue;
            }
            // No branch: the processor could not predict which busy servers are equal.
            tied |= in_flight == least;
            if tied && least == 0 {
                break;
            }
        }
        let candidate = found?;
        // The load at the time of the comparison: other threads change it meanwhile.
        let load = Load { in_flight: least, weight: candidates.member(candidate).terms.weight };
        Some(Self { candidate, load, tied })
    }

    fn or(self, other: Self) -> Self {
        let tied = self.tied || other.load.equals(self.load);
        if other.load.is_below(self.load) { other } else { Self { tied, ..self } }
    }
}

impl LeastConnections {
    pub(super) fn new(shares: &[Share<'_>], turns: RoundRobin) -> Self {
        let mut alike = BTreeMap::<_, Vec<_>>::new();
        for (candidate, share) in shares.iter().enumerate().filter(|(_, it)| it.turns() > 0) {
            let server = Arc::clone(share.server);
            alike.entry(share.weight).or_default().push(Rival { candidate, server });
        }
        Self { alike: alike.into_values().collect(), turns }
    }
}

impl Strategy for LeastConnections {
    fn pick(&self, candidates: &Candidates<'_>, _key: u64) -> Option<usize> {
        self.least(candidates, || self.turns.draw())
    }

    fn peek(&self, candidates: &Candidates<'_>, _key: u64) -> Option<Foreseen> {
        let i = self.least(candidates, self.turns.ahead())?;
        let Load { in_flight, weight } = Load::of(candidates.member(i));
        let of_weight =
            if weight == 1 { String::new() } else { format!(" for a weight of {weight}") };
        Some(Foreseen::one(
            i,
            format!("it has the fewest requests in flight: {in_flight}{of_weight}"),
        ))
    }
}

impl LeastConnections {
    #[inline]
    fn least(&self, candidates: &Candidates<'_>, mut draw: impl FnMut() -> usize) -> Option<usize> {
        let of_each = self.alike.iter().filter_map(|alike| Least::among(candidates, alike));
        let Least { candidate: first, load: least, tied } = of_each.reduce(Least::or)?;
        if !tied {
            return Some(first);
        }
        // Every server has a slot in the period, so the turn of a tied one comes, unless other
        // threads change the loads or draw its slots meanwhile.
        for _ in 0..self.turns.period() {
            let i = draw();
            if !least.is_below(Load::of(candidates.member(i))) && candidates.is_eligible(i) {
                return Some(i);
            }
        }
        Some(first)
    }
}
