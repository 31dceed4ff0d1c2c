//! How long a body is coded before others have their turn.
//!
//! Owns: the line of a worker's bodies that wait for their turn. May touch: [`crate::task`]. A
//! megabyte takes ten milliseconds and more to compress, and the worker does nothing else
//! meanwhile. So a body that is coded stops after a quarter of a millisecond and goes to the end of
//! the line, from which one is called after each look for new events on the sockets. The line is a
//! thread's and not the worker's, because a body does not know its worker.

use crate::task::spawn;
use futures_util::task::AtomicWaker;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, task::yield_now};

/// See docs/decisions/compression.md for the measurement.
const TURN: Duration = Duration::from_micros(250);

thread_local! {
    static LINE: RefCell<VecDeque<Weak<PlaceInLine>>> = const { RefCell::new(VecDeque::new()) };
    /// Whether [`call`] runs.
    static CALLED: Cell<bool> = const { Cell::new(false) };
}

/// A place in the line.
#[derive(Debug, Default)]
struct PlaceInLine {
    called: AtomicBool,
    waker: AtomicWaker,
}

/// A body's turns.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Of this turn.
    spent: Duration,
    place: Option<Arc<PlaceInLine>>,
}

impl Turn {
    /// Ready if it is this body's turn.
    pub(super) fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.place {
            None if self.spent < TURN && LINE.with_borrow(VecDeque::is_empty) => Poll::Ready(()),
            None => self.pass(cx),
            Some(place) => {
                place.waker.register(cx.waker());
                if !place.called.load(Relaxed) {
                    return Poll::Pending;
                }
                self.place = None;
                Poll::Ready(())
            }
        }
    }

    /// Does some work, and counts its time.
    pub(super) fn work<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = work();
        self.spent += begun.elapsed();
        done
    }

    /// There is nothing to do: others have their turn anyway.
    pub(super) fn rest(&mut self) {
        self.spent = Duration::ZERO;
    }

    /// Goes to the end of the line.
    pub(super) fn pass<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.rest();
        let place = self.place.insert(Arc::default());
        if Handle::try_current().is_err() {
            // There are no others.
            place.called.store(true, Relaxed);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        place.waker.register(cx.waker());
        LINE.with_borrow_mut(|line| line.push_back(Arc::downgrade(place)));
        if !CALLED.replace(true) {
            spawn(call());
        }
        Poll::Pending
    }
}

/// Calls one after the other, until nobody waits. Each time the worker looks at its sockets first: a
/// task that yields is woken after that, but a task that wakes itself is not.
async fn call() {
    let _ended = CallEnded;
    loop {
        yield_now().await;
        let Some(place) = next() else { return };
        place.called.store(true, Relaxed);
        place.waker.wake();
    }
}

/// The first whose body is still there.
fn next() -> Option<Arc<PlaceInLine>> {
    LINE.with_borrow_mut(|line| {
        while let Some(place) = line.pop_front() {
            if let Some(place) = place.upgrade() {
                return Some(place);
            }
        }
        None
    })
}

/// Also if its runtime ends.
struct CallEnded;

impl Drop for CallEnded {
    fn drop(&mut self) {
        CALLED.set(false);
    }
}
