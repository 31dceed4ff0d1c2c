//! One request and one response head over a shared HTTP/2 connection to a server.
//!
//! Owns: sending while reading, as far as the server has room, and the timeouts of both. May touch:
//! [`crate::http1`], [`crate::message`]. The twin of [`super::exchange`], which speaks HTTP/1.
//! Next: the body goes to [`super::http2_body`].

use super::{
    asking::{Asking, Terms},
    connect::Gear,
    failure::{Failed, Failure},
    session::{Held, Session},
    wait::Wait,
};
use crate::{
    http1::outgoing::Part,
    message::{body::BodyError, upload::Upload},
};
use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{Request, Response};
use std::{
    future::poll_fn,
    io,
    mem::take,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

/// A body up to this size goes out with its head, without asking for room first: h2 finds no room
/// before it has opened the stream, so the body would need a turn and a write of its own. The size
/// is less than every server's first window, unless the server has asked for a smaller one; then
/// the body waits within h2.
const SHORT: usize = 16 * 1024;

/// A request on its way.
pub struct Sending {
    /// `None` once all of it is sent, or the server wants no more.
    stream: Option<SendStream<Bytes>>,
    /// A part that the server has no room for yet.
    left: Bytes,
    /// Bytes of the body that were sent.
    pub sent: u64,
}

/// What is read of a response, and what is still to be sent of its request.
pub struct Answered {
    /// Status and fields.
    pub head: Response<()>,
    /// The body.
    pub received: RecvStream,
    /// The rest of the request.
    pub sending: Sending,
    /// The timer.
    pub gear: Box<Gear>,
    /// The request's place on the connection.
    pub held: Held,
}

/// Why sending stopped.
pub enum SendStopped {
    /// The stream or the connection broke.
    Broke(h2::Error),
    /// The server wants no more of it.
    Unwanted,
    /// The client's body broke.
    Body(BodyError),
}

impl Sending {
    /// Whether the server has all of the request.
    pub fn is_done(&self) -> bool {
        self.stream.is_none()
    }

    /// Which side it waits for.
    fn wait(&self, body: &Upload) -> Wait {
        match (self.is_done() || body.is_tunnel(), self.left.is_empty()) {
            (true, _) => Wait::Head,
            (false, true) => Wait::Client,
            (false, false) => Wait::Send,
        }
    }

    /// Drops what is not sent.
    pub fn stop(&mut self) {
        (self.stream, self.left) = (None, Bytes::new());
    }

    /// Sends as much of `body` as the server has room for. Ready once all of it is sent.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Upload,
    ) -> Poll<Result<(), SendStopped>> {
        while let Some(stream) = &mut self.stream {
            if !self.left.is_empty() {
                let whole = self.sent == 0 && body.is_ended() && self.left.len() <= SHORT;
                let data = if whole {
                    take(&mut self.left)
                } else {
                    let room = ready!(poll_room(cx, stream, self.left.len()))?;
                    self.left.split_to(room.min(self.left.len()))
                };
                self.sent += data.len() as u64;
                let ends = self.left.is_empty() && body.is_ended();
                stream.send_data(data, ends).map_err(SendStopped::Broke)?;
                if ends {
                    self.stream = None;
                }
                continue;
            }
            match body.poll_next(cx, false) {
                Poll::Ready(Some(Ok(Part::Frame(frame)))) => match frame.into_data() {
                    Ok(data) => self.left = data,
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        stream.send_trailers(trailers).map_err(SendStopped::Broke)?;
                        self.stream = None;
                    }
                },
                Poll::Ready(Some(Ok(Part::Moved(_)))) => {}
                Poll::Ready(Some(Err(error))) => {
                    stream.send_reset(Reason::CANCEL);
                    self.stream = None;
                    return Poll::Ready(Err(SendStopped::Body(error)));
                }
                Poll::Ready(None) => {
                    stream.send_data(Bytes::new(), true).map_err(SendStopped::Broke)?;
                    self.stream = None;
                }
                Poll::Pending => {
                    return match ready!(stream.poll_reset(cx)) {
                        // RFC 9113 §8.1: it has answered and wants no more.
                        Ok(Reason::NO_ERROR) => Poll::Ready(Err(SendStopped::Unwanted)),
                        Ok(reason) => Poll::Ready(Err(SendStopped::Broke(reason.into()))),
                        Err(error) => Poll::Ready(Err(SendStopped::Broke(error))),
                    };
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// How many bytes the server has room for.
fn poll_room(
    cx: &mut Context<'_>,
    stream: &mut SendStream<Bytes>,
    want: usize,
) -> Poll<Result<usize, SendStopped>> {
    stream.reserve_capacity(want);
    loop {
        // h2 does not report again the room that is already there.
        let room = stream.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(SendStopped::Broke(error))),
            None => return Poll::Ready(Err(SendStopped::Unwanted)),
        }
    }
}

/// Sends the head and then `body`, and reads the response's head. If the server answers early, the
/// rest of the body is still to be sent.
pub async fn exchange(
    (session, held): (Session, Held),
    request: Request<()>,
    body: &mut Upload,
    asking: &impl Asking,
    terms: &Terms<'_>,
    mut gear: Box<Gear>,
) -> Result<Answered, Failed> {
    let reused = held.is_reused();
    gear.arm(Instant::now(), terms.timeouts.send);
    let began = begin(session, request, body, &mut gear).await;
    let (mut response, stream) = began.map_err(|error| {
        held.close();
        Failed { failure: Failure::Refused(words(&error)), reused, sent: false, answered: false }
    })?;
    let mut sending = Sending { stream, left: Bytes::new(), sent: 0 };
    let mut armed: Option<(Wait, u64)> = None;
    let answered = poll_fn(|cx| {
        // A tunnel sends nothing before the server has agreed.
        if !body.is_tunnel()
            && let Poll::Ready(Err(stopped)) = sending.poll(cx, body)
        {
            if let SendStopped::Body(error) = stopped {
                return Poll::Ready(Err(Failure::Client(error)));
            }
            // The server's answer or error is read below.
            sending.stop();
        }
        if let Poll::Ready(answer) = poll_head(cx, &mut response, asking) {
            return Poll::Ready(answer.map_err(|error| failure(error, &held)));
        }
        let wait = sending.wait(body);
        if armed != Some((wait, sending.sent)) {
            let now = Instant::now();
            if matches!(armed, Some((Wait::Client, _))) {
                body.waited_for(gear.waited(now));
            }
            armed = Some((wait, sending.sent));
            gear.arm(now, wait.limit(terms.timeouts, body));
        }
        gear.poll_deadline(cx).map(|()| Err(wait.failure()))
    });
    match answered.await {
        Ok(answer) => {
            let (parts, received) = answer.into_parts();
            Ok(Answered { head: Response::from_parts(parts, ()), received, sending, gear, held })
        }
        Err(failure) => {
            let sent = !matches!(failure, Failure::Refused(_));
            Err(Failed { failure, sent, answered: false, reused })
        }
    }
}

/// Begins the request, once the connection has room for it.
async fn begin(
    mut session: Session,
    request: Request<()>,
    body: &Upload,
    gear: &mut Gear,
) -> Result<(ResponseFuture, Option<SendStream<Bytes>>), h2::Error> {
    let ends = body.is_ended() && !body.is_tunnel();
    // Ready unless the connection is over, or has more requests than its server allows.
    poll_fn(|cx| match session.send.poll_ready(cx) {
        Poll::Pending => gear.poll_deadline(cx).map(|()| Err(Reason::REFUSED_STREAM.into())),
        Poll::Ready(ready) => Poll::Ready(ready),
    })
    .await?;
    let (response, stream) = session.send.send_request(request, ends)?;
    Ok((response, (!ends).then_some(stream)))
}

fn poll_head(
    cx: &mut Context<'_>,
    response: &mut ResponseFuture,
    asking: &impl Asking,
) -> Poll<Result<Response<RecvStream>, h2::Error>> {
    while let Poll::Ready(Some(Ok(mut interim))) = response.poll_informational(cx) {
        let fields = take(interim.headers_mut());
        asking.interim(interim.status(), fields.into());
    }
    Pin::new(response).poll(cx)
}

/// What an error says of the attempt. A connection that is over takes no further request.
fn failure(error: h2::Error, held: &Held) -> Failure {
    if !error.is_reset() {
        held.close();
    }
    let refused = error.reason() == Some(Reason::REFUSED_STREAM) && error.is_remote();
    if refused || error.is_go_away() && error.is_remote() {
        // RFC 9113 §8.7: the request was not processed. This includes a stream after GOAWAY's last
        // one.
        return Failure::Refused(words(&error));
    }
    if error.is_library() {
        return Failure::BadResponse("it broke the rules of HTTP/2");
    }
    Failure::Reset(broken(error, held))
}

/// What broke a connection.
pub fn broken(error: h2::Error, held: &Held) -> io::Error {
    if held.is_silent() {
        let words = "it answered no PING within `http2.ping_timeout`";
        return io::Error::new(io::ErrorKind::TimedOut, words);
    }
    io_error(error)
}

/// The same as an error of the system's.
fn io_error(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    io::Error::other(words(&error))
}

/// What the server has said with an error.
fn words(error: &h2::Error) -> String {
    let reason = error.reason().map_or_else(|| error.to_string(), |it| it.to_string());
    if error.is_go_away() {
        format!("it ends the connection (GOAWAY): {reason}")
    } else if error.is_reset() {
        format!("it reset the stream: {reason}")
    } else {
        reason
    }
}
