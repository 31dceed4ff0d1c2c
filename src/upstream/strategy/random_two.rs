//! Draws two servers at random, by weight, and takes the less loaded one.
//!
//! Owns: the random numbers. May touch: nothing outside this room. Falls back on `round_robin`.
//!
//! This is close to the least loaded server, without looking at all of them, and without all
//! workers choosing the same one at once.

use super::{
    Candidates, Foreseen, Share, Strategy, least_connections::Load, round_robin::RoundRobin,
    share::NumberLine,
};
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// How often to draw again if the drawn server cannot be used.
const DRAWS: usize = 20;

/// The less loaded of two random servers.
pub(super) struct RandomTwo {
    line: NumberLine,
    turns: RoundRobin,
    random: Random,
}

impl RandomTwo {
    pub(super) fn new(shares: &[Share<'_>], turns: RoundRobin) -> Self {
        let line = NumberLine::new(shares.iter().map(Share::turns));
        Self { line, turns, random: Random::new() }
    }

    /// An eligible server other than `first`, drawn as if `first` had no weight.
    fn second(&self, candidates: &Candidates<'_>, first: usize) -> Option<usize> {
        let (start, end) = self.line.stretch(first);
        let rest = self.line.total() - (end - start);
        if rest == 0 {
            return None;
        }
        (0..DRAWS)
            .map(|_| self.random.below(rest))
            .map(|position| if position < start { position } else { position + (end - start) })
            .map(|position| self.line.at(position))
            .find(|i| candidates.is_eligible(*i))
    }
}

impl Strategy for RandomTwo {
    fn pick(&self, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        let total = self.line.total();
        if total == 0 {
            return None;
        }
        let first = (0..DRAWS)
            .map(|_| self.line.at(self.random.below(total)))
            .find(|i| candidates.is_eligible(*i));
        let Some(first) = first else { return self.turns.pick(candidates, key) };
        let load = |i| Load::of(candidates.member(i));
        match self.second(candidates, first) {
            Some(second) if load(second).is_below(load(first)) => Some(second),
            _ => Some(first),
        }
    }

    fn peek(&self, candidates: &Candidates<'_>, key: u64) -> Option<Foreseen> {
        let among: Vec<_> = (0..candidates.len()).filter(|i| candidates.is_eligible(*i)).collect();
        let why = match among.len() {
            0 => return self.turns.peek(candidates, key),
            1 => "no other can be used",
            _ => "of two that are drawn at random, the less loaded",
        };
        Some(Foreseen { among, why: why.into() })
    }
}

/// splitmix64 over a shared counter: each number takes one atomic addition and no lock.
struct Random(AtomicU64);

impl Random {
    fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one(0)))
    }

    /// A number below `bound`, which is not 0.
    fn below(&self, bound: u64) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_even() {
        let random = Random::new();
        let mut counts = [0_u32; 8];
        for _ in 0..80_000 {
            counts[random.below(8) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_000..11_000).contains(count)), "{counts:?}");
    }
}
