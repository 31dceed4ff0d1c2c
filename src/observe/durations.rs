//! How long things took: a histogram that is fine enough for quantiles.
//!
//! Owns: the bounds of its buckets. May touch: nothing outside this room. There are ten bounds in
//! each decade from 10 µs to 100 s, and Prometheus sees the sums of some of them: see
//! `docs/decisions/histograms.md`. An observation is two additions, and no loop over the bounds.
//! [`super::tally`] reads it.

use prometheus::proto::{Bucket, Histogram};
use std::{
    array::from_fn,
    iter::zip,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The bounds that Prometheus sees, in microseconds: from a cached file to a slow report. Each is
/// also one of [`BOUNDS`].
pub(super) const SHOWN: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

const IN_A_DECADE: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
const DECADES: usize = 7;

/// How many buckets there are. The last two begin at 80 s and at 100 s.
pub const BUCKETS: usize = IN_A_DECADE.len() * DECADES + 2;

/// The upper bounds in nanoseconds; the last bucket has none.
pub const BOUNDS: [u64; BUCKETS] = {
    let (mut bounds, mut at, mut unit) = ([u64::MAX; BUCKETS], 0, 1_000);
    while at + 1 < BUCKETS {
        bounds[at] = IN_A_DECADE[at % IN_A_DECADE.len()] * unit;
        at += 1;
        if at % IN_A_DECADE.len() == 0 {
            unit *= 10;
        }
    }
    bounds
};

/// A time belongs to a cell by its first bits: the power of two that it is at least, and the
/// eighth of what lies between that power and the next one. At most one bound is within a cell,
/// because each bound is more than 9/8 of the previous one.
const EIGHTHS: u32 = 3;
/// The powers of two below the first bound and above the last one.
const LOWEST: u32 = BOUNDS[0].ilog2();
const HIGHEST: u32 = BOUNDS[BUCKETS - 2].ilog2();
const CELLS: usize = ((HIGHEST - LOWEST + 1) << EIGHTHS) as usize;

/// The first bucket of each cell.
const FIRST: [u8; CELLS] = {
    let (mut first, mut cell) = ([0; CELLS], 0);
    while cell < CELLS {
        let power = LOWEST + (cell as u32 >> EIGHTHS);
        let begin = (1 << power) + ((cell as u64 % (1 << EIGHTHS)) << (power - EIGHTHS));
        let mut bucket = 0;
        while BOUNDS[bucket] <= begin {
            bucket += 1;
        }
        first[cell] = bucket as u8;
        cell += 1;
    }
    first
};

/// How many of each bucket.
pub type BucketCounts = [u64; BUCKETS];

/// A histogram of times.
#[repr(align(64))]
pub struct Durations {
    /// Nanoseconds.
    sum: AtomicU64,
    counts: [AtomicU64; BUCKETS],
}

impl Default for Durations {
    fn default() -> Self {
        Self { sum: AtomicU64::new(0), counts: from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Durations {
    /// BucketCounts one.
    #[inline]
    pub fn observe(&self, took: Duration) {
        // At least 1, so that the sum changes: see `sum`.
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.counts[bucket(nanos)].fetch_add(1, Relaxed);
        self.sum.fetch_add(nanos, Relaxed);
    }

    /// The sum of all, in nanoseconds. While it stays the same, so do the counts.
    pub(super) fn sum(&self) -> u64 {
        self.sum.load(Relaxed)
    }

    /// Adds the counts to `counts`.
    pub(super) fn add_to(&self, counts: &mut BucketCounts) {
        for (sum, count) in zip(counts, &self.counts) {
            *sum += count.load(Relaxed);
        }
    }

    /// As Prometheus sees it.
    pub(super) fn collect(&self) -> Histogram {
        let mut histogram = Histogram::default();
        let (mut count, mut at) = (0, 0);
        let buckets = SHOWN.map(|micros| {
            while BOUNDS[at] <= micros * 1000 {
                count += self.counts[at].load(Relaxed);
                at += 1;
            }
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(micros as f64 / 1e6);
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.into());
        count += self.counts[at..].iter().map(|it| it.load(Relaxed)).sum::<u64>();
        histogram.set_sample_count(count);
        histogram.set_sample_sum(Duration::from_nanos(self.sum()).as_secs_f64());
        histogram
    }
}

/// The bucket of a time. A bound itself belongs to the bucket below it.
#[inline]
fn bucket(nanos: u64) -> usize {
    let before = nanos.saturating_sub(1).clamp(1 << LOWEST, (1 << (HIGHEST + 1)) - 1);
    let power = before.ilog2();
    let eighth = (before >> (power - EIGHTHS)) as usize % (1 << EIGHTHS);
    let cell = (((power - LOWEST) as usize) << EIGHTHS) + eighth;
    let first = usize::from(FIRST[cell]);
    first + usize::from(before >= BOUNDS[first])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plainly(nanos: u64) -> usize {
        BOUNDS.iter().position(|bound| nanos <= *bound).unwrap()
    }

    #[test]
    fn the_bounds_are_what_is_said_of_them() {
        assert_eq!(BOUNDS[0], 10_000);
        assert_eq!(BOUNDS[BUCKETS - 2], 100_000_000_000);
        assert!(BOUNDS.is_sorted_by(|one, next| *one * 9 / 8 < *next));
        assert!(SHOWN.iter().all(|micros| BOUNDS.contains(&(micros * 1000))));
    }

    #[test]
    fn a_bound_is_in_its_bucket_and_what_follows_in_the_next() {
        for (at, bound) in BOUNDS[..BUCKETS - 1].iter().enumerate() {
            assert_eq!(bucket(*bound), at);
            assert_eq!(bucket(*bound + 1), at + 1);
        }
        assert_eq!((bucket(0), bucket(u64::MAX)), (0, BUCKETS - 1));
    }

    proptest! {
        #[test]
        fn a_bucket_is_found_as_by_looking_at_all(nanos in 0..200_000_000_000_u64, shift in 0..30) {
            prop_assert_eq!(bucket(nanos >> shift), plainly(nanos >> shift));
        }
    }
}
