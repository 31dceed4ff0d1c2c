//! A request's place in a trace.
//!
//! Owns: where it is, and whether it is recorded. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::observe`]. Next: [`super::spans`] tells of it.

use super::{facts::Facts, traced::TracedAttempt};
use crate::{
    http1::{fields::Fields, request::Head},
    message::{
        request_id::RequestIds,
        trace_context::{TRACEPARENT, TRACESTATE, TraceContext, TraceParent},
    },
    observe::trace_terms::TraceTerms,
};
use smallvec::SmallVec;
use std::time::Instant;

/// Gives a request its place in a trace.
pub(super) fn begin(terms: &TraceTerms, ids: &RequestIds, facts: &mut Facts) {
    let context = &mut facts.context;
    let parent = parent(&mut context.head);
    let mut trace = TraceContext::begin(parent, &context.id, ids);
    if parent.is_none() {
        trace.set_sampled(terms.sampler.takes(trace.chance()));
    }
    if trace.is_sampled() || !terms.always.is_empty() {
        facts.traced = Some(Box::default());
    }
    context.trace = Some(Box::new(trace));
}

/// The caller's word. Without a valid one, a `tracestate` means nothing, and no server gets it (W3C
/// Trace Context §3.3 and §4.3).
fn parent(head: &mut Head) -> Option<TraceParent> {
    let Head { present, fields, .. } = head;
    let mut parent = None;
    if present.trace_parent {
        let values: SmallVec<[&[u8]; 2]> = fields.values(&TRACEPARENT).collect();
        parent = if let [value] = values[..] { TraceParent::read(value) } else { None };
    }
    if parent.is_none() && present.trace_state {
        fields.map().remove(TRACESTATE);
    }
    parent
}

/// An attempt begins: its server gets its span as the parent.
pub(super) fn begin_attempt(facts: &mut Facts, ids: &RequestIds, begun: Instant) {
    let Some(trace) = &mut facts.context.trace else { return };
    trace.attempt = ids.span();
    if let Some(traced) = &mut facts.traced {
        let (span, member) = (trace.attempt, facts.member.unwrap_or_default());
        traced.attempts.push(TracedAttempt { span, member, begun, way: None, end: None });
    }
}

/// Keeps the response's fields that are told.
pub(super) fn note_response(facts: &mut Facts, terms: &TraceTerms, fields: &mut Fields) {
    let Some(traced) = &mut facts.traced else { return };
    if terms.response_fields.is_empty() {
        return;
    }
    let told = fields.map().iter().filter(|(name, _)| terms.response_fields.contains(name));
    traced.response_fields =
        told.map(|(name, value)| (name.clone(), value.as_bytes().into())).collect();
}
