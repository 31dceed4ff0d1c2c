//! An answer's head, just before it goes to the client.
//!
//! Owns: what is kept of it for logs, counters and traces. May touch: [`crate::message`]. Called by
//! [`super::handle`] for every answer.

use super::{record::Record, server_timing, trace};
use crate::message::{answer::Answer, body::Body};
use http::HeaderName;

/// A log or a trace may keep some of its fields; a route may tell where the time went.
pub(super) fn note(record: &mut Record, answer: &mut Answer<Body>) {
    let Record { snapshot, facts, .. } = record;
    if let Some(terms) = &snapshot.tracing {
        trace::note_response(facts, terms, &mut answer.fields);
    }
    if facts.route.is_some_and(|it| snapshot.route(it).server_timing) {
        server_timing::add(facts, answer);
    }
    if !snapshot.noted_fields.is_empty() {
        let value = |name: &HeaderName| Some((name.clone(), answer.fields.first(name)?.into()));
        facts.response_fields = snapshot.noted_fields.iter().filter_map(value).collect();
    }
}
