//! Active checks: what is asked, and what the answers mean for a server.
//!
//! Owns: the counting of rise and fall. May touch: [`crate::settings`]. [`crate::origin::probe`]
//! asks.

use super::ActiveHealth;
use crate::settings::HealthCheck;

/// The results in a row of one server's checks.
#[derive(Debug, Default)]
pub struct RiseAndFall {
    passed: u32,
    failed: u32,
}

impl RiseAndFall {
    /// The health after one more probe; `now` is the health before.
    pub fn count(&mut self, passed: bool, now: ActiveHealth, check: &HealthCheck) -> ActiveHealth {
        if passed {
            self.failed = 0;
            self.passed = self.passed.saturating_add(1);
            match now {
                ActiveHealth::Down if self.passed < check.rise => now,
                // One pass is enough for a server that has not failed yet.
                _ => ActiveHealth::Up,
            }
        } else {
            self.passed = 0;
            self.failed = self.failed.saturating_add(1);
            if self.failed >= check.fall { ActiveHealth::Down } else { now }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::StatusRange;
    use std::time::Duration;

    fn check() -> HealthCheck {
        HealthCheck {
            path: "/".into(),
            grpc: None,
            host: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            fall: 3,
            rise: 2,
            status: vec![StatusRange { first: 200, last: 399 }],
        }
    }

    #[test]
    fn rise_and_fall() {
        use ActiveHealth::{Down, Unchecked, Up};
        let (check, mut tally, mut health) =
            (check(), RiseAndFall::default(), ActiveHealth::Unchecked);
        let mut after = |passed| {
            health = tally.count(passed, health, &check);
            health
        };
        assert_eq!([false, false, true].map(&mut after), [Unchecked, Unchecked, Up]);
        assert_eq!([false, false, false].map(&mut after), [Up, Up, Down]);
        assert_eq!([true, false, true, true].map(&mut after), [Down, Down, Down, Up]);
    }

    #[test]
    fn a_server_being_checked_is_up_after_one_pass() {
        let mut tally = RiseAndFall::default();
        assert_eq!(tally.count(true, ActiveHealth::Checking, &check()), ActiveHealth::Up);
    }
}
