//! A response's body, pulled from the server as the client takes it.
//!
//! Owns: the framing while it lasts, the wait between reads, and where the connection and the lease
//! go at the end: back, when everything was read and sent; closed otherwise. May touch:
//! [`super::exchange`], [`crate::upstream`]. Next: [`super::response_body`] hands it to hyper.

use super::{
    chunked::{Chunked, Step},
    exchange::{Answer, Sender, poll_read, poll_rest},
    response_head::Framing,
};
use crate::{
    clock::Clock,
    message::{body::BodyError, hop_by_hop::is_hop_by_hop},
    upstream::{
        Lease,
        connect::{Connection, READ_SIZE},
        pool::{Limits, Pool},
    },
};
use bytes::Bytes;
use http::{HeaderMap, response};
use http_body::{Frame, SizeHint};
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

/// Room made for reads of a body that does not end within a small read.
const BODY_READ_SIZE: usize = 128 * 1024;

/// Where a connection and a lease belong.
#[derive(Debug)]
pub struct Home {
    /// The worker's pool.
    pub pool: Arc<Pool>,
    /// What the pool keeps.
    pub limits: Limits,
    /// Held until the body has ended.
    pub lease: Lease,
    /// For the time of going back.
    pub clock: Clock,
}

/// A response's body on its way.
#[derive(Debug)]
pub struct ServerBody {
    source: Option<Source>,
    /// Taken off the server already.
    taken: Option<Result<Frame<Bytes>, BodyError>>,
    framing: Rest,
    read_timeout: Duration,
    armed: bool,
}

#[derive(Debug)]
struct Source {
    connection: Connection,
    sender: Option<Sender>,
    reusable: bool,
    home: Home,
}

#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Chunked),
    Close,
}

type Frames = Option<Result<Frame<Bytes>, BodyError>>;

impl ServerBody {
    /// The body of `answer`, and its head.
    pub fn new(answer: Answer, home: Home, read_timeout: Duration) -> (response::Parts, Self) {
        let Answer { head, connection, sender, .. } = answer;
        let framing = match head.framing {
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunked::default()),
            Framing::Close => Rest::Close,
        };
        let source = Some(Source { connection, sender, reusable: head.reusable, home });
        let mut body = Self { source, taken: None, framing, read_timeout, armed: false };
        if matches!(body.framing, Rest::Length(0)) {
            body.finish();
        }
        (head.parts, body)
    }

    /// Whether everything has been handed out.
    pub fn is_ended(&self) -> bool {
        self.source.is_none() && self.taken.is_none()
    }

    /// Whether the server's part is over, whatever the client has had of it.
    pub fn is_off_the_server(&self) -> bool {
        self.source.is_none()
    }

    /// What is known of the length still to come.
    pub fn size_hint(&self) -> SizeHint {
        let taken = self.taken.as_ref().and_then(|it| it.as_ref().ok()?.data_ref());
        let taken = taken.map_or(0, |data| data.len() as u64);
        match (&self.source, &self.framing) {
            (None, _) => SizeHint::with_exact(taken),
            (_, Rest::Length(length)) => SizeHint::with_exact(taken + *length),
            _ => SizeHint::default(),
        }
    }

    /// The next part.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Frames> {
        if let Some(taken) = self.taken.take() {
            return Poll::Ready(Some(taken));
        }
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        if !poll_rest(cx, &mut source.sender, &mut source.connection) {
            source.reusable = false;
        }
        loop {
            match self.take() {
                Ok(None) if self.source.is_none() => return Poll::Ready(None),
                Ok(None) => {}
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
            }
            match ready!(self.poll_more(cx)) {
                Ok(0) if matches!(self.framing, Rest::Close) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(self.fail(BodyError::Truncated)))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(self.fail(error)))),
            }
        }
    }

    /// The next part among the bytes already read.
    fn take(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        let Some(source) = &mut self.source else { return Ok(None) };
        let unread = &mut source.connection.unread;
        let frame = match &mut self.framing {
            Rest::Chunked(chunked) => {
                match chunked.step(unread).map_err(|_| BodyError::BadChunk)? {
                    Step::More => return Ok(None),
                    Step::Data(data) => {
                        if chunked.is_at_end(unread) {
                            self.finish();
                        }
                        Some(Frame::data(data))
                    }
                    Step::End(trailers) => {
                        self.finish();
                        trailers.map(|trailers| Frame::trailers(end_to_end(trailers)))
                    }
                }
            }
            _ if unread.is_empty() => None,
            Rest::Close => Some(Frame::data(unread.split().freeze())),
            Rest::Length(left) => {
                let take = (*left).min(unread.len() as u64);
                *left -= take;
                let data = unread.split_to(take as usize).freeze();
                if *left == 0 {
                    self.finish();
                }
                Some(Frame::data(data))
            }
        };
        Ok(frame)
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BodyError>> {
        let Some(source) = &mut self.source else { return Poll::Ready(Ok(0)) };
        let room = match self.framing {
            Rest::Length(left) if left < BODY_READ_SIZE as u64 => READ_SIZE,
            _ => BODY_READ_SIZE,
        };
        match poll_read(cx, &mut source.connection, room) {
            Poll::Ready(read) => {
                self.armed = false;
                Poll::Ready(read.map_err(BodyError::Reset))
            }
            Poll::Pending => {
                if !self.armed {
                    self.armed = true;
                    source.connection.arm(self.read_timeout);
                }
                source.connection.poll_deadline(cx).map(|()| Err(BodyError::ReadTimeout))
            }
        }
    }

    /// Takes off the server what it has sent already of a body of up to `limit` bytes, so that a
    /// slow client holds memory instead of a server's connection. Never waits.
    pub fn take_what_is_there(&mut self, cx: &mut Context<'_>, limit: usize) {
        while let (Some(source), Rest::Length(left)) = (&mut self.source, &self.framing) {
            let unread = source.connection.unread.len() as u64;
            if *left > limit as u64 {
                return;
            }
            if unread >= *left {
                break;
            }
            match poll_read(cx, &mut source.connection, (*left - unread) as usize) {
                // An end or an error shows again when the body is pulled.
                Poll::Ready(Ok(0) | Err(_)) | Poll::Pending => return,
                Poll::Ready(Ok(_)) => {}
            }
        }
        // A chunked body that came in one piece, or one with a length, goes home here.
        self.taken = self.take().transpose();
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.source = None;
        error
    }

    /// Gives the lease back, and the connection where it is clean.
    fn finish(&mut self) {
        let Some(source) = self.source.take() else { return };
        let Source { connection, sender, reusable, home } = source;
        let Home { pool, limits, lease, clock } = home;
        if reusable && sender.is_none() && connection.unread.is_empty() {
            pool.check_in(lease.server().id(), connection, &limits, clock.now());
        }
    }
}

/// Trailers without what must not come so late (RFC 9110 §6.5.1).
fn end_to_end(mut trailers: HeaderMap) -> HeaderMap {
    let late: Vec<_> = trailers
        .keys()
        .filter(|name| {
            is_hop_by_hop(name.as_str())
                || matches!(name.as_str(), "content-length" | "host" | "trailer" | "set-cookie")
        })
        .cloned()
        .collect();
    for name in late {
        trailers.remove(name);
    }
    trailers
}
