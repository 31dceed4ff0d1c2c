//! Whether something grows that should not: decided by samples alone.
//!
//! Owns: the rule. May touch: nothing outside this room. [`super::leak_watch`] takes the samples
//! and tells what was found. Why the rule is as it is: `docs/decisions/leak_watch.md`.
//!
//! Samples are compared at equal load. Their time is cut into six parts, and of each part the least
//! amount counts, so that a sawtooth does not grow. These amounts must grow in every step by half
//! of the average step at least, which one jump does not; and at the end nearly as fast as at the
//! beginning, which a warm-up does not. All together must be twice what the amount varies by within
//! a part. What caches keep is taken off before.

use std::time::Duration;

/// How many parts.
const PARTS: usize = 6;

/// A load is equal to another if it is less than so much larger, in per cent, or so many.
const BAND: u64 = 30;
const BAND_AT_LEAST: u64 = 20;

/// Something that may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grower {
    /// Bytes on the heap.
    Heap,
    /// Bytes of memory beside the heap: threads' stacks, mapped files.
    Memory,
    /// Connections from clients.
    Connections,
    /// Tasks beside those of connections.
    Tasks,
    /// Descriptors beside those of connections.
    Descriptors,
    /// Threads.
    Threads,
    /// Configs that are still in use.
    Generations,
    /// Connections to servers that wait for a request.
    Pool,
}

impl Grower {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Heap,
        Self::Memory,
        Self::Connections,
        Self::Tasks,
        Self::Descriptors,
        Self::Threads,
        Self::Generations,
        Self::Pool,
    ];

    /// Its name in `/health`, `/stats`, the log and as the label `what`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Heap => "heap",
            Self::Memory => "memory",
            Self::Connections => "connections",
            Self::Tasks => "tasks",
            Self::Descriptors => "descriptors",
            Self::Threads => "threads",
            Self::Generations => "generations",
            Self::Pool => "pool",
        }
    }

    /// Whether it is counted in bytes.
    pub fn is_bytes(self) -> bool {
        matches!(self, Self::Heap | Self::Memory)
    }

    /// Less growth than this in the time of the samples is none.
    fn floor(self) -> u64 {
        match self {
            Self::Heap | Self::Memory => 8 << 20,
            Self::Connections => 200,
            Self::Tasks => 100,
            Self::Descriptors | Self::Pool => 50,
            Self::Threads => 8,
            Self::Generations => 5,
        }
    }
}

/// The state of the process at one time.
#[derive(Clone, Debug)]
pub struct LeakSample {
    /// Since the start.
    pub at: Duration,
    /// Requests in a second.
    pub rate: u64,
    /// What there is of each [`Grower`], in their order.
    pub amounts: [u64; Grower::ALL.len()],
}

impl LeakSample {
    fn of(&self, grower: Grower) -> u64 {
        self.amounts[grower as usize]
    }

    /// Whether the load was about the same, as far as it matters for a grower.
    fn is_like(&self, other: &Self, grower: Grower) -> bool {
        let connections = |it: &Self| it.of(Grower::Connections);
        is_near(self.rate, other.rate)
            && (grower == Grower::Connections || is_near(connections(self), connections(other)))
    }
}

fn is_near(one: u64, other: u64) -> bool {
    let (less, more) = (one.min(other), one.max(other));
    more - less <= (less * BAND / 100).max(BAND_AT_LEAST)
}

/// Something that grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// What.
    pub what: Grower,
    /// How much more it becomes in a minute.
    pub per_minute: f64,
}

impl Suspect {
    /// The growth in a minute, for people.
    pub fn told(&self) -> String {
        if self.what.is_bytes() {
            format!("{:.1} MiB", self.per_minute / f64::from(1 << 20))
        } else {
            format!("{:.1}", self.per_minute)
        }
    }
}

/// What grows in these samples, the oldest first, over at least so long.
pub fn suspects(samples: &[LeakSample], over: Duration) -> Vec<Suspect> {
    let suspect = |what| {
        let per_minute = growth(samples, what, over)?;
        Some(Suspect { what, per_minute })
    };
    Grower::ALL.into_iter().filter_map(suspect).collect()
}

/// The growth per minute, if it is that of a leak.
fn growth(samples: &[LeakSample], what: Grower, over: Duration) -> Option<f64> {
    let (first, last) = (samples.first()?, samples.last()?);
    let span = last.at.saturating_sub(first.at);
    if span < over {
        return None;
    }
    let mut parts = [None; PARTS];
    for sample in samples.iter().filter(|it| it.is_like(last, what)) {
        let into = sample.at.saturating_sub(first.at).as_secs_f64() / span.as_secs_f64();
        let part = ((into * PARTS as f64) as usize).min(PARTS - 1);
        let amount = sample.of(what);
        let (low, high) = parts[part].unwrap_or((amount, amount));
        parts[part] = Some((amount.min(low), amount.max(high)));
    }
    let (mut amounts, mut spread) = ([0.0; PARTS], 0.0);
    for (amount, part) in amounts.iter_mut().zip(parts) {
        let (low, high) = part?;
        *amount = low as f64;
        spread += (high - low) as f64 / PARTS as f64;
    }
    let grown = amounts[PARTS - 1] - amounts[0];
    // A tenth more is not yet a leak, nor is what may be chance.
    if grown < what.floor() as f64 || grown < amounts[0] / 10.0 || grown < spread * 2.0 {
        return None;
    }
    let average = grown / (PARTS - 1) as f64;
    let steady = amounts.windows(2).all(|it| it[1] - it[0] >= average / 2.0);
    let (begin, end) = (amounts[2] - amounts[0], amounts[PARTS - 1] - amounts[PARTS - 3]);
    if !steady || end < begin * 0.7 {
        return None;
    }
    let minutes = span.as_secs_f64() / 60.0 * (PARTS - 1) as f64 / PARTS as f64;
    Some(grown / minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OVER: Duration = Duration::from_secs(150);

    /// Samples every five seconds, made of their number.
    fn samples(count: u64, amount: impl Fn(u64, Grower) -> u64) -> Vec<LeakSample> {
        let sample = |at| LeakSample {
            at: Duration::from_secs(at * 5),
            rate: 500,
            amounts: Grower::ALL.map(|it| amount(at, it)),
        };
        (0..count).map(sample).collect()
    }

    fn names(samples: &[LeakSample]) -> Vec<&'static str> {
        suspects(samples, OVER).iter().map(|it| it.what.name()).collect()
    }

    /// Something between 0 and `most` that looks like chance: SplitMix64. With the multiplication
    /// alone, the numbers of some seeds grow steadily.
    fn noise(at: u64, seed: u64, most: u64) -> u64 {
        let mut mixed = seed.wrapping_add((at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % (most + 1)
    }

    const MIB: u64 = 1 << 20;

    fn heap(amount: impl Fn(u64) -> u64) -> Vec<LeakSample> {
        samples(60, |at, it| if it == Grower::Heap { amount(at) } else { 100 })
    }

    proptest! {
        #[test]
        fn linear_growth_of_anything_is_a_leak_and_told_by_its_name(
            what in prop::sample::select(Grower::ALL.to_vec()),
            seed: u64,
            faster in 1..50_u64,
        ) {
            let step = what.floor() * faster / 20 + 1;
            let base = what.floor() * 3;
            // Connections are load, too, for all others.
            let found = suspects(&samples(60, |at, it| {
                if it == what { base + at * step + noise(at, seed, step) } else { base }
            }), OVER);
            prop_assert_eq!(found.len(), 1, "{:?}", found);
            prop_assert_eq!(found[0].what, what);
            let exact = step as f64 * 12.0;
            prop_assert!((found[0].per_minute - exact).abs() < exact * 0.2 + 1.0, "{found:?}");
        }

        #[test]
        fn noise_is_no_leak_however_large(
            what in prop::sample::select(Grower::ALL.to_vec()), seed: u64, base in 0..1000_u64, part in 0..100_u64,
        ) {
            let base = (base + 1) * what.floor() / 10;
            let most = base * part / 100;
            let found = names(&samples(60, |at, it| {
                if it == what { base + noise(at, seed, most) } else { 10 }
            }));
            prop_assert!(found.is_empty(), "{found:?}");
        }

        #[test]
        fn a_warm_up_is_no_leak(tau in 2..40_u64, size in 20..2000_u64, seed: u64) {
            let level = |at: u64| {
                let part = 1.0 - (-(at as f64) / tau as f64).exp();
                50 * MIB + (part * (size * MIB) as f64) as u64 + noise(at, seed, MIB)
            };
            prop_assert!(names(&heap(level)).is_empty());
        }

        #[test]
        fn what_fills_up_and_stops_is_no_leak(full in 1..45_u64, step in 1..50_u64) {
            prop_assert!(names(&heap(|at| (50 + at.min(full) * step) * MIB)).is_empty());
        }

        #[test]
        fn a_sawtooth_is_no_leak(tooth in 2..9_u64, step in 1..50_u64) {
            prop_assert!(names(&heap(|at| (50 + at % tooth * step) * MIB)).is_empty());
        }

        #[test]
        fn one_jump_is_no_leak(at in 0..60_u64, size in 1..1000_u64) {
            let jump = |now| if now < at { 50 * MIB } else { (50 + size) * MIB };
            prop_assert!(names(&heap(jump)).is_empty());
        }
    }

    #[test]
    fn more_for_more_load_is_no_leak() {
        let mut rising = heap(|at| (50 + at * 5) * MIB);
        rising.iter_mut().zip(0..).for_each(|(sample, at)| sample.rate = 100 + at * 40);
        assert_eq!(names(&rising), Vec::<&str>::new());
    }

    #[test]
    fn it_is_seen_between_other_loads() {
        let mut mixed = heap(|at| (50 + at * 5) * MIB);
        mixed.iter_mut().step_by(2).for_each(|sample| {
            sample.rate = 5000;
            sample.amounts[Grower::Heap as usize] += 500 * MIB;
        });
        assert_eq!(names(&mixed), ["heap"]);
    }

    #[test]
    fn too_short_a_time_tells_nothing() {
        assert!(names(&heap(|at| at * 50 * MIB)[..30]).is_empty());
        assert!(names(&[]).is_empty());
    }
}
