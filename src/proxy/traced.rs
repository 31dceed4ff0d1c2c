//! What is kept of a request for its spans.
//!
//! Owns: the attempts, until the request ends. May touch: [`crate::message`], [`crate::observe`],
//! [`crate::origin`]. Requests pay for one pointer where there are no traces. Written by
//! [`super::facts`]; next: [`super::spans`].

use crate::{message::request_id::SpanId, observe::outcome::AttemptOutcome, origin::Way};
use http::{HeaderName, StatusCode};
use smallvec::SmallVec;
use std::time::{Duration, Instant};

/// What is kept of a request that may be told of.
#[derive(Default)]
pub struct Traced {
    /// In their order.
    pub attempts: SmallVec<[TracedAttempt; 1]>,
    /// Path and query as servers get them, if they differ from the client's.
    pub target: Option<Box<str>>,
    /// The response's fields that are told.
    pub response_fields: Vec<(HeaderName, Box<[u8]>)>,
}

/// One attempt.
pub struct TracedAttempt {
    /// Its span.
    pub span: SpanId,
    /// The member of the upstream.
    pub member: u32,
    /// When it began.
    pub begun: Instant,
    /// How it came to its connection.
    pub way: Option<Way>,
    /// What is known since it has ended.
    pub end: Option<AttemptEnd>,
}

/// How an attempt ended.
pub struct AttemptEnd {
    /// When.
    pub at: Instant,
    /// How long its connection took to open.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From its begin to the response's head.
    pub head: Option<Duration>,
    /// The response's status.
    pub status: Option<StatusCode>,
    /// In one word.
    pub outcome: AttemptOutcome,
    /// What went wrong.
    pub detail: Option<Box<str>>,
}
