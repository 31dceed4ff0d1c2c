//! The spans of a request that has ended: one for itself, one for each attempt.
//!
//! Owns: what is told of a request, by OpenTelemetry's semantic conventions for HTTP servers. May
//! touch: [`crate::http1`], [`crate::message`], [`crate::observe`], [`crate::protobuf`],
//! [`crate::route`], [`crate::settings`]. [`super::attempt_spans`] has the attempts. Spans are
//! written as bytes at once: as the library's messages, a request's spans would cost more than the
//! request (see docs/decisions/otlp.md).

use super::{
    attempt_spans::write_attempts,
    facts::Facts,
    span::{
        ATTRIBUTES, FLAGS, NAME, PARENT_IS_KNOWN, PARENT_IS_REMOTE, SERVER, SPANS, SpanAttributes,
        TRACE_STATE, WallClock, method_name, write_error, write_ids, write_times,
    },
    traced::TracedAttempt,
};
use crate::{
    http1::request::{Head, RequestFields},
    message::trace_context::{TRACESTATE, TraceContext},
    observe::{key_value, line_facts, trace_terms::TraceTerms},
    protobuf,
    route::{PathMatcher, Route},
    settings::SpanAttribute as Attribute,
};
use http::{HeaderValue, StatusCode, header};
use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

/// A request that has ended.
pub(super) struct EndedRequest<'a> {
    pub(super) terms: &'a TraceTerms,
    pub(super) facts: &'a Facts,
    pub(super) route: Option<&'a Route>,
    pub(super) worker: usize,
    pub(super) status: StatusCode,
    /// When it had ended, and how long it took; of a tunnel, until it was open.
    pub(super) ended: (Instant, Duration),
    pub(super) received: u64,
}

/// Hands the spans of a request to the exporter, if it is told of.
pub(super) fn tell(request: &EndedRequest<'_>) {
    let EndedRequest { terms, facts, status, ended: (_, took), .. } = *request;
    let (Some(trace), Some(traced)) = (&facts.context.trace, &facts.traced) else { return };
    if !trace.is_sampled() && !terms.always.takes(status, took) {
        return;
    }
    let clock = WallClock::now();
    terms.queue.add(request.worker, 1 + traced.attempts.len() as u32, |out| {
        protobuf::message(out, SPANS, |out| write_request(out, request, trace, clock));
        write_attempts(out, terms, facts, request.route, clock);
    });
}

/// Hands the spans of a fetch for the cache to the exporter. Its parent is the request that began
/// it.
pub(super) fn tell_of_fetch(terms: &TraceTerms, facts: &Facts, route: &Route, worker: usize) {
    let (Some(trace), Some(traced)) = (&facts.context.trace, &facts.traced) else { return };
    let is_always = |attempt: &TracedAttempt| {
        attempt.end.as_ref().is_some_and(|end| {
            let status = end.status.unwrap_or(StatusCode::BAD_GATEWAY);
            terms.always.takes(status, end.at.saturating_duration_since(attempt.begun))
        })
    };
    if trace.is_sampled() || traced.attempts.iter().any(is_always) {
        terms.queue.add(worker, traced.attempts.len() as u32, |out| {
            write_attempts(out, terms, facts, Some(route), WallClock::now());
        });
    }
}

fn write_request(
    out: &mut Vec<u8>,
    request: &EndedRequest<'_>,
    trace: &TraceContext,
    clock: WallClock,
) {
    let EndedRequest { terms, facts, route, status, ended: (ended, _), .. } = *request;
    let head = &facts.context.head;
    write_ids(out, trace, &trace.span, trace.parent.as_ref());
    if head.present.trace_state
        && let Some(state) = head.fields.get(&TRACESTATE).and_then(|it| str::from_utf8(it).ok())
    {
        protobuf::bytes(out, TRACE_STATE, state.as_bytes());
    }
    let pattern = route.map_or(Cow::Borrowed(""), pattern);
    let (method, space) = (method_name(&head.method), if route.is_some() { " " } else { "" });
    protobuf::parts(out, NAME, &[method.as_bytes(), space.as_bytes(), pattern.as_bytes()]);
    write_times(out, SERVER, clock.at(facts.context.started), clock.at(ended));
    let mut attributes = SpanAttributes { out, terms };
    write_asked(&mut attributes, facts);
    attributes.text(Attribute::Route, pattern.as_bytes());
    write_answered(&mut attributes, request);
    write_chosen(out, request);
    if status.is_server_error() {
        write_error(out, facts.detail.as_deref());
    }
    let remote = if trace.parent.is_some() { PARENT_IS_REMOTE } else { 0 };
    let sampled = u32::from(trace.is_sampled());
    protobuf::fixed32(out, FLAGS, PARENT_IS_KNOWN | remote | sampled);
}

/// What the client asked for.
fn write_asked(attributes: &mut SpanAttributes<'_>, facts: &Facts) {
    let context = &facts.context;
    let Head { method, target, version, fields, .. } = &context.head;
    attributes.method(method);
    attributes.text(Attribute::Scheme, context.scheme().as_bytes());
    attributes.text(Attribute::Path, target.path().as_bytes());
    attributes.text(Attribute::Query, target.query().unwrap_or_default().as_bytes());
    attributes.server(target.host());
    let version = line_facts::protocol(*version).trim_start_matches("HTTP/");
    // The conventions have `2`, and `1.0`.
    let version = if version == "2.0" { "2" } else { version };
    attributes.text(Attribute::ProtocolVersion, version.as_bytes());
    attributes.text(Attribute::ClientAddress, context.client_text().as_bytes());
    if context.told.client.is_some() {
        let peer = context.peer.address_text();
        attributes.text(Attribute::PeerAddress, peer.as_bytes());
    }
    attributes.text(Attribute::UserAgent, fields.get(&header::USER_AGENT).unwrap_or_default());
    attributes.text(Attribute::RequestId, context.id.as_bytes());
    attributes.text(Attribute::Listener, context.peer.listener.as_bytes());
    if let Some(secured) = context.peer.secured.as_deref() {
        let version = secured.version.trim_start_matches("TLSv");
        attributes.text(Attribute::TlsVersion, version.as_bytes());
    }
    if let Some(country) = context.country {
        attributes.text(Attribute::Country, country.as_str().as_bytes());
    }
}

/// What became of it.
fn write_answered(attributes: &mut SpanAttributes<'_>, request: &EndedRequest<'_>) {
    let EndedRequest { facts, route, status, ended: (ended, _), received, .. } = *request;
    attributes.number(Attribute::Status, status.as_u16().into());
    if received > 0 {
        attributes.number(Attribute::RequestSize, received);
    }
    attributes.number(Attribute::ResponseSize, facts.sent);
    if let Some(route) = route {
        attributes.text(Attribute::RouteName, route.name.as_bytes());
        attributes.text(Attribute::Upstream, route.upstream().as_bytes());
    }
    attributes.text(Attribute::Cache, facts.cache.unwrap_or_default().as_bytes());
    if facts.attempts > 0 {
        attributes.number(Attribute::Attempts, facts.attempts.into());
        let times = facts.phases(ended);
        attributes.millis(Attribute::QueueTime, times.queue);
        attributes.millis(Attribute::ClientTime, times.client);
    }
    let reason = facts.reason.unwrap_or_default();
    attributes.text(Attribute::Reason, reason.as_bytes());
    if status.is_server_error() {
        let kind = if reason.is_empty() { status.as_str() } else { reason };
        attributes.text(Attribute::ErrorType, kind.as_bytes());
    }
}

/// What the config has chosen: fields, and attributes of its own.
fn write_chosen(out: &mut Vec<u8>, request: &EndedRequest<'_>) {
    let EndedRequest { terms, facts, route, .. } = *request;
    if !terms.request_fields.is_empty() {
        let mut fields: RequestFields = facts.context.head.fields.clone();
        let map = fields.map();
        for name in map.keys().filter(|name| terms.request_fields.contains(name)) {
            let key = [terms.request_fields.prefix, name.as_str()];
            let values = map.get_all(name).iter().map(HeaderValue::as_bytes);
            key_value::texts(out, ATTRIBUTES, key, values);
        }
    }
    let told = facts.traced.as_ref().map_or(&[][..], |it| &it.response_fields[..]);
    // The fields of one name come one after the other.
    for fields in told.chunk_by(|one, next| one.0 == next.0) {
        let key = [terms.response_fields.prefix, fields[0].0.as_str()];
        key_value::texts(out, ATTRIBUTES, key, fields.iter().map(|(_, value)| &**value));
    }
    let Some(route) = route else { return };
    for (name, template) in &terms.attributes {
        let value = facts.scope(route).render(template);
        if !value.is_empty() {
            key_value::text(out, ATTRIBUTES, name, value.as_bytes());
        }
    }
}

/// The route's path, as the config has it.
fn pattern(route: &Route) -> Cow<'_, str> {
    match &route.matcher.path {
        PathMatcher::Any => "/*".into(),
        PathMatcher::Exact(path) => path.as_str().into(),
        PathMatcher::Prefix(path) => format!("{path}*").into(),
        PathMatcher::Suffix(ending) => format!("*{ending}").into(),
    }
}
