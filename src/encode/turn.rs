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
            spawn(call(CallEnded));
        }
        Poll::Pending
    }
}

/// Calls one after the other, until nobody waits. Each time the worker looks at its sockets first: a
/// task that yields is woken after that, but a task that wakes itself is not.
async fn call(_ended: CallEnded) {
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

/// Also if its runtime ends, even before it has called anybody.
struct CallEnded;

impl Drop for CallEnded {
    fn drop(&mut self) {
        CALLED.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join, join_all};
    use std::{future::poll_fn, io::Write, rc::Rc, task::Waker};
    use tokio::{io::AsyncReadExt, net::UnixStream, runtime};

    fn on_a_worker(test: impl Future<Output = ()>) {
        runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(test);
    }

    fn nobody() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    async fn begin(turn: &mut Turn) {
        poll_fn(|cx| turn.poll_begin(cx)).await;
    }

    /// One that has gone to the end of the line.
    fn waiting() -> Turn {
        let mut turn = Turn::default();
        assert!(turn.pass::<()>(&mut nobody()).is_pending());
        turn
    }

    #[test]
    fn a_turn_is_as_long_as_its_work() {
        on_a_worker(async {
            let mut turn = Turn::default();
            assert!(turn.poll_begin(&mut nobody()).is_ready());
            assert_eq!(turn.work(|| 7), 7);
            turn.spent = TURN.checked_sub(Duration::from_nanos(1)).unwrap();
            assert!(turn.poll_begin(&mut nobody()).is_ready());
            turn.work(|| std::thread::sleep(Duration::from_nanos(1)));
            assert!(turn.spent >= TURN);
            assert!(turn.poll_begin(&mut nobody()).is_pending());
            assert!(turn.poll_begin(&mut nobody()).is_pending(), "not before it is called");
            begin(&mut turn).await;
            assert_eq!(turn.spent, Duration::ZERO, "a new turn");
            turn.spent = TURN;
            turn.rest();
            assert!(turn.poll_begin(&mut nobody()).is_ready());
        });
    }

    #[test]
    fn who_waits_is_called_in_the_order_of_the_line() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let body = |name: usize| {
            let told = Rc::clone(&told);
            async move {
                let mut turn = Turn::default();
                for _ in 0..3 {
                    turn.spent = TURN;
                    begin(&mut turn).await;
                    told.borrow_mut().push(name);
                }
            }
        };
        on_a_worker(async {
            join_all((0..3).map(body)).await;
        });
        assert_eq!(*told.borrow(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_newcomer_does_not_pass_those_who_wait() {
        on_a_worker(async {
            let (mut first, mut fresh) = (waiting(), Turn::default());
            assert!(fresh.poll_begin(&mut nobody()).is_pending());
            begin(&mut fresh).await;
            assert!(first.poll_begin(&mut nobody()).is_ready());
        });
    }

    #[test]
    fn who_has_left_holds_up_nobody() {
        on_a_worker(async {
            drop((waiting(), waiting()));
            begin(&mut waiting()).await;
            assert!(LINE.with_borrow(VecDeque::is_empty));
            // Whoever comes once the line was empty is called, too.
            poll_fn(|cx| if CALLED.get() { wake(cx) } else { Poll::Ready(()) }).await;
            begin(&mut waiting()).await;
        });
    }

    fn wake<T>(cx: &Context<'_>) -> Poll<T> {
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    #[test]
    fn the_worker_looks_at_its_sockets_before_the_next_turn() {
        on_a_worker(async {
            let told = RefCell::new(Vec::new());
            let (mut own, other) = UnixStream::pair().unwrap();
            let mut other = other.into_std().unwrap();
            let event = async {
                own.read_u8().await.unwrap();
                told.borrow_mut().push("event");
            };
            let body = async {
                let mut turn = Turn { spent: TURN, place: None };
                other.write_all(b"x").unwrap();
                begin(&mut turn).await;
                told.borrow_mut().push("turn");
            };
            join(event, body).await;
            assert_eq!(*told.borrow(), ["event", "turn"]);
        });
    }

    #[test]
    fn the_line_goes_on_after_its_runtime_has_ended() {
        let mut left = None;
        on_a_worker(async { left = Some(waiting()) });
        on_a_worker(async {
            begin(&mut waiting()).await;
            assert!(left.take().unwrap().poll_begin(&mut nobody()).is_ready());
        });
    }

    #[test]
    fn without_a_runtime_there_is_nobody_to_wait_for() {
        let mut turn = Turn { spent: TURN, place: None };
        assert!(turn.poll_begin(&mut nobody()).is_pending());
        assert!(turn.poll_begin(&mut nobody()).is_ready());
    }
}
