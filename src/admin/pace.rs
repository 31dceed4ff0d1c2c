//! Refusals are answered slowly, so that nobody tries tokens by the thousand.
//!
//! Owns: the next time at which one may be answered. May touch: nothing outside this room. Who
//! shows a right token never waits here.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// Between two answers that refuse: ten a second.
const STEP: Duration = Duration::from_millis(100);
/// Who would have to wait longer is turned away at once.
const LONGEST: Duration = Duration::from_secs(3);

/// When the next refusal may be answered.
#[derive(Default)]
pub(super) struct RefusalPace(Mutex<Option<Instant>>);

impl RefusalPace {
    /// Waits for its turn; false if too many wait.
    pub(super) async fn wait(&self) -> bool {
        let turn = {
            let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.filter(|it| *it > now).unwrap_or(now);
            if turn - now > LONGEST {
                return false;
            }
            *next = Some(turn + STEP);
            turn
        };
        sleep_until(turn).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_are_refused_in_a_second() {
        let (pace, begin) = (RefusalPace::default(), Instant::now());
        for _ in 0..11 {
            assert!(pace.wait().await);
        }
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
    }
}
