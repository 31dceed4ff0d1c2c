//! A response's body by HTTP/2, pulled from the server as the client takes it.
//!
//! Owns: flow control towards the server, the time between reads, and the end: the lease and the
//! place on the connection go back. May touch: [`crate::http1`], [`crate::message`],
//! [`crate::upstream`]. A client that goes away drops it, and the server is told at once
//! (RST_STREAM, CANCEL). A tunnel (RFC 8441) is one whose request goes on.

use super::{
    connect::Gear,
    home::Home,
    http2::{Answered, SendStopped, Sending, broken},
    session::Held,
};
use crate::{
    http1::outgoing::Part,
    message::{
        body::{BodyError, Length, Polled, Source, Want},
        hop_by_hop::{EditedNames, end_to_end},
        upload::Upload,
    },
    upstream::{Lease, OpenTunnel},
};
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::header;
use http_body::Frame;
use std::{
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// A response's body on its way.
pub struct Http2Body {
    /// There until the end.
    open: Option<OpenStream>,
    /// What came with the head.
    first: Option<Result<Part, BodyError>>,
    /// Bytes still to come, if the server has said so.
    left: Option<u64>,
    /// Whether the server may still send something.
    down: bool,
    wait: Duration,
    armed: bool,
    edited: EditedNames,
    /// Whether it is a tunnel.
    tunnel: bool,
    /// Counts the tunnel while it is open.
    _counted: Option<OpenTunnel>,
}

struct OpenStream {
    received: RecvStream,
    sending: Sending,
    upload: Option<Upload>,
    gear: Box<Gear>,
    held: Held,
    home: Home,
}

impl Http2Body {
    /// The body that follows the head of `answered`. The rest of the request comes from `upload`.
    /// `wait` limits how long the server may send nothing.
    pub fn new(
        answered: Answered,
        mut upload: Upload,
        home: Home,
        (wait, edited): (Duration, EditedNames),
    ) -> Self {
        let Answered { head, received, sending, gear, held } = answered;
        let tunnel = upload.is_tunnel();
        if tunnel {
            upload.open();
        }
        let lease = home.lease.as_ref().filter(|_| tunnel);
        let counted = lease.map(Lease::open_tunnel);
        let length = head.headers().get(header::CONTENT_LENGTH);
        let left = length.and_then(|it| it.to_str().ok()?.parse().ok());
        let upload = (!sending.is_done()).then_some(upload);
        let down = !received.is_end_stream();
        let open = Some(OpenStream { received, sending, upload, gear, held, home });
        let mut body = Self {
            open,
            first: None,
            left,
            down,
            wait,
            armed: false,
            edited,
            tunnel,
            _counted: counted,
        };
        if !body.down {
            body.end_down();
        }
        body
    }

    /// Sends on what is left of the request.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(OpenStream { sending, upload, .. }) = &mut self.open else { return Ok(()) };
        let Some(rest) = upload else { return Ok(()) };
        let before = sending.sent;
        let polled = sending.poll(cx, rest);
        if sending.sent != before {
            self.armed = false;
        }
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => *upload = None,
            // The response says what has happened.
            Poll::Ready(Err(SendStopped::Unwanted | SendStopped::Broke(_))) => {
                sending.stop();
                *upload = None;
            }
            Poll::Ready(Err(SendStopped::Body(error))) => {
                self.open = None;
                return Err(error);
            }
        }
        Ok(())
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(OpenStream { received, .. }) = &mut self.open else { return Poll::Ready(None) };
        match ready!(received.poll_data(cx)) {
            Some(Ok(data)) => {
                // The server may send as much again, now that this is taken.
                let _ = received.flow_control().release_capacity(data.len());
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                if received.is_end_stream() {
                    self.end_down();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.fail(error)))),
            None => match ready!(received.poll_trailers(cx)) {
                Ok(trailers) => {
                    self.end_down();
                    let passing = trailers.map(|it| end_to_end(it, &self.edited));
                    Poll::Ready(passing.map(|it| Ok(Frame::trailers(it))))
                }
                Err(error) => Poll::Ready(Some(Err(self.fail(error)))),
            },
        }
    }

    fn fail(&mut self, error: h2::Error) -> BodyError {
        self.down = false;
        let Some(OpenStream { held, .. }) = self.open.take() else { return BodyError::BadFrame };
        if !error.is_reset() {
            held.close();
        }
        match error.reason() {
            Some(Reason::PROTOCOL_ERROR) if error.is_library() => BodyError::BadFrame,
            _ => BodyError::Reset(broken(error, &held)),
        }
    }

    /// Notes that the server has sent everything. Unless it is a tunnel, the rest of the request is
    /// not sent.
    fn end_down(&mut self) {
        self.down = false;
        if !self.tunnel {
            self.end();
        }
    }

    fn end(&mut self) {
        let Some(OpenStream { gear, held, home, .. }) = self.open.take() else { return };
        held.end(home.clock.now());
        home.pool.give(gear);
    }

    /// Ready once nothing has come, or nothing has passed a tunnel, for too long.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let Some(OpenStream { gear, .. }) = &mut self.open else { return Poll::Pending };
        if !self.armed {
            self.armed = true;
            gear.arm(Instant::now(), self.wait);
        }
        ready!(gear.poll_deadline(cx));
        self.open = None;
        let is_tunnel = self.tunnel;
        Poll::Ready(if is_tunnel { BodyError::Idle } else { BodyError::ReadTimeout })
    }
}

impl Source for Http2Body {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if let Err(error) = self.poll_up(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        if !self.down {
            return Poll::Ready(None);
        }
        if want.most > 0
            && let Poll::Ready(part) = self.poll_down(cx)
        {
            self.armed = false;
            return Poll::Ready(part.map(|it| it.map(Part::Frame)));
        }
        if want.most == 0 && !self.tunnel {
            // The client takes nothing, which is not the server's fault.
            self.armed = false;
            return Poll::Pending;
        }
        self.poll_wait(cx).map(|error| Some(Err(error)))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.poll_up(cx)?;
        if self.open.as_ref().is_none_or(|open| open.upload.is_none()) {
            self.end();
            return Poll::Ready(Ok(()));
        }
        self.poll_wait(cx).map(Err)
    }

    /// Collects what has come with the head, in one piece if that is all.
    fn poll_gather(&mut self, cx: &mut Context<'_>, _: usize) -> Poll<Option<Bytes>> {
        if self.tunnel {
            return Poll::Ready(None);
        }
        Poll::Ready(match self.poll_part(cx, Want::ALL) {
            Poll::Ready(None) => Some(Bytes::new()),
            Poll::Ready(Some(Ok(Part::Frame(frame)))) if !self.down && frame.is_data() => {
                frame.into_data().ok()
            }
            Poll::Ready(first) => {
                self.first = first;
                None
            }
            Poll::Pending => None,
        })
    }

    fn length(&self) -> Length {
        let first = match &self.first {
            Some(Ok(part)) if part.size() > 0 => part.size(),
            // Trailers or an error are still to come.
            Some(_) => return Length::Unknown,
            None => 0,
        };
        match self.left {
            _ if !self.down && first == 0 => Length::None,
            _ if !self.down => Length::Exact(first),
            Some(left) if left > 0 => Length::Exact(left + first),
            _ => Length::Unknown,
        }
    }
}
