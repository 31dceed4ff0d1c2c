//! A tunnel's server half: after a change of protocols (RFC 9110 §7.8), bytes pass in both
//! directions until both have ended, or until nothing has passed for too long.
//!
//! Owns: both directions on the server's connection. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::upstream`]. To the client it is a body like any other: what the
//! server sends. What the client sends is pulled from the request's body meanwhile. A side that
//! takes nothing is sent nothing, and the other side is not read then.

use super::{
    connect::Connection,
    exchange::{SendError, poll_send},
    home::Home,
};
use crate::{
    http1::{buffers::SMALL, outgoing::Part},
    message::{
        body::{BodyError, Length, Polled, Source, Want},
        upload::Upload,
    },
    upstream::{Lease, OpenTunnel},
};
use bytes::Bytes;
use http_body::Frame;
use std::{
    mem::take,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// The two directions of a tunnel.
pub struct Tunnel {
    connection: Connection,
    up: Up,
    /// Whether the server may still send something.
    down: bool,
    /// Whether the server's last bytes were enough to be moved by the kernel.
    fast: bool,
    idle: Duration,
    /// When something passed last, on the process's clock.
    passed: u64,
    armed: bool,
    /// How much had been sent to the server at the last look.
    sent: u64,
    home: Home,
    _open: Option<OpenTunnel>,
}

/// What the client sends.
enum Up {
    Open(Upload),
    /// All of it has been sent; the server still has to see the end.
    Ending,
    Ended,
}

impl Tunnel {
    /// A tunnel over a connection whose server has agreed to it.
    pub fn open(
        mut connection: Connection,
        mut upload: Upload,
        home: Home,
        idle: Duration,
    ) -> Self {
        upload.open();
        connection.gear.outgoing.begin();
        let (passed, open) = (home.clock.now(), home.lease.as_ref().map(Lease::open_tunnel));
        Self {
            connection,
            up: Up::Open(upload),
            down: true,
            fast: false,
            idle,
            passed,
            armed: false,
            sent: 0,
            home,
            _open: open,
        }
    }

    /// Sends on what the client has sent.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if let Up::Open(upload) = &mut self.up {
            let sent = poll_send(cx, &mut self.connection, upload);
            if self.sent != self.connection.gear.outgoing.sent {
                self.sent = self.connection.gear.outgoing.sent;
                self.passed = self.home.clock.now();
            }
            match sent {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.up = Up::Ending,
                Poll::Ready(Err(SendError::Body(error))) => return Err(error),
                Poll::Ready(Err(SendError::Write(error))) => return Err(BodyError::Reset(error)),
            }
        }
        if matches!(self.up, Up::Ending)
            && let Poll::Ready(closed) = self.connection.poll_end(cx)
        {
            // If that fails, the connection has ended already.
            self.up = Up::Ended;
            closed.map_err(BodyError::Reset)?;
        }
        Ok(())
    }

    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        want: Want,
    ) -> Poll<Result<Option<Part>, BodyError>> {
        let unread = &mut self.connection.gear.unread;
        if want.may_move
            && self.fast
            && unread.is_empty()
            && let Some(moved) =
                ready!(self.connection.poll_move(cx, u64::MAX)).map_err(BodyError::Reset)?
        {
            self.fast = moved.left() >= SMALL as u64;
            return Poll::Ready(Ok(Some(Part::Moved(moved))));
        }
        let unread = &mut self.connection.gear.unread;
        if unread.is_empty() {
            let want = want.most.min(SMALL);
            if ready!(self.connection.poll_read(cx, want, false)).map_err(BodyError::Reset)? == 0 {
                self.down = false;
                return Poll::Ready(Ok(None));
            }
        }
        let data: Bytes = take(&mut self.connection.gear.unread);
        self.fast = data.len() >= SMALL;
        Poll::Ready(Ok(Some(Part::Frame(Frame::data(data)))))
    }

    /// Ready once nothing has passed for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        loop {
            if self.armed {
                ready!(self.connection.poll_deadline(cx));
            }
            let idle = Duration::from_millis(self.home.clock.now().saturating_sub(self.passed));
            let Some(left) = self.idle.checked_sub(idle).filter(|left| !left.is_zero()) else {
                return Poll::Ready(BodyError::Idle);
            };
            self.armed = true;
            self.connection.arm(Instant::now(), left);
        }
    }
}

impl Source for Tunnel {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        if let Err(error) = self.poll_up(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        if !self.down {
            return Poll::Ready(None);
        }
        if want.most > 0
            && let Poll::Ready(part) = self.poll_down(cx, want)
        {
            self.passed = self.home.clock.now();
            return Poll::Ready(part.transpose());
        }
        self.poll_idle(cx).map(|error| Some(Err(error)))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.poll_up(cx)?;
        if matches!(self.up, Up::Ended) {
            return Poll::Ready(Ok(()));
        }
        self.poll_idle(cx).map(Err)
    }

    fn length(&self) -> Length {
        if self.down { Length::Unknown } else { Length::None }
    }
}
