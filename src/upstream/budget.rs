//! The retry budget: when an upstream breaks, retries must not make its load much heavier.
//!
//! Owns: the count of retries in progress. May touch: nothing outside this room. Next: the retry
//! loop holds a permit for as long as its retry lasts.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Retries in progress at one upstream.
#[derive(Clone, Default)]
pub(super) struct Budget(Arc<AtomicU32>);

impl Budget {
    /// A permit if fewer than `max(min, percent of running)` retries are in progress. 100 % means
    /// no limit, because a failed attempt no longer counts as running when it asks for a permit.
    pub(super) fn permit(&self, percent: u32, min: u32, running: u32) -> Option<RetryPermit> {
        let share = u64::from(percent) * u64::from(running) / 100;
        let limit = if percent >= 100 { u64::MAX } else { share.max(u64::from(min)) };
        self.0
            .fetch_update(Relaxed, Relaxed, |used| (u64::from(used) < limit).then_some(used + 1))
            .ok()
            .map(|_| RetryPermit(Arc::clone(&self.0)))
    }
}

/// The right to one retry; dropping it gives it back.
pub struct RetryPermit(Arc<AtomicU32>);

impl Drop for RetryPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_min_and_percent() {
        let budget = Budget::default();
        let kept: Vec<_> = (0..3).map(|_| budget.permit(20, 3, 0).expect("below min")).collect();
        assert!(budget.permit(20, 3, 0).is_none());
        assert!(budget.permit(20, 3, 15).is_none());
        let fourth = budget.permit(20, 3, 20).expect("20 % of 20 is 4");
        assert!(budget.permit(20, 3, 24).is_none());
        drop((kept, fourth));
        assert!(budget.permit(100, 0, 0).is_some());
        assert!(budget.permit(0, 1, 0).is_some());
        assert!(budget.permit(0, 0, 1_000).is_none());
    }
}
