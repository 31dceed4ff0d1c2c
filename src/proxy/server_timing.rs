//! `Server-Timing`: where the time went until the answer's head, for browsers and other clients.
//!
//! Owns: the field's value (W3C Server Timing). May touch: [`crate::message`].
//! Only routes that ask for it have it: it tells strangers how the servers behave.

use super::facts::Facts;
use crate::message::{answer::Answer, body::Body};
use http::{HeaderName, HeaderValue};
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Adds the field beside the server's own, whose times are part of `first_byte`.
pub(super) fn add(facts: &Facts, answer: &mut Answer<Body>) {
    let now = Instant::now();
    let times = facts.phases(now);
    let mut value = String::with_capacity(96);
    metric(&mut value, "sheave", now.saturating_duration_since(facts.context.started));
    // The body and what the client takes of it are still to come.
    for (name, time) in &times.named()[..4] {
        if let Some(time) = time {
            value.push_str(", ");
            metric(&mut value, name, *time);
        }
    }
    if let Some(cache) = facts.cache {
        // Writing to a string can't fail.
        let _ = write!(value, ", cache;desc={cache}");
    }
    if let Ok(value) = HeaderValue::try_from(value) {
        answer.fields.map().append(SERVER_TIMING, value);
    }
}

/// In milliseconds, with the microseconds after the point.
fn metric(value: &mut String, name: &str, time: Duration) {
    let micros = time.as_micros();
    // Writing to a string can't fail.
    let _ = write!(value, "{name};dur={}.{:03}", micros / 1000, micros % 1000);
}
