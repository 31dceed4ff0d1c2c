//! The streams of one HTTP/2 connection, run in the connection's own task.
//!
//! Owns: the order in which they and the connection are polled, and ending streams whose client
//! takes nothing. May touch: [`super::activity`]. With a task for each stream, an answer would wait
//! twice in the worker's queue: for its stream's turn, and then for its connection's turn to write.

use super::activity::Activity;
use futures_util::{
    FutureExt,
    stream::{FuturesUnordered, StreamExt},
    task::AtomicWaker,
};
use std::{
    future::Future,
    mem::take,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

/// After each so many bytes of a stream, its client may wait as long again for the next.
const MUCH: u64 = 1024 * 1024;

type Answering = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the streams that hyper begins.
#[derive(Clone, Default)]
pub struct Begun(Arc<Mutex<Vec<Answering>>>);

impl Begun {
    fn lock(&self) -> MutexGuard<'_, Vec<Answering>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> hyper::rt::Executor<F> for Begun
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        // As for a task, a panic ends this one alone; the panic hook logs and counts it.
        let stream = AssertUnwindSafe(stream).catch_unwind().map(drop);
        self.lock().push(Box::pin(stream));
    }
}

/// One stream.
struct Stream {
    /// `None` once its client has taken nothing for too long.
    answering: Option<Answering>,
    activity: Arc<Activity>,
    /// Since when it waits for its client to take something, and who wakes it.
    waiting: Option<(u64, Waker)>,
    /// Bytes that its client has been given.
    given: u64,
}

impl Future for Stream {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(answering) = &mut self.answering else { return Poll::Ready(()) };
        let polled = answering.as_mut().poll(cx);
        if let Some(gave) = self.activity.take_told() {
            self.given += gave.unwrap_or(0);
            let since = || (self.activity.clock.now(), cx.waker().clone());
            self.waiting = (gave.is_some() && polled.is_pending()).then(since);
        }
        polled
    }
}

/// A connection's streams, and who wakes the connection itself.
pub struct Streams {
    begun: Begun,
    activity: Arc<Activity>,
    running: FuturesUnordered<Stream>,
    doorbell: Arc<Doorbell>,
    connection: Waker,
}

impl Streams {
    /// For the connection that gives its streams to `begun`; they tell `activity` what they wait for.
    pub fn new(begun: Begun, activity: Arc<Activity>) -> Self {
        let doorbell = Arc::new(Doorbell { rung: true.into(), ..Doorbell::default() });
        let connection = Waker::from(Arc::clone(&doorbell));
        Self { begun, activity, running: FuturesUnordered::new(), doorbell, connection }
    }

    /// How many wait for their client to take what they gave.
    pub fn waiting(&self) -> u64 {
        self.running.iter().filter(|stream| stream.waiting.is_some()).count() as u64
    }

    /// Ends the streams that have waited for their client for `patience` milliseconds. A stream of
    /// which much was taken may wait longer: some clients with a large window report only when half
    /// of it is free.
    pub fn end_those_waiting_for(&mut self, patience: u64) {
        let now = self.activity.clock.now();
        for stream in &mut self.running {
            let patience = patience.saturating_mul((stream.given / MUCH).max(1));
            if stream.waiting.as_ref().is_some_and(|(since, _)| now >= since + patience) {
                stream.answering = None;
                if let Some((_, waker)) = stream.waiting.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Makes sure that the connection is polled next time.
    pub fn poll_connection_next(&self) {
        self.doorbell.rung.store(true, SeqCst);
    }

    /// Polls `connection` and its streams, until none of them has anything to do or it has ended.
    pub fn poll<C: Future>(
        &mut self,
        cx: &mut Context<'_>,
        mut connection: Pin<&mut C>,
    ) -> Poll<C::Output> {
        self.doorbell.task.register(cx.waker());
        self.doorbell.heard.store(true, SeqCst);
        loop {
            let mut yields = false;
            if self.doorbell.rung.swap(false, SeqCst) {
                let polled = connection.as_mut().poll(&mut Context::from_waker(&self.connection));
                if polled.is_ready() {
                    return polled;
                }
                // It woke itself: it has more to do, after the others had their turn.
                yields = self.doorbell.rung.load(SeqCst);
                self.running.extend(self.begun.lock().drain(..).map(|answering| Stream {
                    answering: Some(answering),
                    activity: Arc::clone(&self.activity),
                    waiting: None,
                    given: 0,
                }));
            }
            // Answers that are ready at once are written at once.
            while let Poll::Ready(Some(())) = self.running.poll_next_unpin(cx) {}
            if yields || !self.doorbell.rung.load(SeqCst) {
                break;
            }
        }
        self.doorbell.heard.store(false, SeqCst);
        if self.doorbell.rung.load(SeqCst) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        // What the connection began as it ended was never polled, and it has this list itself.
        let begun = take(&mut *self.begun.lock());
        drop(begun);
    }
}

/// Wakes the connection's task, unless it is running.
#[derive(Default)]
struct Doorbell {
    rung: AtomicBool,
    heard: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, SeqCst) && !self.heard.load(SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use hyper::rt::Executor;
    use std::{
        future::{pending, poll_fn},
        pin::pin,
        sync::atomic::AtomicUsize,
        task::ready,
        thread,
    };
    use tokio::sync::oneshot;

    fn streams(begun: &Begun) -> Streams {
        Streams::new(begun.clone(), Arc::new(Activity::new(Clock::start(), 100)))
    }

    async fn poll_once<C: Future>(
        streams: &mut Streams,
        mut connection: Pin<&mut C>,
    ) -> Poll<C::Output> {
        poll_fn(|cx| Poll::Ready(streams.poll(cx, connection.as_mut()))).await
    }

    #[tokio::test]
    async fn the_connection_is_polled_when_a_stream_or_the_socket_wakes_it() {
        let polls = Arc::new(AtomicUsize::new(0));
        let begun = Begun::default();
        let (answer, mut answered) = oneshot::channel();
        let (upstream, response) = oneshot::channel();
        let mut streams = streams(&begun);
        begun.execute(async move {
            let response: u32 = response.await.unwrap();
            answer.send(response + 1).unwrap();
        });
        let counted = Arc::clone(&polls);
        let mut connection = pin!(poll_fn(move |cx| {
            counted.fetch_add(1, SeqCst);
            Poll::Ready(ready!(Pin::new(&mut answered).poll(cx)).unwrap())
        }));
        for _ in 0..4 {
            assert!(poll_once(&mut streams, connection.as_mut()).await.is_pending());
        }
        assert_eq!(polls.load(SeqCst), 1, "nothing woke it");
        // From another thread, while the task sleeps.
        let sender = thread::spawn(move || upstream.send(41).unwrap());
        let ended = poll_fn(|cx| streams.poll(cx, connection.as_mut())).await;
        sender.join().unwrap();
        assert_eq!((ended, polls.load(SeqCst)), (42, 2));
    }

    #[tokio::test]
    async fn a_stream_that_panics_ends_alone() {
        let begun = Begun::default();
        let mut streams = streams(&begun);
        let (tell, told) = oneshot::channel();
        begun.execute(async { panic!("a stream panics: this is part of the test") });
        begun.execute(async move { tell.send(()).unwrap() });
        let mut connection = pin!(pending::<()>());
        tokio::select! {
            () = poll_fn(|cx| streams.poll(cx, connection.as_mut())) => {}
            told = told => told.unwrap(),
        }
        assert!(streams.running.is_empty());
    }

    #[tokio::test]
    async fn a_connection_that_yields_lets_other_tasks_run() {
        let mut streams = streams(&Begun::default());
        let mut polls = 0;
        let mut connection = pin!(poll_fn(|cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        }));
        let turns = AtomicUsize::new(0);
        let others = async {
            loop {
                turns.fetch_add(1, SeqCst);
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = poll_fn(|cx| streams.poll(cx, connection.as_mut())) => {}
            () = others => {}
        }
        assert_eq!(turns.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn a_connection_is_polled_again_after_it_was_told_something() {
        let mut streams = streams(&Begun::default());
        let mut polls = 0;
        let mut connection = pin!(poll_fn(|_| {
            polls += 1;
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        }));
        assert!(poll_once(&mut streams, connection.as_mut()).await.is_pending());
        streams.poll_connection_next();
        poll_fn(|cx| streams.poll(cx, connection.as_mut())).await;
    }

    #[tokio::test]
    async fn what_a_connection_began_as_it_ended_is_dropped_with_it() {
        let begun = Begun::default();
        let held = Arc::new(());
        let (inside, weak) = ((begun.clone(), Arc::clone(&held)), Arc::downgrade(&held));
        drop(held);
        let mut streams = streams(&begun);
        let mut connection = pin!(async move {
            begun.execute(async move {
                pending::<()>().await;
                drop(inside);
            });
        });
        assert!(poll_once(&mut streams, connection.as_mut()).await.is_ready());
        drop(streams);
        assert!(weak.upgrade().is_none());
    }

    #[tokio::test]
    async fn a_stream_ends_whose_client_takes_nothing() {
        let begun = Begun::default();
        let mut streams = streams(&begun);
        let activity = Arc::clone(&streams.activity);
        let ([waits, works], [waiting, working]) = {
            let (waits, waiting) = oneshot::channel::<()>();
            let (works, working) = oneshot::channel::<()>();
            ([waits, works], [waiting, working])
        };
        for (held, told) in [(waits, Some(9)), (works, None)] {
            let activity = Arc::clone(&activity);
            begun.execute(async move {
                activity.tell(told);
                pending::<()>().await;
                drop(held);
            });
        }
        let mut connection = pin!(pending::<()>());
        assert!(poll_once(&mut streams, connection.as_mut()).await.is_pending());
        assert_eq!(streams.waiting(), 1);
        streams.end_those_waiting_for(60_000);
        assert_eq!(streams.waiting(), 1, "not yet");
        streams.end_those_waiting_for(0);
        assert!(waiting.now_or_never().is_some(), "it has been dropped");
        assert!(working.now_or_never().is_none(), "this one waits for something else");
        assert!(poll_once(&mut streams, connection.as_mut()).await.is_pending());
        assert_eq!(streams.running.len(), 1);
    }
}
