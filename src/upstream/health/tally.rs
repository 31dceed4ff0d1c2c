//! How many attempts there were within a window, and how many of them failed.
//!
//! Owns: some samples of two counts that only grow. May touch: nothing outside this room.
//! [`super::passive`] asks, under its lock.

use std::collections::VecDeque;

/// Samples in a window. The more there are, the more exact is the window's beginning.
const SAMPLES: u64 = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: u64,
    attempts: u64,
    failed: u64,
}

/// The counts, and their values at earlier times.
#[derive(Debug, Default)]
pub(super) struct Tally {
    failed: u64,
    samples: VecDeque<Sample>,
}

impl Tally {
    /// Counts one more failure.
    pub(super) fn count_failure(&mut self) {
        self.failed += 1;
    }

    /// From now on, the attempts so far no longer count.
    pub(super) fn restart(&mut self, attempts: u64) {
        self.samples.clear();
        self.samples.push_back(Sample { at: 0, attempts, failed: self.failed });
    }

    /// Takes a sample; returns when the next is due.
    pub(super) fn sample(&mut self, now: u64, attempts: u64, window_ms: u64) -> u64 {
        let begin = now.saturating_sub(window_ms);
        // Keep the last sample before the window: the counts are compared with it.
        while self.samples.get(1).is_some_and(|second| second.at <= begin) {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at: now, attempts, failed: self.failed });
        now + (window_ms / SAMPLES).max(1)
    }

    /// Whether at least `percent` of the attempts in the window have failed.
    pub(super) fn fails_often(
        &self,
        now: u64,
        attempts: u64,
        window_ms: u64,
        percent: u32,
    ) -> bool {
        let begin = now.saturating_sub(window_ms);
        let before = self.samples.iter().rev().find(|sample| sample.at <= begin);
        let base = before.or(self.samples.front()).copied().unwrap_or_default();
        let attempts = attempts.saturating_sub(base.attempts);
        let failed = self.failed - base.failed;
        u128::from(failed) * 100 >= u128::from(attempts) * u128::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut tally = Tally::default();
        // A thousand attempts a second for a minute.
        for second in 0..60_u64 {
            tally.sample(second * 1000, second * 1000, 10_000);
        }
        assert!(tally.samples.len() < 13);
        for _ in 0..499 {
            tally.count_failure();
        }
        assert!(!tally.fails_often(59_500, 59_500, 10_000, 5));
        for _ in 0..30 {
            tally.count_failure();
        }
        assert!(tally.fails_often(59_500, 59_500, 10_000, 5), "529 of 10,500");
        tally.restart(59_500);
        tally.count_failure();
        assert!(!tally.fails_often(59_600, 59_600, 10_000, 5), "one of 100");
    }
}
