//! How long a body is coded before others have their turn.
//!
//! Owns: the time of one turn. May touch: nothing outside this room. A megabyte takes ten
//! milliseconds and more to compress, and the worker does nothing else meanwhile. So a body that is
//! coded stops after a quarter of a millisecond, and goes on once the worker has looked for new
//! events on its sockets.

use std::{
    pin::pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::task::yield_now;

/// See docs/decisions/compression.md for the measurement.
const TURN: Duration = Duration::from_micros(250);

/// The time that a body was coded since others had their turn.
#[derive(Debug, Default)]
pub(super) struct Turn(Duration);

impl Turn {
    /// Whether others are to have theirs.
    pub(super) fn is_over(&self) -> bool {
        self.0 >= TURN
    }

    /// Does some work, and counts its time.
    pub(super) fn work<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.0 += begun.elapsed();
        done
    }

    /// Others had their turn, or have it because there is nothing to do.
    pub(super) fn begin(&mut self) {
        self.0 = Duration::ZERO;
    }

    /// Lets the others go first. This task is woken after the worker has asked for events: a plain
    /// wake-up would come first, and all bodies that are coded would do many turns in between.
    pub(super) fn pass<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.begin();
        if pin!(yield_now()).poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
