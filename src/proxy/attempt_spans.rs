//! The spans of a request's attempts at servers.
//!
//! Owns: which attributes they have, by OpenTelemetry's semantic conventions for HTTP clients. May
//! touch: [`crate::observe`], [`crate::origin`], [`crate::protobuf`], [`crate::route`],
//! [`crate::settings`]. Called by [`super::spans`].

use super::{
    facts::Facts,
    span::{
        CLIENT, FLAGS, NAME, PARENT_IS_KNOWN, SPANS, SpanAttributes, WallClock, method_name,
        write_error, write_ids, write_times,
    },
    traced::{AttemptEnd, TracedAttempt},
};
use crate::{
    observe::{outcome::AttemptOutcome, trace_terms::TraceTerms},
    origin::Way,
    protobuf,
    route::{Action, Route},
    settings::SpanAttribute as Attribute,
};
use http::StatusCode;

/// Writes a span for each attempt.
pub(super) fn write_attempts(
    out: &mut Vec<u8>,
    terms: &TraceTerms,
    facts: &Facts,
    route: Option<&Route>,
    clock: WallClock,
) {
    let (Some(trace), Some(traced)) = (&facts.context.trace, &facts.traced) else { return };
    for (number, attempt) in traced.attempts.iter().enumerate() {
        protobuf::message(out, SPANS, |out| {
            write_ids(out, trace, &attempt.span, Some(&trace.span));
            let method = &facts.context.head.method;
            protobuf::bytes(out, NAME, method_name(method).as_bytes());
            let ended = attempt.end.as_ref().map_or(clock.now, |end| end.at);
            write_times(out, CLIENT, clock.at(attempt.begun), clock.at(ended));
            let mut attributes = SpanAttributes { out, terms };
            attributes.method(method);
            write_server(&mut attributes, facts, route, attempt);
            if number > 0 {
                attributes.number(Attribute::Resend, number as u64);
            }
            if let Some(end) = &attempt.end {
                write_end(&mut attributes, attempt, end);
                if is_error(end) {
                    write_error(out, end.detail.as_deref());
                }
            }
            let sampled = u32::from(trace.is_sampled());
            protobuf::fixed32(out, FLAGS, PARENT_IS_KNOWN | sampled);
        });
    }
}

/// Which server was asked for what.
fn write_server(
    attributes: &mut SpanAttributes<'_>,
    facts: &Facts,
    route: Option<&Route>,
    attempt: &TracedAttempt,
) {
    let Some(Action::Forward(forward)) = route.map(|it| &it.action) else { return };
    let upstream = &forward.group.upstream;
    attributes.text(Attribute::Upstream, upstream.name().as_bytes());
    let Some(member) = upstream.members().get(attempt.member as usize) else { return };
    let address = member.server.address();
    attributes.text(Attribute::Server, address.as_bytes());
    attributes.server(address);
    if !attributes.terms.excluded.contains(Attribute::FullUrl) {
        let asked = facts.traced.as_ref().and_then(|it| it.target.as_deref());
        let asked = asked.unwrap_or(facts.context.head.target.path_and_query());
        let secret = attributes.terms.excluded.contains(Attribute::Query);
        let asked = if secret { asked.split('?').next().unwrap_or_default() } else { asked };
        let scheme = if member.reach.means.tls.is_some() { "https" } else { "http" };
        let url = [scheme, "://", member.server.host(), asked].concat();
        attributes.text(Attribute::FullUrl, url.as_bytes());
    }
    attributes.text(
        Attribute::Connection,
        match attempt.way {
            Some(Way::Kept) => b"kept",
            Some(Way::Fresh) => b"new",
            Some(Way::Stale) => b"new after a closed one",
            None => b"",
        },
    );
}

fn write_end(attributes: &mut SpanAttributes<'_>, attempt: &TracedAttempt, end: &AttemptEnd) {
    attributes.text(Attribute::Outcome, end.outcome.name().as_bytes());
    attributes.millis(Attribute::ConnectTime, end.connect);
    attributes.millis(Attribute::TlsTime, end.tls);
    if let Some(head) = end.head {
        let opening = end.connect.unwrap_or_default() + end.tls.unwrap_or_default();
        attributes.millis(Attribute::FirstByteTime, Some(head.saturating_sub(opening)));
        let body = end.at.saturating_duration_since(attempt.begun + head);
        attributes.millis(Attribute::BodyTime, Some(body));
    }
    if let Some(status) = end.status {
        attributes.number(Attribute::Status, status.as_u16().into());
    }
    if is_error(end) {
        let by_status = end.status.filter(|_| is_answer(end.outcome));
        let kind = by_status.as_ref().map_or(end.outcome.name(), StatusCode::as_str);
        attributes.text(Attribute::ErrorType, kind.as_bytes());
    }
}

/// Whether the server has answered, and the answer was taken.
fn is_answer(outcome: AttemptOutcome) -> bool {
    matches!(outcome, AttemptOutcome::Success | AttemptOutcome::Status)
}

/// For who asks, a status from 400 on is an error.
fn is_error(end: &AttemptEnd) -> bool {
    !is_answer(end.outcome) || end.status.is_some_and(|it| it.as_u16() >= 400)
}
