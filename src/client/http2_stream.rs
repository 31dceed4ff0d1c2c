//! One request by HTTP/2, from its head to the end of its response.
//!
//! Owns: how it ends. May touch: [`super::http2_request`], [`super::http2_response`],
//! [`super::service`]. Run by [`super::http2_streams`]; the request goes to [`crate::proxy::handle`].

use super::{
    activity::Activity,
    http2_given::Given,
    http2_request::Received,
    http2_response::{Answering, Sent},
    service::Service,
};
use crate::{
    message::{answer::Answer, body::Body},
    proxy::{delivery::Delivery, handle},
};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{Method, Request};
use std::{
    future::Future,
    mem::replace,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

/// A request that is being answered.
type Handling<'a> = Pin<Box<dyn Future<Output = Answer<Delivery>> + Send + 'a>>;

/// What is left of a stream whose body broke off: the client has to be told, once it has what came
/// before.
pub type Broken = Option<SendStream<Given>>;

/// One request and its response.
pub struct Http2Stream<'a> {
    service: &'a Service,
    activity: &'a Activity,
    begun: Instant,
    state: State<'a>,
}

enum State<'a> {
    /// There is no answer yet.
    Asked { handling: Handling<'a>, respond: SendResponse<Given>, head_only: bool },
    /// The answer's body is sent.
    Answered(Answering),
    /// With its last byte, or because it was given up.
    Ended,
}

impl<'a> Http2Stream<'a> {
    /// Begins a request.
    pub fn begin(
        (request, respond): (Request<RecvStream>, SendResponse<Given>),
        service: &'a Service,
        activity: &'a Activity,
    ) -> Self {
        let (head, stream) = request.into_parts();
        let body = Received::new(stream, &head.headers).map_or(Body::Empty, Body::stream);
        let head_only = head.method == Method::HEAD;
        let record = service.begin(activity.begin(), false, head.into());
        let begun = record.facts.context.started;
        let state = State::Asked { handling: Box::pin(handle(record, body)), respond, head_only };
        Self { service, activity, begun, state }
    }

    /// Whether it waits for its client to take something.
    pub fn is_waiting(&self) -> bool {
        matches!(&self.state, State::Answered(answering) if answering.is_waiting())
    }

    /// Gives it up if its client has taken nothing of it for `patience` milliseconds until `now`.
    pub fn end_if_stalled(&mut self, now: u64, patience: u64) {
        let State::Answered(answering) = &mut self.state else { return };
        if answering.is_stalled(now, patience) {
            self.give_up("send_timeout");
        }
    }

    /// Gives it up, if its answer has begun.
    pub fn give_up(&mut self, reason: &'static str) {
        if let State::Answered(answering) = &mut self.state {
            let waker = answering.abandon(reason);
            self.end(false);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// It is over: because it was `answered`, or else because it was given up.
    fn end(&mut self, answered: bool) -> Broken {
        let stream = match replace(&mut self.state, State::Ended) {
            State::Ended => return None,
            // The record is dropped, and by that written.
            State::Asked { .. } => None,
            State::Answered(answering) => Some(answering.end()),
        };
        self.activity.end(answered, self.begun);
        stream
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Broken> {
        if let State::Asked { handling, respond, head_only } = &mut self.state {
            let Poll::Ready(answer) = handling.as_mut().poll(cx) else {
                // The client may give it up meanwhile.
                let given_up = respond.poll_reset(cx).is_ready();
                return if given_up { self.done(false) } else { Poll::Pending };
            };
            match Answering::begin(answer, respond, *head_only, self.service) {
                Some(answering) => self.state = State::Answered(answering),
                None => return self.done(true),
            }
        }
        let State::Answered(answering) = &mut self.state else { return Poll::Ready(None) };
        match ready!(answering.poll(cx, self.activity)) {
            Sent::Whole => self.done(true),
            Sent::Gone => self.done(false),
            Sent::Broken => Poll::Ready(self.end(true)),
        }
    }

    fn done(&mut self, answered: bool) -> Poll<Broken> {
        self.end(answered);
        Poll::Ready(None)
    }
}

impl Future for Http2Stream<'_> {
    type Output = Broken;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Broken> {
        // As for a task, a panic ends this one alone; the panic hook logs and counts it.
        let polled = catch_unwind(AssertUnwindSafe(|| self.advance(cx)));
        polled.unwrap_or_else(|_| self.done(true))
    }
}

impl Drop for Http2Stream<'_> {
    fn drop(&mut self) {
        self.end(false);
    }
}
