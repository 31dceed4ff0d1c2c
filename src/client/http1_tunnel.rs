//! A tunnel's client half over HTTP/1 (RFC 9110 §7.8).
//!
//! Owns: passing bytes in both directions until both have ended. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::proxy`]. Called by [`super::http1`] once the server has agreed to
//! change protocols. The server half limits how long nothing may pass ([`crate::origin::tunnel`]).

use super::http1_socket::Http1Socket;
use crate::{
    http1::{request_body::Giver, response_head::write_interim, socket::Socket as _},
    message::{answer::Answer, body::Want},
    proxy::delivery::Delivery,
};
use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite as _;

/// What the server sends, on its way to the client.
#[derive(PartialEq, Eq)]
enum Down {
    Open,
    /// The server has ended; the client still has to see that.
    Ending,
    Ended,
}

/// Sends the server's consent and passes what follows. `giver` reads what the client sends.
pub async fn pass(socket: &mut Http1Socket, answer: Answer<Delivery>, mut giver: Giver) {
    let Answer { status, fields, mut body, .. } = answer;
    write_interim(socket.outgoing.begin(), status, &fields);
    let mut down = Down::Open;
    let ended = poll_fn(|cx| {
        loop {
            let passed = poll_down(cx, socket, &mut body, &mut down);
            if passed.is_ready() {
                return passed;
            }
            let Http1Socket { stream, unread, .. } = socket;
            // A part that is handed over is taken when the server's half is polled again.
            if giver.is_done() || giver.poll(cx, stream, unread).is_pending() {
                return Poll::Pending;
            }
        }
    });
    if ended.await.is_err() {
        body.unsent(socket.outgoing.unwritten());
    }
}

/// One of the two sides broke.
struct BrokenTunnel;

/// Passes what the server has sent, and lets its half send on what the client has sent. Ready once
/// both directions have ended.
fn poll_down(
    cx: &mut Context<'_>,
    socket: &mut Http1Socket,
    body: &mut Delivery,
    down: &mut Down,
) -> Poll<Result<(), BrokenTunnel>> {
    loop {
        if *down == Down::Open {
            let room = socket.outgoing.wants_more();
            let may_move = room && socket.stream.socket().is_some();
            let want = Want { most: if room { socket.part() } else { 0 }, may_move };
            match body.poll_part(cx, want) {
                Poll::Ready(Some(Ok(part))) => socket.outgoing.push(part),
                Poll::Ready(Some(Err(_))) => {
                    // Try to send what came before.
                    let _ = socket.poll_flush(cx);
                    return Poll::Ready(Err(BrokenTunnel));
                }
                Poll::Ready(None) => {
                    socket.outgoing.end(None);
                    *down = Down::Ending;
                }
                Poll::Pending if socket.outgoing.is_empty() => return Poll::Pending,
                Poll::Pending => {}
            }
        } else {
            let rest = body.poll_rest(cx).map_err(|_| BrokenTunnel)?;
            if *down == Down::Ended {
                return rest.map(Ok);
            }
        }
        ready!(socket.poll_flush(cx)).map_err(|_| {
            body.abandon("client_aborted");
            BrokenTunnel
        })?;
        if *down == Down::Ending {
            ready!(Pin::new(&mut socket.stream).poll_shutdown(cx)).map_err(|_| BrokenTunnel)?;
            *down = Down::Ended;
        }
    }
}
