//! Pages in place of errors' texts.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use std::ops::RangeInclusive;

/// The pages of a route.
pub struct ErrorPages {
    /// The narrowest first.
    pub pages: Vec<ErrorPage>,
    /// Whether they also stand for servers' errors.
    pub of_servers: bool,
}

/// One page.
pub struct ErrorPage {
    /// Its statuses.
    pub statuses: RangeInclusive<u16>,
    /// Its type.
    pub content_type: HeaderValue,
    /// Its text.
    pub body: Bytes,
}

impl ErrorPages {
    /// The page for a status.
    pub fn find(&self, status: StatusCode) -> Option<&ErrorPage> {
        self.pages.iter().find(|it| it.statuses.contains(&status.as_u16()))
    }
}
