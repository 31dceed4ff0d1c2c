//! One fetch that several requests wait for.
//!
//! Owns: what has come of it so far, and who waits. May touch: [`crate::http1`],
//! [`crate::message`]. One task fills it ([`Flight::begin`], [`Flight::poll_push`],
//! [`Flight::finish`]); each request reads it at its own pace ([`FlightBody`]).

use super::{
    kept::CacheEntry,
    policy::Freshness,
    store::{Label, StoreKey, StoredEntry},
    streamed::Streamed,
};
use crate::{
    http1::outgoing::Part,
    message::body::{BodyError, Length, Polled, Source, Want},
};
use bytes::Bytes;
use http::{HeaderName, StatusCode};
use http_body::Frame;
use std::{
    collections::VecDeque,
    future::poll_fn,
    mem::take,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Of a response that turned out too large to be stored, so many bytes wait for the slowest reader.
const AHEAD: usize = 1024 * 1024;

/// A fetch under way.
#[derive(Debug)]
pub struct Flight {
    state: Mutex<FlightState>,
    /// What it fetches, and what was purged before it began.
    pub label: Label,
}

#[derive(Debug, Default)]
struct FlightState {
    stage: Stage,
    /// Of those who wait for the stage or the end.
    wakers: Vec<Waker>,
    /// Of the task that fills it.
    filler: Option<Waker>,
    parts: VecDeque<Bytes>,
    /// How many parts were before those.
    dropped: usize,
    /// The bytes of all parts that are held.
    held: usize,
    /// Parts are given up once every reader has them: it will not be stored.
    overflown: bool,
    /// `None` for one that has gone.
    readers: Vec<Option<FlightReader>>,
    end: Option<FlightEnd>,
}

/// Somebody who reads it, or waits for its head to do so.
#[derive(Debug, Default)]
struct FlightReader {
    /// The part that it takes next.
    next: usize,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlightEnd {
    Whole,
    Broken,
}

/// How far a fetch is.
#[derive(Clone, Debug, Default)]
pub enum Stage {
    /// There is no head yet.
    #[default]
    Waiting,
    /// The response comes, and may be stored.
    Streaming(Arc<Streamed>),
    /// There is nothing to wait for.
    Settled(Settled),
}

/// What a fetch came to, if its response does not stream.
#[derive(Clone, Debug)]
pub enum Settled {
    /// This is the answer: validated, or stale because there was no better one.
    Stored(Arc<StoredEntry<CacheEntry>>, Reused),
    /// A tier beside memory had it.
    Found(Arc<FoundResponse>),
    /// The response is not for others: everybody asks for it alone.
    Pass,
    /// There is no answer.
    Failed(FetchFailed),
}

/// A response that a tier beside memory had.
#[derive(Debug)]
pub struct FoundResponse {
    /// Which tier.
    pub tier: &'static str,
    /// The response.
    pub entry: Arc<StoredEntry<CacheEntry>>,
    /// How fresh it is.
    pub fresh: Freshness,
    /// The fields that choose between this and other responses of its URL, sorted.
    pub names: Box<[HeaderName]>,
    /// The key that it is stored under: of these fields as its request had them.
    pub key: StoreKey,
}

/// Why a stored response is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reused {
    /// The server says that it is still right.
    Validated,
    /// The servers failed, or answered so.
    OnError(Option<u16>),
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub struct FetchFailed {
    /// The status to answer with.
    pub status: StatusCode,
    /// In one word.
    pub reason: &'static str,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
}

impl Flight {
    /// One that begins now.
    pub fn new(label: Label) -> Self {
        Self { state: Mutex::default(), label }
    }

    fn lock(&self) -> MutexGuard<'_, FlightState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is known what comes of it.
    pub async fn stage(&self) -> Stage {
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Stage::Waiting = state.stage {
                state.wait(cx);
                return Poll::Pending;
            }
            Poll::Ready(state.stage.clone())
        })
        .await
    }

    /// Waits until nothing more comes of it.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.end.is_some() || matches!(state.stage, Stage::Settled(_)) {
                return Poll::Ready(());
            }
            state.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// There will be no parts.
    pub fn settle(&self, settled: Settled) {
        let mut state = self.lock();
        if let Stage::Waiting = state.stage {
            state.stage = Stage::Settled(settled);
        }
        state.wake();
    }

    /// The response's head is there; parts follow.
    pub fn begin(&self, head: Arc<Streamed>) {
        let mut state = self.lock();
        state.stage = Stage::Streaming(head);
        state.wake();
    }

    /// One more part, once there is room for it. An error if nobody wants more.
    pub fn poll_push(&self, cx: &mut Context<'_>, part: &mut Bytes) -> Poll<Result<(), Unwanted>> {
        let mut state = self.lock();
        if state.overflown {
            state.give_up_what_all_have();
            if state.readers.iter().all(Option::is_none) {
                return Poll::Ready(Err(Unwanted));
            }
            if state.held > AHEAD {
                state.filler = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        state.held += part.len();
        state.parts.push_back(take(part));
        state.wake();
        Poll::Ready(Ok(()))
    }

    /// It is too large to be stored: from now on it is only passed on to those who read it.
    pub fn overflow(&self) {
        self.lock().overflown = true;
    }

    /// How many read it now.
    pub fn readers(&self) -> usize {
        self.lock().readers.iter().flatten().count()
    }

    /// All of it was pushed, or it broke off.
    pub fn finish(&self, whole: bool) {
        let mut state = self.lock();
        state.end = Some(if whole { FlightEnd::Whole } else { FlightEnd::Broken });
        state.wake();
    }

    /// Whether parts may still come.
    pub fn is_unfinished(&self) -> bool {
        self.lock().end.is_none()
    }

    /// All parts, of a response that has not overflown.
    pub fn parts(&self) -> Vec<Bytes> {
        self.lock().parts.iter().cloned().collect()
    }

    /// A reader of all parts. It counts as one from now on, so that nothing is given up before it has
    /// taken it: to be called before others can make the flight go on.
    pub fn attend(self: &Arc<Self>) -> FlightBody {
        let mut state = self.lock();
        let id = state.readers.len();
        state.readers.push(Some(FlightReader::default()));
        FlightBody { flight: Arc::clone(self), id, left: None, done: false }
    }
}

/// Nobody reads it, and it will not be stored.
#[derive(Debug)]
pub struct Unwanted;

impl FlightState {
    fn wait(&mut self, cx: &Context<'_>) {
        if !self.wakers.iter().any(|it| it.will_wake(cx.waker())) {
            self.wakers.push(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
        let readers = self.readers.iter_mut().flatten();
        readers.filter_map(|it| it.waker.take()).for_each(Waker::wake);
    }

    fn give_up_what_all_have(&mut self) {
        let slowest = self.readers.iter().flatten().map(|it| it.next).min();
        let slowest = slowest.unwrap_or(self.dropped + self.parts.len());
        while self.dropped < slowest
            && let Some(part) = self.parts.pop_front()
        {
            self.held -= part.len();
            self.dropped += 1;
        }
    }
}

/// One request's view of the content.
#[derive(Debug)]
pub struct FlightBody {
    flight: Arc<Flight>,
    id: usize,
    /// Bytes still to come, if it was announced how many.
    left: Option<u64>,
    done: bool,
}

impl FlightBody {
    /// What it reads from.
    pub fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    /// So many bytes will come, if that was announced.
    #[must_use]
    pub fn of_length(mut self, length: Option<u64>) -> Self {
        self.left = length;
        self
    }
}

impl Source for FlightBody {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        if self.done {
            return Poll::Ready(None);
        }
        let mut state = self.flight.lock();
        let FlightState { readers, parts, dropped, end, filler, .. } = &mut *state;
        let Some(reader) = readers[self.id].as_mut() else { return Poll::Ready(None) };
        let part = parts.get(reader.next - *dropped);
        if part.is_some() && want.most == 0 {
            // It stays here, where one is held for all readers, and where the fetch waits for the slowest.
            return Poll::Pending;
        }
        let Some(part) = part.cloned() else {
            let Some(end) = *end else {
                reader.waker = Some(cx.waker().clone());
                return Poll::Pending;
            };
            self.done = true;
            let broken = end == FlightEnd::Broken || self.left.is_some_and(|left| left > 0);
            return Poll::Ready(broken.then_some(Err(BodyError::Truncated)));
        };
        reader.next += 1;
        if let Some(filler) = filler.take() {
            filler.wake();
        }
        drop(state);
        self.left = self.left.map(|left| left.saturating_sub(part.len() as u64));
        Poll::Ready(Some(Ok(Part::Frame(Frame::data(part)))))
    }

    fn length(&self) -> Length {
        match self.left {
            _ if self.done => Length::None,
            Some(0) => Length::None,
            Some(left) => Length::Exact(left),
            None => Length::Unknown,
        }
    }
}

impl Drop for FlightBody {
    fn drop(&mut self) {
        let mut state = self.flight.lock();
        state.readers[self.id] = None;
        if let Some(filler) = state.filler.take() {
            filler.wake();
        }
    }
}
