//! The answer to a client, for any protocol.

use crate::http1::fields::Fields;
use http::{HeaderName, HeaderValue, StatusCode};

/// A response on its way to a client.
#[derive(Debug, Default)]
pub struct Answer<B> {
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields.
    pub fields: Fields,
    /// The body, which alone decides on its length.
    pub body: B,
    /// Whether an HTTP/1 connection can't go on after it.
    pub close: bool,
    /// How many bytes of the body may be taken ahead of a slow client; 0 if nothing waits for it.
    pub ahead: usize,
}

impl<B> Answer<B> {
    /// An answer with a body, and no fields yet.
    pub fn new(status: StatusCode, body: B) -> Self {
        Self { status, fields: Fields::default(), body, close: false, ahead: 0 }
    }

    /// With one more field, in place of any of that name.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.map().insert(name, value);
        self
    }

    /// The same answer with another body.
    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> Answer<C> {
        let Self { status, fields, body, close, ahead } = self;
        Answer { status, fields, body: change(body), close, ahead }
    }
}
