//! One request and one response head over one HTTP/1 connection to a server.
//!
//! Owns: sending while reading (a server may answer before it has read everything), and the
//! timeouts of both. May touch: [`crate::http1`], [`crate::message`]. Next: the body goes to
//! [`super::http1_body`].

use super::{
    asking::{Asking, Terms},
    connect::Connection,
    failure::Failure,
    response_head::{self, ResponseHead},
    wait::Wait,
};
use crate::{
    http1::{request::tokens, request_head::HeadLimits},
    message::{body::BodyError, upload::Upload},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{
    future::poll_fn,
    io,
    mem::take,
    task::{Context, Poll, ready},
    time::Instant,
};

/// Why sending stopped.
pub(super) enum SendError {
    Write(io::Error),
    Body(BodyError),
}

/// Sends the head in `connection.gear.outgoing` and then `body`, and reads the response's head. If
/// the server answers early, the rest of the body is still to be sent: see [`poll_rest`].
pub async fn exchange(
    connection: &mut Connection,
    body: &mut Upload,
    asking: &impl Asking,
    terms: &Terms<'_>,
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
                    return Poll::Ready(
                        match poll_head(cx, connection, asking, terms.head, false) {
                            Poll::Ready(Ok(head)) => Ok(head),
                            Poll::Ready(Err(refused @ Failure::Tls(_))) => Err(refused),
                            _ => Err(Failure::broken(error)),
                        },
                    );
                }
                Poll::Ready(Err(SendError::Body(error))) => {
                    return Poll::Ready(Err(Failure::Client(error)));
                }
                Poll::Pending => {}
            }
        }
        if let Poll::Ready(head) = poll_head(cx, connection, asking, terms.head, listened) {
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
            let now = if armed.is_none() { terms.begun.0 } else { Instant::now() };
            if matches!(armed, Some((Wait::Client, _))) {
                body.waited_for(connection.waited(now));
            }
            armed = Some((wait, sent));
            connection.arm(now, wait.limit(terms.timeouts, body));
        }
        connection.poll_deadline(cx).map(|()| Err(wait.failure()))
    })
    .await
}

pub(super) fn poll_send(
    cx: &mut Context<'_>,
    connection: &mut Connection,
    body: &mut Upload,
) -> Poll<Result<(), SendError>> {
    loop {
        let may_move = connection.takes_moved();
        let outgoing = &mut connection.gear.outgoing;
        // A body's first part goes out with the head, in one write.
        if outgoing.wants_more() {
            match body.poll_next(cx, may_move) {
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
    rest: &mut Option<Upload>,
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
    asking: &impl Asking,
    limits: HeadLimits,
    mut likely: bool,
) -> Poll<Result<ResponseHead, Failure>> {
    loop {
        let want = connection.link.first_read;
        match ready!(connection.poll_read(cx, want, take(&mut likely))) {
            Err(error) => return Poll::Ready(Err(Failure::broken(error))),
            Ok(0) => return Poll::Ready(Err(Failure::Reset(io::ErrorKind::UnexpectedEof.into()))),
            Ok(_) => {}
        }
        let interim = |status, fields| asking.interim(status, fields);
        match response_head::parse(&mut connection.gear.unread, asking.method(), limits, interim) {
            Ok(Some(head)) => {
                if head.status == StatusCode::SWITCHING_PROTOCOLS
                    && !are_among(asking.protocols(), head.fields.clone().map())
                {
                    let unasked = "it changes to a protocol that was not asked for";
                    return Poll::Ready(Err(Failure::BadResponse(unasked)));
                }
                connection.link.kept_for = head.keeps.or(connection.link.kept_for);
                return Poll::Ready(Ok(head));
            }
            Ok(None) => {}
            Err(malformed) => return Poll::Ready(Err(Failure::BadResponse(malformed))),
        }
    }
}

/// Whether a server changes only to protocols that it was asked for (RFC 9110 §7.8).
fn are_among(asked: Option<&str>, fields: &HeaderMap) -> bool {
    let asked = asked.unwrap_or_default().as_bytes();
    let asked_for = |name: &[u8]| tokens(asked).any(|asked| asked.eq_ignore_ascii_case(name));
    let chosen = fields.get(header::UPGRADE).map(HeaderValue::as_bytes);
    chosen.is_some_and(|chosen| tokens(chosen).all(asked_for) && !chosen.is_empty())
}
