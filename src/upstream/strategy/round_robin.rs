//! Smooth weighted round robin, as nginx's, exact over all worker threads and without a lock.
//!
//! Owns: the order of one period, worked out once, and the cursor in it that all workers share. May
//! touch: nothing outside this room. The other strategies fall back on it.

use super::{Candidates, Foreseen, Share, Strategy};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The longest schedule, in slots: 256 KiB. Only weights without a common divisor reach it.
const MAX_SLOTS: usize = 65_536;
/// At most so many steps to compute a schedule: some tens of milliseconds of a reload.
const MAX_STEPS: usize = 1 << 24;

/// The least number of draws before a server is chosen by weight alone.
const DRAWS: usize = 32;

/// Servers in turn, in proportion to their weights.
pub(super) struct RoundRobin {
    /// The order of one period; empty if no server takes turns.
    slots: Box<[u32]>,
    /// Counts draws. If it wrapped, the order would break once; 2^64 draws take centuries.
    cursor: Arc<AtomicU64>,
}

impl RoundRobin {
    pub(super) fn new(shares: &[Share<'_>], cursor: Arc<AtomicU64>) -> Self {
        let weights: Vec<u32> = shares.iter().map(Share::turns).collect();
        Self { slots: schedule(&reduced(&weights)), cursor }
    }

    /// How many draws it takes until every server has had all its turns.
    pub(super) fn period(&self) -> usize {
        self.slots.len()
    }

    /// Takes the next turn. There must be at least one slot.
    pub(super) fn draw(&self) -> usize {
        if self.slots.len() == 1 {
            return self.slots[0] as usize;
        }
        self.slot(self.cursor.fetch_add(1, Relaxed))
    }

    fn slot(&self, turn: u64) -> usize {
        self.slots[(turn % self.slots.len() as u64) as usize] as usize
    }

    /// Turns as [`Self::draw`] would give them, without taking them.
    pub(super) fn ahead(&self) -> impl FnMut() -> usize {
        let mut turn = self.cursor.load(Relaxed);
        move || {
            let i = self.slot(turn);
            turn += u64::from(self.slots.len() > 1);
            i
        }
    }
}

impl Strategy for RoundRobin {
    fn pick(&self, candidates: &Candidates<'_>, _key: u64) -> Option<usize> {
        self.drawn(candidates, || self.draw())
            .or_else(|| by_weight(candidates, self.cursor.load(Relaxed)))
    }

    fn peek(&self, candidates: &Candidates<'_>, _key: u64) -> Option<Foreseen> {
        if let Some(i) = self.drawn(candidates, self.ahead()) {
            return Some(Foreseen::one(i, "it is its turn"));
        }
        let draws = if self.slots.len() > 1 { self.draws(candidates) as u64 } else { 0 };
        let i = by_weight(candidates, self.cursor.load(Relaxed) + draws)?;
        Some(Foreseen::one(i, "those whose turns come next cannot be used"))
    }
}

impl RoundRobin {
    /// How many turns are drawn at most. Not a whole period: if a server with nearly all turns is
    /// out, its turns would be drawn one by one.
    fn draws(&self, candidates: &Candidates<'_>) -> usize {
        self.period().min(candidates.len().max(DRAWS))
    }

    /// The first eligible server whose turn it is.
    #[inline]
    fn drawn(&self, candidates: &Candidates<'_>, mut draw: impl FnMut() -> usize) -> Option<usize> {
        (0..self.draws(candidates)).map(|_| draw()).find(|i| candidates.is_eligible(*i))
    }
}

/// One of the eligible servers, in proportion to its weight.
fn by_weight(candidates: &Candidates<'_>, cursor: u64) -> Option<usize> {
    let eligible = || {
        let all = (0..candidates.len()).filter(|i| candidates.is_eligible(*i));
        all.map(|i| (i, u64::from(candidates.member(i).terms.weight)))
    };
    let total: u64 = eligible().map(|(_, weight)| weight).sum();
    // A multiple of the cursor spreads the choices, even if the failed draws come at regular
    // distances.
    let spread = cursor.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut position = ((u128::from(spread) * u128::from(total)) >> 64) as u64;
    let mut last = None;
    for (i, weight) in eligible() {
        if position < weight {
            return Some(i);
        }
        (position, last) = (position - weight, Some(i));
    }
    // A server that was eligible a moment ago may not be so any more.
    last
}

/// The weights divided by their greatest common divisor. If the period would still be too long,
/// they are made smaller in proportion, but none becomes 0.
fn reduced(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let weights: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    let taking = weights.iter().filter(|weight| **weight > 0).count();
    let longest = MAX_SLOTS.min((MAX_STEPS / taking.max(1)).max(taking * 2));
    if total <= longest as u64 || total == taking as u64 {
        return weights;
    }
    // One slot is reserved for each weight that would round to 0.
    let room = longest.saturating_sub(taking) as u64;
    let scale = |weight: u32| match weight {
        0 => 0,
        weight => (u64::from(weight) * room / total).max(1) as u32,
    };
    weights.into_iter().map(scale).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One period. In each step every server gains its weight. The server with the most (the first
/// among equals) has the turn, and pays the sum of all weights.
fn schedule(weights: &[u32]) -> Box<[u32]> {
    let taking: Vec<u32> =
        (0_u32..).zip(weights).filter(|(_, w)| **w > 0).map(|(i, _)| i).collect();
    // If the weights are equal, it is simply the order of the config.
    if weights.iter().all(|weight| *weight <= 1) {
        return taking.into();
    }
    let total: i64 = weights.iter().copied().map(i64::from).sum();
    let mut purses: Vec<(i64, i64, u32)> =
        taking.iter().map(|i| (0, i64::from(weights[*i as usize]), *i)).collect();
    (0..total)
        .map(|_| {
            let (mut richest, mut most) = (0, i64::MIN);
            for (at, (current, weight, _)) in purses.iter_mut().enumerate() {
                *current += *weight;
                if *current > most {
                    (richest, most) = (at, *current);
                }
            }
            purses[richest].0 -= total;
            purses[richest].2
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ServerTerms;
    use crate::upstream::{Member, Server, Tried};
    use proptest::prelude::*;

    fn order(weights: &[u32]) -> Vec<u32> {
        schedule(&reduced(weights)).into_vec()
    }

    #[test]
    fn vectors_of_nginx() {
        assert_eq!(order(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order(&[3, 2, 1]), [0, 1, 0, 2, 1, 0]);
        assert_eq!(order(&[4, 2, 3]), [0, 2, 1, 0, 2, 0, 1, 2, 0]);
        assert_eq!(order(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(order(&[300, 200, 100]), [0, 1, 0, 2, 1, 0]);
        assert_eq!(order(&[7, 0, 7]), [0, 2]);
        assert_eq!(order(&[7]), [0]);
        assert!(order(&[0, 0]).is_empty());
    }

    #[test]
    fn a_schedule_is_bounded_and_nobody_is_left_out() {
        let weights: Vec<u32> = (0..1_000).map(|i| if i % 2 == 0 { 997 } else { 1 }).collect();
        let order = order(&weights);
        assert!(order.len() <= MAX_SLOTS);
        assert!((0..1_000).all(|i| order.contains(&i)));
        assert!(schedule(&reduced(&[u32::MAX, 1])).len() <= MAX_SLOTS);
    }

    /// A thousand of 1,001 turns belong to the server that is out.
    #[test]
    fn a_heavy_server_that_is_out_costs_no_pick_its_turns() {
        let member = |address, weight, down| Member {
            server: Server::new("app", address),
            reach: Arc::default(),
            terms: ServerTerms { weight, max_fails: 1, down, ..ServerTerms::default() },
        };
        let members = [
            member("10.0.0.1:1", 1000, false),
            member("10.0.0.2:1", 1, false),
            member("10.0.0.3:1", 2, false),
        ];
        let shares: Vec<Share<'_>> = members
            .iter()
            .map(|it| Share { server: &it.server, weight: it.terms.weight, down: it.terms.down })
            .collect();
        let turns = RoundRobin::new(&shares, Arc::default());
        let (group, mut tried) = ([0, 1, 2], Tried::default());
        tried.insert(0);
        let mut picks = [0_u32; 3];
        for _ in 0..3000 {
            let before = turns.cursor.load(Relaxed);
            picks[super::Strategy::pick(
                &turns,
                &Candidates::new(&members, &group, &tried, 0),
                0,
            )
            .unwrap()] += 1;
            assert!(turns.cursor.load(Relaxed) - before <= DRAWS as u64);
        }
        assert!(picks[0] == 0 && picks[1] > 800 && picks[2] > 1700, "{picks:?}");
    }

    proptest! {
        #[test]
        fn weights_hold_exactly_over_a_period(
            weights in prop::collection::vec(0_u32..40, 1..12),
        ) {
            let order = order(&weights);
            let total: u32 = weights.iter().sum();
            for (i, weight) in (0_u32..).zip(&weights) {
                let turns = order.iter().filter(|slot| **slot == i).count() as u64;
                prop_assert_eq!(turns * u64::from(total), u64::from(*weight) * order.len() as u64);
            }
        }
    }
}
