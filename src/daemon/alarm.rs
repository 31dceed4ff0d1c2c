//! A connection's one timer.
//!
//! Owns: when to look next. May touch: nothing of ours. It rings no later than anything can be
//! overdue, so that requests neither set nor stop it; whoever hears it looks what is overdue.

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

    /// Rings again `after` a time.
    pub fn ring_in(&mut self, after: Duration) {
        self.sleep.as_mut().reset((Instant::now() + after).into());
        self.set = false;
    }

    /// Whether it was made longer ago than `age`; zero is never.
    pub fn is_older_than(&self, age: Duration) -> bool {
        !age.is_zero() && self.born.elapsed() >= age
    }
}
