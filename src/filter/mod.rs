//! What sees a request's and a response's head on their way.
//!
//! Owns: the order. May touch: [`crate::message`]. Filters are synchronous, see heads only, and see
//! the response in the reverse order of the request. Called by [`crate::proxy::handle`].

pub mod header_edits;

use crate::message::context::{Context, Scope};
use http::{HeaderMap, StatusCode};

/// Sees heads on their way.
pub trait Filter: Send + Sync {
    /// May change the request's fields, or answer instead of what follows.
    fn request(&self, context: &mut Context, names: Names<'_>) -> Option<StatusCode>;

    /// May change the response's fields. Whether it has `succeeded`: is what the route is there for.
    fn response(&self, headers: &mut HeaderMap, succeeded: bool, scope: &Scope<'_>);
}

/// The names that a route has for templates before a server is chosen.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name, or empty.
    pub upstream: &'a str,
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

    /// Shows all of them the request, until one answers.
    pub fn request(&self, context: &mut Context, names: Names<'_>) -> Option<StatusCode> {
        self.0.iter().find_map(|filter| filter.request(context, names))
    }

    /// Shows all of them the response.
    pub fn response(&self, headers: &mut HeaderMap, succeeded: bool, scope: &Scope<'_>) {
        for filter in self.0.iter().rev() {
            filter.response(headers, succeeded, scope);
        }
    }
}
