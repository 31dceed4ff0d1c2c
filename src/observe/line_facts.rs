//! What is known of a request that has ended, for its lines in logs and its counters.
//!
//! Owns: the facts, and what conditions and templates see of them. May touch: [`crate::condition`],
//! [`crate::country`], [`crate::message`]. Made by [`crate::proxy::record`].

use super::phase_times::PhaseTimes;
use crate::{
    condition::{Amount, Observed, TextFact},
    country::CountryCode,
    message::context::{Context, Scope, cookie, site_name},
};
use http::{HeaderName, StatusCode, Version};
use std::{borrow::Cow, time::Duration};

/// The first value of an answer's field.
pub type NotedField = (HeaderName, Box<[u8]>);

/// What is known of a request that has ended, in addition to its [`Context`].
pub struct LineFacts<'a> {
    /// The request.
    pub context: &'a Context,
    /// The host as the client sent it.
    pub host: &'a [u8],
    /// The route's name, or empty.
    pub route: &'a str,
    /// The upstream's name, or empty.
    pub upstream: &'a str,
    /// The server tried last, or empty.
    pub server: &'a str,
    /// Servers tried.
    pub attempts: u32,
    /// From the last attempt's start to its response head.
    pub upstream_time: Option<Duration>,
    /// The answer's status.
    pub status: StatusCode,
    /// Those of its fields that some log or counter asks about: see [`NotedField`].
    pub response_fields: &'a [NotedField],
    /// Bytes of its body.
    pub sent: u64,
    /// Bytes of the request's body.
    pub received: u64,
    /// From the request's head to the answer's end.
    pub took: Duration,
    /// Where that time went, as far as anybody wants to know.
    pub times: PhaseTimes,
    /// The trace that the request belongs to: 32 hexadecimal digits.
    pub trace_id: Option<&'a str>,
    /// What the cache did, if there is one.
    pub cache: Option<&'a str>,
    /// What went wrong, in one word.
    pub reason: Option<&'static str>,
    /// The same in more words, if there are any.
    pub detail: Option<&'a str>,
}

impl LineFacts<'_> {
    /// How long the client waited: of a tunnel the time until it was open, as it lives as long as
    /// its users want.
    pub fn waited(&self) -> Duration {
        let is_tunnel = self.context.head.protocols.is_some();
        self.upstream_time.filter(|_| is_tunnel).unwrap_or(self.took)
    }

    /// The first value of a request's field.
    pub fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.context.head.fields.get(name)
    }

    /// The first value of the answer's field, if it is one of those that are asked about.
    pub fn response_header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.response_fields.iter().find(|it| it.0 == *name).map(|it| &*it.1)
    }

    /// Path and query.
    pub fn uri(&self) -> &str {
        self.context.head.target.path_and_query()
    }

    /// The client's protocol.
    pub fn protocol(&self) -> &'static str {
        protocol(self.context.head.version)
    }

    /// The request as templates see it.
    pub fn scope(&self) -> Scope<'_> {
        let &Self { context, route, upstream, server, .. } = self;
        Scope { context, route, upstream, server, path: None }
    }
}

impl Observed for LineFacts<'_> {
    fn amount(&self, of: Amount) -> u64 {
        match of {
            Amount::Status => self.status.as_u16().into(),
            Amount::Duration => u64::try_from(self.waited().as_nanos()).unwrap_or(u64::MAX),
            Amount::BytesSent => self.sent,
            Amount::BytesReceived => self.received,
            Amount::Attempts => self.attempts.into(),
        }
    }

    fn text(&self, of: &TextFact) -> Cow<'_, [u8]> {
        let head = &self.context.head;
        let text = match of {
            TextFact::Method => head.method.as_str(),
            TextFact::Scheme => self.context.scheme(),
            TextFact::Host => return bytes(lower_case(site_name(head.target.host()))),
            TextFact::Uri => self.uri(),
            TextFact::Path => head.target.path(),
            TextFact::Query => head.target.query().unwrap_or_default(),
            TextFact::ClientIp => return bytes(self.context.client_text()),
            TextFact::Listener => &self.context.peer.listener,
            TextFact::Route => self.route,
            TextFact::Upstream => self.upstream,
            TextFact::Server => self.server,
            TextFact::Cache => self.cache.unwrap_or_default(),
            TextFact::Reason => self.reason.unwrap_or_default(),
            TextFact::Country => self.context.country.as_ref().map_or("", CountryCode::as_str),
            TextFact::RequestId => self.context.id.as_str(),
            TextFact::Header(name) => return self.header(name).unwrap_or_default().into(),
            TextFact::Cookie(name) => cookie(&head.fields, name).unwrap_or_default(),
            TextFact::ResponseHeader(name) => {
                return self.response_header(name).unwrap_or_default().into();
            }
        };
        text.as_bytes().into()
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => text.as_bytes().into(),
        Cow::Owned(text) => text.into_bytes().into(),
    }
}

fn lower_case(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|it| it.is_ascii_uppercase()) {
        return text.to_ascii_lowercase().into();
    }
    text
}

/// The protocol's name.
pub fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}
