//! Monotonic milliseconds since the process began.
//!
//! Owns: the one notion of time that the data path shares, small enough for an atomic. May touch:
//! nothing outside this room. Health logic takes such numbers as arguments, so its tests simulate
//! time.

use std::time::Instant;

/// Counts milliseconds from a fixed instant.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that was at 0 a minute ago, so that 0 can mean "never".
    pub fn start() -> Self {
        let now = Instant::now();
        Self { start: now.checked_sub(std::time::Duration::from_secs(60)).unwrap_or(now) }
    }

    /// Milliseconds now.
    pub fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// Milliseconds at `instant`.
    pub fn at(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.start).as_millis() as u64
    }
}
