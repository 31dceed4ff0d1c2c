//! What sees a request's and a response's head on their way.
//!
//! Owns: the order. May touch: [`crate::cidr`], [`crate::clock`], [`crate::country`],
//! [`crate::message`], [`crate::observe`], [`crate::template`]. Filters see heads only, and
//! responses in the reverse order of requests. Called by [`crate::proxy::handle`].

pub mod geo;
pub mod header_edits;

use crate::{
    clock::Clock,
    message::{
        answer::Answer,
        body::Body,
        context::{Context, Scope},
    },
    observe::metrics::Metrics,
};
use http::{HeaderMap, StatusCode};
use std::pin::Pin;

/// Sees heads on their way.
pub trait Filter: Send + Sync {
    /// The table of the route that it is made from.
    fn name(&self) -> &'static str;

    /// Sees a request. May change its fields, answer instead of what follows, or wait before it
    /// decides.
    fn request<'a>(&'a self, context: &'a mut Context, place: FilterPlace<'a>) -> Verdict<'a>;

    /// Sees a response, and may change its fields. `succeeded` says whether it is a success of its
    /// route.
    fn response(&self, headers: &mut HeaderMap, succeeded: bool, scope: &Scope<'_>);
}

/// What a filter decides for a request.
pub enum Verdict<'a> {
    /// The request goes on.
    Pass,
    /// The request is refused, with this word for the log, the counter and the answer.
    Refuse(StatusCode, &'static str),
    /// The filter answers the request.
    Answer(Box<Stopped>),
    /// The filter has to wait, for example for another server's answer. Boxed: only filters that
    /// wait pay for it.
    Wait(Pin<Box<dyn Future<Output = Option<Box<Stopped>>> + Send + 'a>>),
}

/// An answer in place of what would follow.
pub struct Stopped {
    /// Status, fields and body.
    pub answer: Answer<Body>,
    /// Why, in one word, for the log and the counter.
    pub reason: &'static str,
}

/// Where a filter stands: the names that templates can use before a server is chosen, and the
/// process's state.
#[derive(Clone, Copy)]
pub struct FilterPlace<'a> {
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name, or empty.
    pub upstream: &'a str,
    /// The process's time.
    pub clock: Clock,
    /// Every counter.
    pub metrics: &'a Metrics,
}

/// A route's filters.
#[derive(Default)]
pub struct Chain(Vec<Box<dyn Filter>>);

impl Chain {
    /// Filters in the order of the request.
    pub fn new(filters: Vec<Box<dyn Filter>>) -> Self {
        Self(filters)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Filter> {
        self.0.iter().map(|filter| &**filter)
    }

    /// Shows all of them the response.
    pub fn response(&self, headers: &mut HeaderMap, succeeded: bool, scope: &Scope<'_>) {
        for filter in self.0.iter().rev() {
            filter.response(headers, succeeded, scope);
        }
    }
}
