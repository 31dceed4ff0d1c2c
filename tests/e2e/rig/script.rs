//! A stream in memory whose other side follows a script: it sends the given pieces, and keeps what
//! is written to it. So hyper, the reference, needs neither sockets nor time.

use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

#[derive(Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    /// After the pieces: the end, instead of silence.
    ends: bool,
    /// Nothing is sent before something was written.
    after_request: bool,
    written: Vec<u8>,
    /// Counts everything that happens.
    steps: usize,
}

/// A handle of the stream; hyper gets one and the test keeps another.
#[derive(Clone, Default)]
pub struct Script(Arc<Mutex<State>>);

impl Script {
    /// A client, which sends from the beginning and then waits.
    pub fn client(pieces: &[Vec<u8>]) -> Self {
        let pieces = pieces.iter().cloned().collect();
        Self(Arc::new(Mutex::new(State { pieces, ..State::default() })))
    }

    /// A server, which sends once it was asked, and then closes or waits.
    pub fn server(pieces: &[Vec<u8>], ends: bool) -> Self {
        let script = Self::client(pieces);
        let mut state = script.0.lock().unwrap();
        (state.ends, state.after_request) = (ends, true);
        drop(state);
        script
    }

    /// Polls until it is ready, or until nothing more can happen: then `None`.
    pub fn drive<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut cx = Context::from_waker(Waker::noop());
        let mut idle = 0;
        while idle < 4 {
            let before = self.0.lock().unwrap().steps;
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut cx) {
                return Some(outcome);
            }
            idle = if self.0.lock().unwrap().steps == before { idle + 1 } else { 0 };
        }
        None
    }
}

impl Read for Script {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().unwrap();
        if state.after_request && state.written.is_empty() {
            return Poll::Pending;
        }
        let Some(mut piece) = state.pieces.pop_front() else {
            return if state.ends { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        state.steps += 1;
        let rest = piece.split_off(piece.len().min(into.remaining()));
        into.put_slice(&piece);
        if !rest.is_empty() {
            state.pieces.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Script {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        state.written.extend_from_slice(bytes);
        state.steps += 1;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
