//! One request and one response head over one connection to a server.
//!
//! Owns: sending while reading (a server may answer before it has read everything), the timeouts of
//! both, and the kind of a failure. May touch: [`crate::origin::connect`],
//! [`crate::message`], [`crate::http1`]. The boundary behind which HTTP/1 to servers lives. Next: the body goes to
//! [`crate::origin::body`].

use super::{
    connect::Connection,
    response_head::{self, Malformed, ResponseHead},
    timeouts::Timeouts,
};
use crate::{
    http1::request_head::Limits,
    message::body::{BodyError, RequestBody},
};
use http::Method;
use std::{
    fmt,
    future::poll_fn,
    io,
    mem::take,
    task::{Context, Poll, ready},
    time::Instant,
};

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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectTimeout => f.write_str("no connection within `timeouts.connect`"),
            Self::SendTimeout => f.write_str("it took nothing for `timeouts.send`"),
            Self::Reset(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it closed the connection without a whole response head")
            }
            Self::Connect(error) | Self::Reset(error) => write!(f, "{error}"),
            Self::ResponseTimeout => f.write_str("no response within `timeouts.response_head`"),
            Self::BadResponse(malformed) => f.write_str(malformed),
            Self::Client(error) => write!(f, "{error}"),
            Self::ClientTimeout => f.write_str("the client's body came too slowly"),
        }
    }
}

/// Why sending stopped.
enum SendError {
    Write(io::Error),
    Body(BodyError),
}

/// What a wait is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Send,
    Client,
    Head,
}

/// Sends the head in `connection.gear.outgoing` and then `body`, and reads the response's head. If
/// the server answers early, the rest of the body is still to be sent: see [`poll_rest`]. `begun`
/// is the moment just before.
pub async fn exchange(
    connection: &mut Connection,
    body: &mut RequestBody,
    method: &Method,
    (timeouts, limits): (&Timeouts, Limits),
    begun: Instant,
) -> Result<ResponseHead, Failure> {
    connection.link.requests += 1;
    let mut sending = true;
    let mut armed: Option<(Wait, u64)> = None;
    // A second poll with nothing left to send usually means that the answer has arrived.
    let mut listened = false;
    poll_fn(|cx| {
        if sending {
            match poll_send(cx, connection, body) {
                Poll::Ready(Ok(())) => sending = false,
                // The server may have answered before it closed: then the answer counts.
                Poll::Ready(Err(SendError::Write(error))) => {
                    return Poll::Ready(match poll_head(cx, connection, method, limits, false) {
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
        if let Poll::Ready(head) = poll_head(cx, connection, method, limits, listened) {
            return Poll::Ready(head);
        }
        listened = !sending;
        let wait = match (sending, connection.gear.outgoing.is_empty()) {
            (false, _) => Wait::Head,
            (true, true) => Wait::Client,
            (true, false) => Wait::Send,
        };
        let sent = connection.gear.outgoing.sent;
        if armed != Some((wait, sent)) {
            let now = if armed.is_none() { begun } else { Instant::now() };
            if matches!(armed, Some((Wait::Client, _))) {
                body.waited_for(connection.waited(now));
            }
            armed = Some((wait, sent));
            let timeout = match wait {
                Wait::Send => timeouts.send,
                Wait::Client => timeouts.client(body.waited(), body.received_bytes()),
                Wait::Head => timeouts.response_head,
            };
            connection.arm(now, timeout);
        }
        connection.poll_deadline(cx).map(|()| {
            Err(match wait {
                Wait::Send => Failure::SendTimeout,
                Wait::Client => Failure::ClientTimeout,
                Wait::Head => Failure::ResponseTimeout,
            })
        })
    })
    .await
}

fn poll_send(
    cx: &mut Context<'_>,
    connection: &mut Connection,
    body: &mut RequestBody,
) -> Poll<Result<(), SendError>> {
    loop {
        let outgoing = &mut connection.gear.outgoing;
        // A body's first part goes out with the head, in one write.
        if outgoing.wants_more() {
            match body.poll_next(cx) {
                Poll::Ready(Some(frame)) => outgoing.push(frame.map_err(SendError::Body)?),
                Poll::Ready(None) => outgoing.end(None),
                Poll::Pending if outgoing.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
            if body.is_ended() {
                outgoing.end(None);
            }
        }
        ready!(connection.poll_flush(cx)).map_err(SendError::Write)?;
        if connection.gear.outgoing.is_done() {
            return Poll::Ready(Ok(()));
        }
    }
}

/// Sends the rest of a request while its response is under way. If the server takes no more of it,
/// the rest is dropped and `false` is returned.
pub fn poll_rest(
    cx: &mut Context<'_>,
    rest: &mut Option<RequestBody>,
    connection: &mut Connection,
) -> Result<bool, BodyError> {
    let Some(body) = rest else { return Ok(true) };
    let Poll::Ready(sent) = poll_send(cx, connection, body) else { return Ok(true) };
    *rest = None;
    match sent {
        Ok(()) => Ok(true),
        Err(SendError::Write(_)) => Ok(false),
        Err(SendError::Body(error)) => Err(error),
    }
}

fn poll_head(
    cx: &mut Context<'_>,
    connection: &mut Connection,
    method: &Method,
    limits: Limits,
    mut likely: bool,
) -> Poll<Result<ResponseHead, Failure>> {
    loop {
        let want = connection.link.first_read;
        match ready!(connection.poll_read(cx, want, take(&mut likely))) {
            Err(error) => return Poll::Ready(Err(Failure::Reset(error))),
            Ok(0) => return Poll::Ready(Err(Failure::Reset(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {}
        }
        match response_head::parse(&mut connection.gear.unread, method, limits) {
            Ok(Some(head)) => {
                connection.link.kept_for = head.keeps.or(connection.link.kept_for);
                return Poll::Ready(Ok(head));
            }
            Ok(None) => {}
            Err(malformed) => return Poll::Ready(Err(Failure::BadResponse(malformed))),
        }
    }
}
