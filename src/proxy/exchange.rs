//! One request and one response head over one connection to a server.
//!
//! Owns: sending while listening (a server may answer before it has read everything), the waits of
//! both, and what may be said of a failure. May touch: [`crate::upstream::connect`],
//! [`crate::message`]. The boundary behind which HTTP/1 to servers lives. Next: the body goes to
//! [`super::server_body`].

use super::response_head::{self, Malformed, ResponseHead};
use crate::{
    message::body::{BodyError, Length, RequestBody},
    route::Timeouts,
    upstream::connect::{Connection, READ_SIZE},
};
use bytes::{Buf, Bytes};
use http::{HeaderMap, Method};
use std::{
    future::{Future as _, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Why an attempt failed before there was a response head.
#[derive(Debug)]
pub enum Failure {
    /// No connection.
    Connect(io::Error),
    /// No connection in time.
    ConnectTimeout,
    /// The server took no bytes for too long.
    SendTimeout,
    /// The connection ended or broke.
    Reset(io::Error),
    /// No head in time.
    ResponseTimeout,
    /// A head that can't be passed on.
    BadResponse(Malformed),
    /// The client's body ended early: not the server's doing.
    Client(BodyError),
    /// The client sent nothing of its body for too long.
    ClientTimeout,
}

/// The request's way out: head, then body.
#[derive(Debug)]
pub struct Sender {
    body: RequestBody,
    chunked: bool,
    unsent: Vec<u8>,
    offset: usize,
    data: Bytes,
    tail: &'static [u8],
    /// Bytes written so far.
    pub sent: u64,
    body_ended: bool,
    waits_for_client: bool,
}

#[derive(Debug)]
enum SendError {
    Write(io::Error),
    Body(BodyError),
}

impl Sender {
    /// Sends `head` and then `body`.
    pub fn new(head: Vec<u8>, body: RequestBody) -> Self {
        let length = body.length();
        Self {
            body,
            chunked: length == Length::Unknown,
            unsent: head,
            offset: 0,
            data: Bytes::new(),
            tail: b"",
            sent: 0,
            body_ended: length == Length::None,
            waits_for_client: false,
        }
    }

    /// The buffer and the body, for another use.
    pub fn into_parts(self) -> (Vec<u8>, RequestBody) {
        (self.unsent, self.body)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<(), SendError>> {
        loop {
            // A body's first part goes out with the head, in one write.
            if self.data.is_empty() && self.tail.is_empty() && !self.body_ended {
                match self.body.poll_next(cx) {
                    Poll::Ready(frame) => self.take(frame.transpose().map_err(SendError::Body)?),
                    Poll::Pending if self.offset == self.unsent.len() => {
                        self.waits_for_client = true;
                        return Poll::Pending;
                    }
                    Poll::Pending => {}
                }
            }
            self.waits_for_client = false;
            ready!(self.poll_flush(cx, connection)).map_err(SendError::Write)?;
            if self.body_ended {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn take(&mut self, frame: Option<http_body::Frame<Bytes>>) {
        if self.offset == self.unsent.len() {
            self.unsent.clear();
            self.offset = 0;
        }
        match frame.map(http_body::Frame::into_data) {
            Some(Ok(data)) if self.chunked && !data.is_empty() => {
                let _ =
                    io::Write::write_fmt(&mut self.unsent, format_args!("{:x}\r\n", data.len()));
                self.data = data;
                self.tail = b"\r\n";
            }
            Some(Ok(data)) => self.data = data,
            Some(Err(frame)) => self.end(frame.trailers_ref()),
            None => self.end(None),
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        self.body_ended = true;
        if self.chunked {
            self.unsent.extend_from_slice(b"0\r\n");
            for (name, value) in trailers.into_iter().flatten() {
                self.unsent.extend_from_slice(name.as_str().as_bytes());
                self.unsent.extend_from_slice(b": ");
                self.unsent.extend_from_slice(value.as_bytes());
                self.unsent.extend_from_slice(b"\r\n");
            }
            self.unsent.extend_from_slice(b"\r\n");
        }
    }

    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<io::Result<()>> {
        loop {
            let head = &self.unsent[self.offset..];
            if head.is_empty() && self.data.is_empty() && self.tail.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let stream = Pin::new(&mut connection.stream);
            let written = if self.data.is_empty() && self.tail.is_empty() {
                ready!(stream.poll_write(cx, head))?
            } else {
                let parts = [IoSlice::new(head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                ready!(stream.poll_write_vectored(cx, &parts))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written as u64;
            let from_head = written.min(head.len());
            self.offset += from_head;
            let from_data = (written - from_head).min(self.data.len());
            self.data.advance(from_data);
            self.tail = &self.tail[written - from_head - from_data..];
        }
    }
}

/// A failed attempt, with what another one needs.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// The request's body, to be rewound if it can be.
    pub body: RequestBody,
    /// Whether any byte of the request was written.
    pub sent: bool,
    /// Whether any byte of a response was read.
    pub answered: bool,
}

/// A response head, and what is still under way.
#[derive(Debug)]
pub struct Answer {
    /// The head.
    pub head: ResponseHead,
    /// The connection, with the body's beginning in `unread`.
    pub connection: Connection,
    /// The rest of the request, where the server answered early.
    pub sender: Option<Sender>,
    /// The request's body, where all of it was sent.
    pub body: Option<RequestBody>,
}

/// What a wait is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Send,
    Client,
    Head,
}

/// Sends the head in `connection.unsent` and `body`, and reads the response's head.
pub async fn exchange(
    mut connection: Connection,
    body: RequestBody,
    method: &Method,
    timeouts: &Timeouts,
) -> Result<Answer, Box<Failed>> {
    connection.requests += 1;
    let mut sender = Sender::new(std::mem::take(&mut connection.unsent), body);
    let mut sending = true;
    let mut armed: Option<(Wait, u64)> = None;
    let outcome = poll_fn(|cx| {
        if sending {
            match sender.poll(cx, &mut connection) {
                Poll::Ready(Ok(())) => sending = false,
                // The server may have answered before it closed: what it said counts more.
                Poll::Ready(Err(SendError::Write(error))) => {
                    return Poll::Ready(match poll_head(cx, &mut connection, method) {
                        Poll::Ready(Ok(head)) => Ok(head),
                        _ => Err(Failure::Reset(error)),
                    });
                }
                Poll::Ready(Err(SendError::Body(error))) => {
                    return Poll::Ready(Err(Failure::Client(error)));
                }
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(head) = poll_head(cx, &mut connection, method) {
            return Poll::Ready(head);
        }
        let wait = match (sending, sender.waits_for_client) {
            (false, _) => Wait::Head,
            (true, true) => Wait::Client,
            (true, false) => Wait::Send,
        };
        if armed != Some((wait, sender.sent)) {
            armed = Some((wait, sender.sent));
            connection.arm(match wait {
                Wait::Send => timeouts.send,
                Wait::Client => timeouts.body_idle,
                Wait::Head => timeouts.response_head,
            });
        }
        connection.poll_deadline(cx).map(|()| {
            Err(match wait {
                Wait::Send => Failure::SendTimeout,
                Wait::Client => Failure::ClientTimeout,
                Wait::Head => Failure::ResponseTimeout,
            })
        })
    })
    .await;
    match outcome {
        Ok(head) if sending => Ok(Answer { head, connection, sender: Some(sender), body: None }),
        Ok(head) => {
            let (buffer, body) = sender.into_parts();
            connection.unsent = buffer;
            Ok(Answer { head, connection, sender: None, body: Some(body) })
        }
        Err(failure) => {
            let sent = sender.sent > 0;
            let answered = !connection.unread.is_empty();
            Err(Box::new(Failed { failure, body: sender.into_parts().1, sent, answered }))
        }
    }
}

/// Goes on sending the rest of a request while its response is under way. A server that takes no
/// more of it has said all it wants to say: the rest is dropped.
pub fn poll_rest(
    cx: &mut Context<'_>,
    sender: &mut Option<Sender>,
    connection: &mut Connection,
) -> bool {
    let Some(rest) = sender else { return true };
    match rest.poll(cx, connection) {
        Poll::Ready(Ok(())) => {
            *sender = None;
            true
        }
        Poll::Ready(Err(_)) => {
            *sender = None;
            false
        }
        Poll::Pending => true,
    }
}

fn poll_head(
    cx: &mut Context<'_>,
    connection: &mut Connection,
    method: &Method,
) -> Poll<Result<ResponseHead, Failure>> {
    loop {
        let read = ready!(poll_read(cx, connection, READ_SIZE));
        match read {
            Err(error) => return Poll::Ready(Err(Failure::Reset(error))),
            Ok(0) => return Poll::Ready(Err(Failure::Reset(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {}
        }
        match response_head::parse(&mut connection.unread, method) {
            Ok(Some(head)) => return Poll::Ready(Ok(head)),
            Ok(None) => {}
            Err(malformed) => return Poll::Ready(Err(Failure::BadResponse(malformed))),
        }
    }
}

/// Reads what is there into `unread`, with room for at least `room` bytes.
pub fn poll_read(
    cx: &mut Context<'_>,
    connection: &mut Connection,
    room: usize,
) -> Poll<io::Result<usize>> {
    let Connection { stream, unread, .. } = connection;
    // What is left of a block serves first: a new one costs an allocation while bodies share the old.
    if unread.capacity() - unread.len() <= room / 4 {
        unread.reserve(room);
    }
    let reading = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(stream, unread));
    reading.poll(cx)
}
