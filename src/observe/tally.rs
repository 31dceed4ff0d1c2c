//! BucketCounts, and what people read of them: rates, parts and quantiles.
//!
//! Owns: how a quantile is estimated. May touch: nothing outside this room. The estimate is in the
//! same bucket as the exact value, so it is wrong by less than the bucket's width: at most a third,
//! and mostly less than a tenth, of the value.

use super::durations::{BOUNDS, BUCKETS, BucketCounts};
use std::{iter::zip, time::Duration};

/// Something that is counted: requests or attempts, those of them that failed, and the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowTally {
    /// How many.
    pub requests: u64,
    /// How many failed.
    pub errors: u64,
    /// How long they took, as far as it is known.
    pub times: BucketCounts,
}

impl Default for WindowTally {
    fn default() -> Self {
        Self { requests: 0, errors: 0, times: [0; BUCKETS] }
    }
}

impl WindowTally {
    /// What was added since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut times = self.times;
        zip(&mut times, &before.times).for_each(|(now, before)| *now = now.saturating_sub(*before));
        Self {
            requests: self.requests.saturating_sub(before.requests),
            errors: self.errors.saturating_sub(before.errors),
            times,
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        zip(&mut self.times, &other.times).for_each(|(sum, it)| *sum += it);
    }
}

/// What happened in a time.
pub struct Summary {
    /// What.
    pub tally: WindowTally,
    /// In this time.
    pub over: Duration,
}

impl Summary {
    /// Requests in a second.
    pub fn rate(&self) -> f64 {
        let seconds = self.over.as_secs_f64();
        if seconds > 0.0 { self.tally.requests as f64 / seconds } else { 0.0 }
    }

    /// The part that failed, 0 to 1; `None` without requests.
    pub fn error_rate(&self) -> Option<f64> {
        let WindowTally { requests, errors, .. } = self.tally;
        (requests > 0).then(|| (errors as f64 / requests as f64).min(1.0))
    }

    /// The time that this part (0 to 1) needed at most, in milliseconds; `None` without times.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        quantile(&self.tally.times, part).map(|nanos| nanos / 1e6)
    }
}

/// The estimate in nanoseconds: between the bounds of a bucket, as if the times in it had equal
/// distances.
pub fn quantile(counts: &BucketCounts, part: f64) -> Option<f64> {
    let all: u64 = counts.iter().sum();
    let rank = ((all as f64 * part).ceil() as u64).clamp(1, all.max(1));
    let mut below = 0;
    for (bucket, count) in counts.iter().enumerate() {
        if *count > 0 && below + count >= rank {
            let low = if bucket == 0 { 0 } else { BOUNDS[bucket - 1] };
            if bucket == BUCKETS - 1 {
                return Some(low as f64);
            }
            let within = (rank - below) as f64 / *count as f64;
            return Some(low as f64 + (BOUNDS[bucket] - low) as f64 * within);
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{super::durations::Durations, *};
    use proptest::prelude::*;

    fn counts(times: &[u64]) -> BucketCounts {
        let (durations, mut counts) = (Durations::default(), [0; BUCKETS]);
        for nanos in times {
            durations.observe(Duration::from_nanos(*nanos));
        }
        durations.add_to(&mut counts);
        counts
    }

    fn bucket(nanos: f64) -> usize {
        BOUNDS.iter().position(|bound| nanos <= *bound as f64).unwrap()
    }

    #[test]
    fn without_times_there_is_no_quantile() {
        assert_eq!(quantile(&[0; BUCKETS], 0.5), None);
        let none = Summary { tally: WindowTally::default(), over: Duration::ZERO };
        assert_eq!((none.rate(), none.error_rate()), (0.0, None));
    }

    #[test]
    fn what_is_longer_than_all_bounds_is_told_as_the_last_bound() {
        assert_eq!(quantile(&counts(&[300_000_000_000]), 0.99), Some(1e11));
    }

    proptest! {
        #[test]
        fn an_estimate_is_in_the_bucket_of_the_exact_value(
            mut times in prop::collection::vec((1..150_000_000_000_u64, 0..28_u32), 1..400),
            part in 0.0..=1.0,
        ) {
            let mut times: Vec<u64> = times.drain(..).map(|(nanos, by)| nanos >> by).collect();
            let estimate = quantile(&counts(&times), part).unwrap();
            times.sort_unstable();
            let rank = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len());
            let exact = times[rank - 1];
            prop_assert_eq!(bucket(estimate.min(1e11 - 1.0)), bucket((exact as f64).min(1e11 - 1.0)));
            if (10_000..100_000_000_000).contains(&exact) {
                prop_assert!((estimate - exact as f64).abs() / exact as f64 <= 0.34);
            }
        }
    }
}
