//! Bytes to be written to a socket: a head, and the current part of the body.
//!
//! Owns: the chunked coding of outgoing bodies, and writing with as few calls as possible. May
//! touch: nothing outside this room. Used for requests to servers and for responses to clients.

use super::{
    moved::Moved,
    socket::{Socket, poll_write, poll_write_before_more, poll_write_parts},
};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Frame;
use std::{
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Data up to this size is copied after the head: one buffer is cheaper for the kernel than two.
const COPIED: usize = 2 * 1024;

/// More parts are copied as well, up to this size in all. Then the other side has to take some
/// first.
const PILE: usize = 16 * 1024;

/// Room for most heads.
const HEAD: usize = 512;

/// Room that is kept from one message to the next.
const KEPT: usize = 4 * 1024;

/// A part of a body.
#[derive(Debug)]
pub enum Part {
    /// In memory, or trailers.
    Frame(Frame<Bytes>),
    /// For the kernel to move.
    Moved(Moved),
}

impl Part {
    /// How many bytes of the body it is.
    pub fn size(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.data_ref().map_or(0, Bytes::len) as u64,
            Self::Moved(moved) => moved.left(),
        }
    }
}

/// What is still to be written to a socket.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// The head, and the framing between data. Written from `offset` on.
    head: Vec<u8>,
    offset: usize,
    data: Bytes,
    /// How many bytes `data` had when it was pushed.
    pushed: usize,
    /// Bytes for the kernel to move, in place of `data`.
    moved: Option<Moved>,
    tail: &'static [u8],
    chunked: bool,
    ended: bool,
    /// Written, but maybe not yet on its way: TLS has a buffer of its own.
    unflushed: bool,
    /// Bytes written since [`Outgoing::begin`].
    pub sent: u64,
}

impl Outgoing {
    /// Begins a message; append its head to the returned vector.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.head.clear();
        // Most heads fit, so a new connection allocates once.
        self.head.reserve(HEAD);
        (self.offset, self.data, self.tail, self.sent) = (0, Bytes::new(), b"", 0);
        self.pushed = 0;
        (self.moved, self.chunked, self.ended) = (None, false, false);
        &mut self.head
    }

    /// What follows is coded in chunks.
    pub fn set_chunked(&mut self) {
        self.chunked = true;
    }

    /// Whether the next part of the body should be pushed. What TLS still holds of the last one
    /// goes out first: it takes as much memory as the part did.
    pub fn wants_more(&self) -> bool {
        !self.ended
            && !self.unflushed
            && self.is_head_only()
            && self.head.len() - self.offset < PILE
    }

    /// Whether everything has been pushed and written.
    pub fn is_done(&self) -> bool {
        self.ended && self.is_empty()
    }

    /// How many bytes of the part that was pushed last are not written. Small parts count as the
    /// head.
    pub fn unwritten(&self) -> u64 {
        self.data.len() as u64 + self.moved.as_ref().map_or(0, Moved::left)
    }

    /// How much memory is held by the part that was pushed last, here or as TLS records.
    pub fn held(&self) -> usize {
        if self.data.is_empty() && !self.unflushed { 0 } else { self.pushed }
    }

    fn is_head_only(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && self.moved.is_none()
    }

    /// Whether all that was pushed has been written and is on its way.
    pub fn is_empty(&self) -> bool {
        self.is_written() && !self.unflushed
    }

    fn is_written(&self) -> bool {
        self.is_head_only() && self.offset == self.head.len()
    }

    /// Queues a part of the body, once it [`wants_more`](Self::wants_more). Trailers are the end.
    pub fn push(&mut self, part: Part) {
        match part {
            Part::Moved(moved) => self.push_moved(moved),
            Part::Frame(frame) => match frame.into_data() {
                Ok(data) => self.push_data(data),
                Err(frame) => self.end(frame.trailers_ref()),
            },
        }
    }

    fn push_data(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.begin_chunk(data.len() as u64);
        if data.len() <= COPIED {
            self.head.extend_from_slice(&data);
            if self.chunked {
                self.head.extend_from_slice(b"\r\n");
            }
            return;
        }
        self.pushed = data.len();
        self.data = data;
        self.end_chunk();
    }

    fn push_moved(&mut self, moved: Moved) {
        if moved.left() > 0 {
            self.begin_chunk(moved.left());
            self.moved = Some(moved);
            self.end_chunk();
        }
    }

    fn begin_chunk(&mut self, size: u64) {
        self.rewind();
        if self.chunked {
            // Writing to a vector can't fail.
            let _ = write!(self.head, "{size:x}\r\n");
        }
    }

    fn end_chunk(&mut self) {
        if self.chunked {
            self.tail = b"\r\n";
        }
    }

    /// Ends the body, which in chunks may have trailers.
    pub fn end(&mut self, trailers: Option<&HeaderMap>) {
        let ended = std::mem::replace(&mut self.ended, true);
        if ended || !self.chunked {
            return;
        }
        if !self.tail.is_empty() && trailers.is_none() {
            // Ends the last chunk and the body, in one write with the last data.
            self.tail = b"\r\n0\r\n\r\n";
            return;
        }
        self.rewind();
        self.head.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            self.head.extend_from_slice(name.as_str().as_bytes());
            self.head.extend_from_slice(b": ");
            self.head.extend_from_slice(value.as_bytes());
            self.head.extend_from_slice(b"\r\n");
        }
        self.head.extend_from_slice(b"\r\n");
    }

    fn rewind(&mut self) {
        if self.offset == self.head.len() {
            self.head.clear();
            self.offset = 0;
        }
    }

    /// Writes until nothing is left, here or in the stream.
    pub fn poll_flush<S: Socket + AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while !self.is_written() {
            if self.moved.is_some() {
                ready!(self.poll_move(cx, stream))?;
                continue;
            }
            let head = &self.head[self.offset..];
            let written = if self.is_head_only() {
                ready!(poll_write(cx, stream, head))?
            } else {
                let parts = [IoSlice::new(head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                let parts = &parts[usize::from(head.is_empty())..];
                ready!(poll_write_parts(cx, stream, parts))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(written);
            self.unflushed = stream.socket().is_none();
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.unflushed = false;
        if self.ended && self.head.capacity() > KEPT {
            // The connection may be idle from now on.
            (self.head, self.offset) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes the head and lets the kernel move what follows it.
    fn poll_move<S: Socket>(&mut self, cx: &mut Context<'_>, stream: &S) -> Poll<io::Result<()>> {
        let (Some(moved), Some(socket)) = (&mut self.moved, stream.socket()) else {
            // The caller has checked that there is a socket.
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        let head = &self.head[self.offset..];
        let written = if head.is_empty() {
            ready!(moved.poll_write(cx, socket))?
        } else {
            let written = ready!(poll_write_before_more(cx, socket, head))?;
            self.offset += written;
            written
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.sent += written as u64;
        if moved.left() == 0 {
            self.moved = None;
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, written: usize) {
        self.sent += written as u64;
        let from_head = written.min(self.head.len() - self.offset);
        self.offset += from_head;
        let from_data = (written - from_head).min(self.data.len());
        if from_data == self.data.len() {
            self.data = Bytes::new();
        } else {
            self.data.advance(from_data);
        }
        self.tail = &self.tail[written - from_head - from_data..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{
        chunked::{Chunked, Step},
        moved,
        socket::tests::pair,
    };
    use proptest::prelude::*;
    use std::{future::poll_fn, task::Waker};
    use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

    /// Takes `at_most` bytes with each write.
    struct Narrow(Vec<u8>, usize);

    impl Socket for Narrow {}

    impl Socket for Buffering {}

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let take = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..take]);
            Poll::Ready(Ok(take))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
            let take = all.len().min(self.1);
            self.0.extend_from_slice(&all[..take]);
            Poll::Ready(Ok(take))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn small_parts_pile_up_to_a_limit() {
        let mut outgoing = Outgoing::default();
        outgoing.begin();
        let part = || Part::Frame(Frame::data(Bytes::from(vec![b'x'; COPIED])));
        let mut parts = 0;
        while outgoing.wants_more() {
            outgoing.push(part());
            parts += 1;
        }
        assert_eq!((parts, outgoing.unwritten()), (PILE / COPIED, 0));
        flush(&mut outgoing, &mut Narrow(Vec::new(), usize::MAX));
        assert!(outgoing.wants_more());
        outgoing.push(Part::Frame(Frame::data(Bytes::from(vec![b'x'; COPIED + 1]))));
        assert_eq!(outgoing.unwritten(), COPIED as u64 + 1);
    }

    fn flush(outgoing: &mut Outgoing, stream: &mut Narrow) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outgoing.poll_flush(&mut cx, stream).is_ready());
        assert!(outgoing.is_empty());
    }

    /// Like TLS: takes everything, and passes it on only when flushed, at the second try.
    #[derive(Default)]
    struct Buffering {
        kept: usize,
        passed: usize,
        tries: usize,
    }

    impl AsyncWrite for Buffering {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.kept += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.tries += 1;
            if self.tries % 2 == 1 {
                return Poll::Pending;
            }
            self.passed += std::mem::take(&mut self.kept);
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn nothing_is_done_while_it_is_in_a_buffer_below() {
        let mut cx = Context::from_waker(Waker::noop());
        let (mut outgoing, mut stream) = (Outgoing::default(), Buffering::default());
        outgoing.begin().extend_from_slice(b"HEAD");
        outgoing.end(None);
        assert!(outgoing.poll_flush(&mut cx, &mut stream).is_pending());
        assert!(!outgoing.is_empty() && !outgoing.is_done());
        assert!(outgoing.poll_flush(&mut cx, &mut stream).is_ready());
        assert!(outgoing.is_done());
        assert_eq!((stream.kept, stream.passed), (0, 4));
    }

    #[tokio::test]
    async fn what_the_kernel_moves_goes_out_between_the_rest() {
        let ((mut server, from), (mut to, mut client)) = (pair().await, pair().await);
        server.write_all(b"moved").await.unwrap();
        let taken = poll_fn(|cx| moved::poll_fill(cx, &from, 9)).await.unwrap().expect("a pipe");
        let mut outgoing = Outgoing::default();
        outgoing.begin().extend_from_slice(b"HEAD");
        outgoing.set_chunked();
        outgoing.push(Part::Frame(Frame::data("first".into())));
        outgoing.push(Part::Moved(Moved::Piped(taken)));
        assert!(!outgoing.wants_more());
        outgoing.end(None);
        poll_fn(|cx| outgoing.poll_flush(cx, &mut to)).await.unwrap();
        assert!(outgoing.is_done());
        drop(to);
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "HEAD5\r\nfirst\r\n5\r\nmoved\r\n0\r\n\r\n");
        assert_eq!(outgoing.sent, got.len() as u64);
    }

    #[tokio::test]
    #[allow(clippy::disallowed_methods, reason = "the room of tasks is above this one")]
    async fn many_small_parts_leave_others_their_turn() {
        let (mut to, mut client) = pair().await;
        let others = tokio::spawn(async {});
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got.len()
        });
        let mut outgoing = Outgoing::default();
        outgoing.begin();
        let mut before = None;
        poll_fn(|cx| {
            for sent in outgoing.sent..1000 {
                if others.is_finished() {
                    before.get_or_insert(sent);
                }
                if outgoing.is_empty() {
                    outgoing.push(Part::Frame(Frame::data("x".into())));
                }
                ready!(outgoing.poll_flush(cx, &mut to))?;
            }
            Poll::Ready(io::Result::Ok(()))
        })
        .await
        .unwrap();
        drop(to);
        assert!(before.is_some_and(|sent| sent < 1000), "the others had no turn");
        assert_eq!(reading.await.unwrap(), 1000);
    }

    proptest! {
        #[test]
        fn what_goes_out_is_what_was_pushed(
            parts in prop::collection::vec(0usize..5000, 0..6),
            chunked: bool,
            at_most in 1usize..7000,
        ) {
            let (mut outgoing, mut stream) = (Outgoing::default(), Narrow(Vec::new(), at_most));
            outgoing.begin().extend_from_slice(b"HEAD");
            if chunked {
                outgoing.set_chunked();
            }
            let mut pushed = Vec::new();
            for (at, length) in parts.iter().enumerate() {
                let data = vec![b'a' + at as u8; *length];
                pushed.extend_from_slice(&data);
                outgoing.push(Part::Frame(Frame::data(data.into())));
                if at + 1 < parts.len() {
                    flush(&mut outgoing, &mut stream);
                }
            }
            outgoing.end(None);
            flush(&mut outgoing, &mut stream);
            prop_assert_eq!(outgoing.sent, stream.0.len() as u64);
            let mut body = Bytes::from(stream.0.split_off(4));
            prop_assert_eq!(&stream.0, b"HEAD");
            if !chunked {
                prop_assert_eq!(&body[..], &pushed[..]);
                return Ok(());
            }
            let (mut chunks, mut decoded) = (Chunked::default(), Vec::new());
            loop {
                match chunks.step(&mut body).unwrap() {
                    Step::Data(data) => decoded.extend_from_slice(&data),
                    Step::End(None) => break,
                    other => panic!("{other:?}"),
                }
            }
            prop_assert_eq!(decoded, pushed);
            prop_assert!(body.is_empty());
        }
    }
}
