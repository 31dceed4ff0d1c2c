//! A request's body on its way from the client's connection to its taker.
//!
//! Owns: the hand-over. May touch: nothing outside this room. Only the connection has the socket.
//! The taker asks for a part, and the connection reads it and hands it over, so that a client is
//! read no faster than its body is taken. Both mostly run in one task: the connection checks for
//! the wish right after it has polled the taker, and no task is woken.

use super::{
    buffers::{self, Pace, SMALL},
    chunked::{Chunked, Step},
    moved::{self, Moved, WORTH_MOVING},
    outgoing::Part,
    socket::{Socket, poll_write},
};
use bytes::Bytes;
use http_body::Frame;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A part, or what went wrong.
type Handed = io::Result<Part>;

#[derive(Debug, Default)]
struct Exchange {
    part: Option<Handed>,
    wanted: bool,
    /// The taker doesn't look at the part: the kernel may move it.
    unseen: bool,
    ended: bool,
    taker: Option<Waker>,
    giver: Option<Waker>,
}

type SharedRest = Arc<Mutex<Exchange>>;

fn lock(shared: &SharedRest) -> MutexGuard<'_, Exchange> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes which task to wake.
fn note(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if !waker.as_ref().is_some_and(|it| it.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
}

/// Wakes `waker`, unless it is the task that is running.
fn wake(waker: &mut Option<Waker>, cx: &Context<'_>) {
    if let Some(waker) = waker.take_if(|it| !it.will_wake(cx.waker())) {
        waker.wake();
    }
}

/// The taker's end.
#[derive(Debug)]
pub struct RequestBody {
    shared: SharedRest,
    length: Option<u64>,
}

impl RequestBody {
    /// Its length as announced.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether everything has been taken.
    pub fn is_ended(&self) -> bool {
        let exchange = lock(&self.shared);
        exchange.ended && exchange.part.is_none()
    }

    /// The next part. If it is `unseen`, the kernel may move it.
    pub fn poll_part(&mut self, cx: &mut Context<'_>, unseen: bool) -> Poll<Option<Handed>> {
        let mut exchange = lock(&self.shared);
        if let Some(part) = exchange.part.take() {
            return Poll::Ready(Some(part));
        }
        if exchange.ended {
            return Poll::Ready(None);
        }
        (exchange.wanted, exchange.unseen) = (true, unseen);
        note(&mut exchange.taker, cx);
        wake(&mut exchange.giver, cx);
        Poll::Pending
    }
}

/// What is left of a body on the connection.
#[derive(Debug)]
enum RequestRest {
    /// Bytes until the client ends them. `fast`: the last part was large enough to be moved by the
    /// kernel.
    Tunnel {
        fast: bool,
    },
    Length(u64),
    Chunked(Chunked),
}

/// The connection's end.
#[derive(Debug)]
pub struct Giver {
    shared: SharedRest,
    rest: RequestRest,
    /// The unwritten rest of `100 Continue`, which is sent once the body is wanted.
    interim: &'static [u8],
    pace: Pace,
    done: bool,
}

/// A body of `length` bytes, or in chunks: the connection's end and the taker's. What came with the
/// head is handed over at once, so that it is sent in one write with the head. With
/// `expects_continue`, the client is told to continue once the taker wants more.
pub fn hand_over(
    length: Option<u64>,
    expects_continue: bool,
    unread: &mut Bytes,
) -> (Giver, RequestBody) {
    let shared = SharedRest::default();
    let rest = length.map_or(RequestRest::Chunked(Chunked::default()), RequestRest::Length);
    let interim = if expects_continue { CONTINUE } else { b"" };
    let mut giver =
        Giver { shared: Arc::clone(&shared), rest, interim, pace: Pace::default(), done: false };
    let first = giver.take(unread).transpose();
    if first.is_some() || giver.done {
        drop(giver.give(first));
    }
    (giver, RequestBody { shared, length })
}

/// What a client sends once it has changed protocols.
pub fn tunnel() -> (Giver, RequestBody) {
    let shared = SharedRest::default();
    let (rest, pace) = (RequestRest::Tunnel { fast: false }, Pace::default());
    let giver = Giver { shared: Arc::clone(&shared), rest, interim: b"", pace, done: false };
    (giver, RequestBody { shared, length: None })
}

impl Giver {
    /// Whether the whole body has been read off the connection.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether the taker is still there.
    pub fn is_taken(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// Ready when a wanted part has been handed over, so that the taker must be polled again.
    pub fn poll<S: AsyncRead + AsyncWrite + Socket>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        unread: &mut Bytes,
    ) -> Poll<()> {
        let unseen = {
            let mut exchange = lock(&self.shared);
            if self.done || !exchange.wanted {
                note(&mut exchange.giver, cx);
                return Poll::Pending;
            }
            exchange.unseen
        };
        if unseen
            && unread.is_empty()
            && let Some(moved) = ready!(self.poll_moved(cx, stream)).transpose()
        {
            wake(&mut self.give(Some(moved.map(Part::Moved))).taker, cx);
            return Poll::Ready(());
        }
        let part = ready!(self.poll_part(cx, stream, unread));
        wake(&mut self.give(part.transpose()).taker, cx);
        Poll::Ready(())
    }

    fn give(&mut self, part: Option<Handed>) -> MutexGuard<'_, Exchange> {
        let mut exchange = lock(&self.shared);
        exchange.wanted = false;
        // After an error there is nothing more to wait for, either.
        exchange.ended = self.done || matches!(part, Some(Err(_)));
        exchange.part = part;
        exchange
    }

    /// The next part, in a pipe; `None` if it has to be read.
    fn poll_moved<S: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &S,
    ) -> Poll<io::Result<Option<Moved>>> {
        let left = match self.rest {
            RequestRest::Length(left) => left,
            // In a tunnel, a few bytes at a time are copied; only large parts are moved.
            RequestRest::Tunnel { fast: true } => u64::MAX,
            RequestRest::Tunnel { fast: false } | RequestRest::Chunked(_) => 0,
        };
        let Some(socket) = stream.socket() else { return Poll::Ready(Ok(None)) };
        if left < WORTH_MOVING || !self.interim.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let moved = ready!(moved::poll_fill(cx, socket, left))?.map(Moved::Piped);
        if let Some(moved) = &moved {
            match &mut self.rest {
                RequestRest::Length(left) => {
                    *left -= moved.left();
                    self.done = *left == 0;
                }
                RequestRest::Tunnel { fast } => *fast = moved.left() >= SMALL as u64,
                RequestRest::Chunked(_) => {}
            }
        }
        Poll::Ready(Ok(moved))
    }

    fn poll_part<S: AsyncRead + AsyncWrite + Socket>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        unread: &mut Bytes,
    ) -> Poll<io::Result<Option<Part>>> {
        loop {
            if let Some(part) = self.take(unread)? {
                return Poll::Ready(Ok(Some(part)));
            }
            if self.done {
                return Poll::Ready(Ok(None));
            }
            while !self.interim.is_empty() {
                let written = ready!(poll_write(cx, stream, self.interim))?;
                self.interim = &self.interim[written..];
            }
            let want = self.pace.next(match self.rest {
                RequestRest::Length(left) => left,
                RequestRest::Chunked(_) | RequestRest::Tunnel { .. } => u64::MAX,
            });
            let filled = buffers::poll_fill(cx, stream, unread, want, false);
            if filled.is_pending() {
                buffers::settle(unread);
            }
            match ready!(filled)? {
                0 if matches!(self.rest, RequestRest::Tunnel { .. }) => self.done = true,
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                came => self.pace.came(came),
            }
        }
    }

    /// The next part among the bytes already read.
    fn take(&mut self, unread: &mut Bytes) -> io::Result<Option<Part>> {
        match &mut self.rest {
            _ if unread.is_empty() => Ok(None),
            RequestRest::Tunnel { fast } => {
                *fast = unread.len() >= SMALL;
                Ok(Some(Part::Frame(Frame::data(std::mem::take(unread)))))
            }
            RequestRest::Length(left) => {
                self.interim = b"";
                let take = (*left).min(unread.len() as u64);
                *left -= take;
                self.done = *left == 0;
                Ok(Some(Part::Frame(Frame::data(unread.split_to(take as usize)))))
            }
            RequestRest::Chunked(chunked) => {
                let step = chunked.step(unread).map_err(|_| {
                    io::Error::new(io::ErrorKind::InvalidData, "its chunked framing is broken")
                })?;
                self.interim = b"";
                Ok(match step {
                    Step::More => None,
                    Step::Data(data) => {
                        self.done = chunked.is_at_end(unread);
                        Some(Part::Frame(Frame::data(data)))
                    }
                    Step::End(trailers) => {
                        self.done = true;
                        trailers.map(|trailers| Part::Frame(Frame::trailers(trailers)))
                    }
                })
            }
        }
    }

    /// Drops what has been read of a body without a taker; returns whether that was all of it.
    pub fn skip_what_is_there(&mut self, unread: &mut Bytes) -> bool {
        while !self.done && matches!(self.take(unread), Ok(Some(_))) {}
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use tokio::io::ReadBuf;

    /// What a client sends. What is written to it is lost.
    struct Wire<'a>(&'a [u8]);

    impl AsyncRead for Wire<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Wire<'_> {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Socket for Wire<'_> {}

    /// Everything that a taker gets of `wire`, and what is left of it.
    async fn given(length: Option<u64>, wire: &[u8]) -> (io::Result<Vec<u8>>, Vec<u8>, bool) {
        let mut unread = Bytes::new();
        let (mut giver, mut body) = hand_over(length, false, &mut unread);
        let mut stream = Wire(wire);
        let mut all = Vec::new();
        let outcome = std::future::poll_fn(|cx| {
            loop {
                match body.poll_part(cx, false) {
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(Some(Ok(Part::Frame(frame)))) => {
                        all.extend_from_slice(&frame.into_data().unwrap_or_default());
                        continue;
                    }
                    Poll::Ready(Some(Ok(Part::Moved(moved)))) => panic!("{moved:?}"),
                    Poll::Pending => {}
                }
                ready!(giver.poll(cx, &mut stream, &mut unread));
            }
        });
        let outcome = outcome.await;
        (outcome.map(|()| all), unread.to_vec(), giver.is_done())
    }

    #[tokio::test]
    async fn a_body_ends_where_its_framing_says() {
        let (body, left, done) = given(Some(5), b"helloGET").await;
        assert_eq!((body.unwrap(), left, done), (b"hello".to_vec(), b"GET".to_vec(), true));
        let (body, left, done) = given(None, b"3\r\nhel\r\n2\r\nlo\r\n0\r\na: b\r\n\r\nGET").await;
        assert_eq!((body.unwrap(), left, done), (b"hello".to_vec(), b"GET".to_vec(), true));
        let (body, left, done) = given(None, b"5\r\nhello\r\n0\r\n\r\nGET").await;
        assert_eq!((body.unwrap(), left, done), (b"hello".to_vec(), b"GET".to_vec(), true));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_an_error() {
        for (length, wire) in [(Some(6), &b"hello"[..]), (None, b"5\r\nhel"), (None, b"x\r\n")] {
            let (body, _, done) = given(length, wire).await;
            assert!(body.is_err() && !done);
        }
    }

    #[tokio::test]
    async fn an_empty_body_that_came_with_its_head_is_at_its_end() {
        let mut unread = Bytes::from("0\r\n\r\nGET");
        let (giver, mut body) = hand_over(None, false, &mut unread);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(body.poll_part(&mut cx, false), Poll::Ready(None)));
        assert!(giver.is_done() && body.is_ended() && unread == "GET");
    }

    #[tokio::test]
    async fn nothing_is_read_that_nobody_wants() {
        let mut unread = Bytes::new();
        let (mut giver, _body) = hand_over(Some(5), false, &mut unread);
        let mut stream = Wire(b"hello");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(giver.poll(&mut cx, &mut stream, &mut unread).is_pending());
        assert!(!giver.skip_what_is_there(&mut unread));
        unread = Bytes::from("helloGET");
        assert!(giver.skip_what_is_there(&mut unread));
        assert_eq!(&unread[..], b"GET");
    }
}
