//! The bytes of one span.
//!
//! Owns: the numbers of its fields (opentelemetry/proto/trace/v1/trace.proto), and which attributes
//! are left out. May touch: [`crate::message`], [`crate::observe`], [`crate::protobuf`],
//! [`crate::settings`]. [`super::spans`] and [`super::attempt_spans`] say what is in it.

use crate::{
    message::{context::host_name, request_id::SpanId, trace_context::TraceContext},
    observe::{key_value, trace_terms::TraceTerms},
    protobuf,
    settings::SpanAttribute as Attribute,
};
use data_encoding::HEXLOWER;
use http::Method;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// `ScopeSpans.spans`.
pub(super) const SPANS: u32 = 2;

/// The fields of `Span`.
pub(super) const TRACE_ID: u32 = 1;
pub(super) const SPAN_ID: u32 = 2;
pub(super) const TRACE_STATE: u32 = 3;
pub(super) const PARENT: u32 = 4;
pub(super) const NAME: u32 = 5;
pub(super) const KIND: u32 = 6;
pub(super) const START: u32 = 7;
pub(super) const END: u32 = 8;
pub(super) const ATTRIBUTES: u32 = 9;
pub(super) const STATUS: u32 = 15;
pub(super) const FLAGS: u32 = 16;

/// `SpanKind`.
pub(super) const SERVER: u64 = 2;
pub(super) const CLIENT: u64 = 3;

/// `Status`, and its code for an error.
pub(super) const MESSAGE: u32 = 2;
pub(super) const CODE: u32 = 3;
pub(super) const ERROR: u64 = 2;

/// Bits of `flags`: whether it is known where the parent is, and that it is elsewhere.
pub(super) const PARENT_IS_KNOWN: u32 = 1 << 8;
pub(super) const PARENT_IS_REMOTE: u32 = 1 << 9;

/// Turns instants into times since 1970.
#[derive(Clone, Copy)]
pub(super) struct WallClock {
    pub(super) now: Instant,
    wall: Duration,
}

impl WallClock {
    pub(super) fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { now: Instant::now(), wall }
    }

    /// Nanoseconds since 1970.
    pub(super) fn at(self, instant: Instant) -> u64 {
        self.wall.saturating_sub(self.now.saturating_duration_since(instant)).as_nanos() as u64
    }
}

/// Writes attributes that are not left out.
pub(super) struct SpanAttributes<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) terms: &'a TraceTerms,
}

impl SpanAttributes<'_> {
    pub(super) fn text(&mut self, attribute: Attribute, value: &[u8]) {
        if !value.is_empty() && !self.terms.excluded.contains(attribute) {
            key_value::text(self.out, ATTRIBUTES, attribute.name(), value);
        }
    }

    pub(super) fn number(&mut self, attribute: Attribute, value: u64) {
        if !self.terms.excluded.contains(attribute) {
            key_value::integer(self.out, ATTRIBUTES, attribute.name(), value as i64);
        }
    }

    pub(super) fn millis(&mut self, attribute: Attribute, time: Option<Duration>) {
        if let Some(time) = time
            && !self.terms.excluded.contains(attribute)
        {
            let millis = time.as_secs_f64() * 1e3;
            key_value::double(self.out, ATTRIBUTES, attribute.name(), millis);
        }
    }

    /// An address with a port, or the path of a socket.
    pub(super) fn server(&mut self, address: &str) {
        let host = host_name(address);
        self.text(Attribute::ServerAddress, host.trim_matches(['[', ']']).as_bytes());
        let port = address.get(host.len() + 1..).and_then(|it| it.parse().ok());
        if let Some(port) = port {
            self.number(Attribute::ServerPort, port);
        }
    }

    pub(super) fn method(&mut self, method: &Method) {
        if is_usual(method) {
            self.text(Attribute::Method, method.as_str().as_bytes());
        } else {
            self.text(Attribute::Method, b"_OTHER");
            self.text(Attribute::MethodOriginal, method.as_str().as_bytes());
        }
    }
}

/// The methods that the conventions know.
fn is_usual(method: &Method) -> bool {
    let others = [Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
    *method == Method::GET
        || *method == Method::POST
        || others.contains(method)
        || [Method::TRACE, Method::CONNECT].contains(method)
}

pub(super) fn method_name(method: &Method) -> &str {
    if is_usual(method) { method.as_str() } else { "HTTP" }
}

pub(super) fn write_ids(
    out: &mut Vec<u8>,
    trace: &TraceContext,
    span: &SpanId,
    parent: Option<&SpanId>,
) {
    id::<16>(out, TRACE_ID, &trace.trace);
    id::<8>(out, SPAN_ID, span);
    if let Some(parent) = parent {
        id::<8>(out, PARENT, parent);
    }
}

/// An id of `N` bytes, from its digits.
fn id<const N: usize>(out: &mut Vec<u8>, field: u32, digits: &[u8]) {
    let mut bytes = [0; N];
    // The digits were made here or checked: they are twice as many.
    if HEXLOWER.decode_mut(digits, &mut bytes).is_ok() {
        protobuf::bytes(out, field, &bytes);
    }
}

pub(super) fn write_times(out: &mut Vec<u8>, kind: u64, begun: u64, ended: u64) {
    protobuf::number(out, KIND, kind);
    protobuf::fixed64(out, START, begun);
    protobuf::fixed64(out, END, ended.max(begun));
}

pub(super) fn write_error(out: &mut Vec<u8>, message: Option<&str>) {
    protobuf::message(out, STATUS, |out| {
        if let Some(message) = message {
            protobuf::bytes(out, MESSAGE, message.as_bytes());
        }
        protobuf::number(out, CODE, ERROR);
    });
}
