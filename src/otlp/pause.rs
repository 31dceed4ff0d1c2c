//! How long to wait before an export is tried again.
//!
//! Owns: the growing pauses. May touch: nothing outside this room.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// The pauses of one export.
#[derive(Default)]
pub(super) struct Pause {
    failures: u32,
}

impl Pause {
    /// An export was taken, or given up.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after another failure. A collector that says how long gets that.
    pub(super) fn next(&mut self, told: Option<Duration>) -> Duration {
        let grown = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        // Many instances must not come back at the same moment.
        let random = RandomState::new().hash_one(self.failures) as f64 / u64::MAX as f64;
        match told {
            Some(wait) => wait + FIRST.mul_f64(random),
            None => grown.mul_f64(0.5 + random / 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut pause = Pause::default();
        for failures in 0..40 {
            let grown = f64::from((1 << failures.min(20)).min(30));
            let wait = pause.next(None).as_secs_f64();
            assert!(wait >= grown / 2.0 && wait <= grown, "{failures}: {wait}");
        }
        let told = Duration::from_secs(7);
        assert!((told..=told + FIRST).contains(&pause.next(Some(told))));
        pause.reset();
        assert!(pause.next(None) <= FIRST);
    }
}
