//! A gRPC call on its way: its deadline, and our own errors in the form that its client
//! understands.
//!
//! Owns: what a call's deadline does to timeouts and to its answer. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::origin`], [`crate::route`], [`crate::settings`]. Other requests pay
//! for one flag. [`mod@super::forward`] and [`super::handle`] ask.

use super::{facts::Facts, refusal::Refusal};
use crate::{
    http1::outgoing::Part,
    message::{
        answer::Answer,
        body::{Body, BodyError, Length, Polled, Source, Want},
        grpc::{self, DEADLINE_EXCEEDED, GRPC_TIMEOUT},
    },
    origin::failure::Failure,
    route::Forward,
    settings::Timeouts,
};
use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use std::{
    mem::take,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::{Sleep, sleep_until};

/// A call.
pub(super) struct Call {
    /// How long its server, and its client's messages, may take.
    pub(super) timeouts: Timeouts,
    deadline: Option<Instant>,
}

impl Call {
    /// The call, if the request is one. Boxed: otherwise every other request would pay for its
    /// size.
    pub(super) fn of(facts: &Facts, forward: &Forward) -> Option<Box<Self>> {
        let context = &facts.context;
        if !context.head.present.grpc {
            return None;
        }
        let limit = time_left(facts);
        let mut timeouts = forward.timeouts;
        // Messages may come at any time, so a stream may be silent for as long as a tunnel.
        (timeouts.read, timeouts.body_idle) = (timeouts.tunnel, timeouts.tunnel);
        timeouts.min_body_rate = 0;
        if let Some(limit) = limit {
            timeouts.response_head = limit;
        }
        Some(Box::new(Self { timeouts, deadline: limit.map(|it| context.started + it) }))
    }

    /// Returns the same answer; that of a call ends at the call's deadline.
    pub(super) fn limit(call: Option<Box<Self>>, mut answer: Answer<Body>) -> Answer<Body> {
        if let Some(deadline) = call.and_then(|call| call.deadline)
            && !answer.body.is_ended()
        {
            let body = take(&mut answer.body);
            let deadline = Box::pin(sleep_until(deadline.into()));
            answer.body = Body::stream(Deadlined { body, deadline });
        }
        answer
    }
}

/// How long the client waits for its call, if it has said so.
fn time_left(facts: &Facts) -> Option<Duration> {
    facts.context.head.fields.get(&GRPC_TIMEOUT).and_then(grpc::timeout)
}

/// What went wrong, for the log. A call's deadline stands in for the route's timeout.
pub(super) fn detail(failure: &Failure, facts: &Facts) -> String {
    let late = matches!(failure, Failure::ResponseTimeout);
    if late && facts.context.head.present.grpc && time_left(facts).is_some() {
        return "no response within the client's deadline (`grpc-timeout`)".to_owned();
    }
    failure.to_string()
}

/// The answer to a call that is refused: status 200, the gRPC status, and no body.
pub(super) fn refused(refusal: &Refusal, request_id: &str) -> Answer<Body> {
    let Refusal { status, reason, .. } = refusal;
    let message = format!("{status}, reason: {reason}, request id: {request_id}");
    let fields = grpc::answer(grpc::status_of(*status), &message);
    Answer {
        fields: fields.into(),
        close: refusal.close,
        ..Answer::new(StatusCode::OK, Body::Empty)
    }
}

/// An answer that ends at its call's deadline. The server is told by the end of its stream.
struct Deadlined {
    body: Body,
    deadline: Pin<Box<Sleep>>,
}

impl Source for Deadlined {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        let part = self.body.poll_part(cx, want);
        if part.is_ready() || self.body.is_ended() || self.deadline.as_mut().poll(cx).is_pending() {
            return part;
        }
        self.body = Body::Empty;
        let trailers = grpc::ending(DEADLINE_EXCEEDED, "the call's deadline is over");
        Poll::Ready(Some(Ok(Part::Frame(Frame::trailers(trailers)))))
    }

    fn poll_gather(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Option<Bytes>> {
        self.body.poll_gather(cx, most).map(|()| None)
    }

    fn length(&self) -> Length {
        self.body.length()
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.body.poll_rest(cx)
    }
}
