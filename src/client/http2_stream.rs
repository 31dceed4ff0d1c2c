//! One request by HTTP/2, from its head to the end of its response.
//!
//! Owns: how it ends. May touch: [`crate::http1`], [`crate::message`], [`crate::proxy`]. Run by
//! [`super::http2_streams`]; the request goes to [`crate::proxy::handle`].

use super::{
    activity::Activity,
    http2_given::Given,
    http2_request::{Expectation, Received},
    http2_response::{Answering, Question, Sent},
    http2_tunnel::take_head,
    service::Service,
};
use crate::{
    http1::fields::Fields,
    message::{answer::Answer, interim::Interim},
    proxy::{delivery::Delivery, handle},
};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{Request, Response, StatusCode};
use std::{
    future::Future,
    mem::{replace, take},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

/// A request that is being answered.
type Handling<'a> = Pin<Box<dyn Future<Output = Answer<Delivery>> + Send + 'a>>;

/// What is left of a stream whose body broke off: the client has to be told, once it has what came
/// before.
pub type Leftover = Option<SendStream<Given>>;

/// One request and its response.
pub struct Http2Stream<'a> {
    service: &'a Service,
    activity: &'a Activity,
    begun: Instant,
    state: SendState<'a>,
}

enum SendState<'a> {
    /// There is no answer yet.
    Asked { handling: Handling<'a>, respond: SendResponse<Given>, asked: Question, early: Early },
    /// The answer's body is sent.
    Answered(Answering),
    /// It has ended: with its last byte, or because it was given up.
    Ended,
}

/// What the client may be told before there is an answer.
struct Early {
    /// The request's number on the connection.
    number: u32,
    /// That its body is wanted, if the client waits for that.
    expectation: Option<Expectation>,
}

impl<'a> Http2Stream<'a> {
    /// Begins a request.
    pub fn begin(
        (request, respond): (Request<RecvStream>, SendResponse<Given>),
        service: &'a Service,
        activity: &'a Activity,
    ) -> Self {
        let (parts, stream) = request.into_parts();
        let (body, expectation) = Received::after_head(stream, &parts.headers);
        let head = take_head(parts);
        let asked = Question::by(&head);
        let record = service.begin(activity.begin(), false, head);
        let (begun, number) = (record.facts.context.started, record.facts.context.number);
        let early = Early { number, expectation };
        let state =
            SendState::Asked { handling: Box::pin(handle(record, body)), respond, asked, early };
        Self { service, activity, begun, state }
    }

    /// Whether it waits for its client to take something.
    pub fn is_waiting(&self) -> bool {
        matches!(&self.state, SendState::Answered(answering) if answering.is_waiting())
    }

    /// Gives it up if its client has taken nothing of it for `patience` milliseconds until `now`.
    pub fn end_if_stalled(&mut self, now: u64, patience: u64) {
        let SendState::Answered(answering) = &mut self.state else { return };
        if answering.is_stalled(now, patience) {
            self.give_up("send_timeout");
        }
    }

    /// Gives it up, if its answer has begun.
    pub fn give_up(&mut self, reason: &'static str) {
        if let SendState::Answered(answering) = &mut self.state {
            let waker = answering.abandon(reason);
            self.end(false);
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// It is over: because it was `answered`, or else because it was given up.
    fn end(&mut self, answered: bool) -> Leftover {
        let stream = match replace(&mut self.state, SendState::Ended) {
            SendState::Ended => return None,
            // The record is dropped, and by that written.
            SendState::Asked { .. } => None,
            SendState::Answered(answering) => Some(answering.end()),
        };
        self.activity.end(answered, self.begun);
        stream
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Leftover> {
        if let SendState::Asked { handling, respond, asked, early } = &mut self.state {
            let answer = handling.as_mut().poll(cx);
            while let Some(Interim { status, fields }) =
                self.service.peer().interims.take(early.number)
            {
                say_early(respond, status, fields);
            }
            let Poll::Ready(answer) = answer else {
                if let Some(expectation) = &early.expectation
                    && expectation.poll_wanted(cx).is_ready()
                {
                    early.expectation = None;
                    say_early(respond, StatusCode::CONTINUE, Fields::default());
                }
                // The client may give it up meanwhile.
                let given_up = respond.poll_reset(cx).is_ready();
                return if given_up { self.done(false) } else { Poll::Pending };
            };
            match Answering::begin(answer, respond, *asked, self.service) {
                Some(answering) => self.state = SendState::Answered(answering),
                None => return self.done(true),
            }
        }
        let SendState::Answered(answering) = &mut self.state else { return Poll::Ready(None) };
        match ready!(answering.poll(cx, self.activity)) {
            Sent::Whole => self.done(true),
            Sent::Gone => self.done(false),
            Sent::Broken => Poll::Ready(self.end(true)),
        }
    }

    fn done(&mut self, answered: bool) -> Poll<Leftover> {
        self.end(answered);
        Poll::Ready(None)
    }
}

/// Sends an interim response. If that fails, the client is gone, which shows again at the answer.
fn say_early(respond: &mut SendResponse<Given>, status: StatusCode, mut fields: Fields) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = take(fields.map());
    if let Err(error) = respond.send_informational(response) {
        tracing::debug!(%error, "an interim response could not be sent");
    }
}

impl Future for Http2Stream<'_> {
    type Output = Leftover;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Leftover> {
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
