//! A connection's one timer.
//!
//! Owns: when to check next. May touch: nothing outside this room. It rings no later than the first
//! timeout can be over, so that requests neither set nor stop it. When it rings, the connection
//! checks its timeouts.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::{Sleep, sleep_until};

/// A connection's one timer.
pub struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Whether it will wake us without being polled again.
    set: bool,
    born: Instant,
}

impl Alarm {
    /// Rings `after` it was `born`.
    pub fn new(born: Instant, after: Duration) -> Self {
        Self { sleep: Box::pin(sleep_until((born + after).into())), set: false, born }
    }

    /// Ready when it rings. Costs next to nothing until then.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.set && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        self.set = true;
        self.sleep.as_mut().poll(cx)
    }

    /// Rings again after this time.
    pub fn ring_in(&mut self, after: Duration) {
        self.sleep.as_mut().reset((Instant::now() + after).into());
        self.set = false;
    }

    /// Rings after this time at the latest. Something that begins now may have a timeout that ends
    /// before the alarm would ring.
    pub fn ring_within(&mut self, after: Duration) {
        let moment = (Instant::now() + after).into();
        if self.sleep.deadline() > moment {
            self.sleep.as_mut().reset(moment);
            self.set = false;
        }
    }

    /// The time until the alarm is older than `age`; `None` if it is already, or if `age` is zero.
    pub fn ages_in(&self, age: Duration) -> Option<Duration> {
        age.checked_sub(self.born.elapsed()).filter(|left| !left.is_zero())
    }

    /// Whether it was made longer ago than `age`; zero is never.
    pub fn is_older_than(&self, age: Duration) -> bool {
        !age.is_zero() && self.born.elapsed() >= age
    }
}
