//! `Age`: how old a response was when it came, and how old it is now (RFC 9111 §4.2.3, §5.1).
//!
//! Owns: the field and the calculation. May touch: nothing outside this room.

use http::{
    HeaderMap,
    header::{AGE, DATE},
};

use super::{
    Times, dates,
    list::{MAX_SECONDS, seconds},
};

/// The value of `Age` (§5.1). Of a list, or of several lines, the first member counts; if that is
/// not a number, the field is ignored.
fn age_value(response: &HeaderMap) -> u32 {
    let first = response.get(AGE).and_then(|it| it.as_bytes().split(|it| *it == b',').next());
    first.and_then(|it| seconds(it.trim_ascii())).unwrap_or(0)
}

/// How old the response was when it came: `corrected_initial_age` (§4.2.3). A `Date` that is
/// missing, cannot be read or is in the future makes it no older.
pub(super) fn initial_age(response: &HeaderMap, times: Times) -> u32 {
    let date = dates::earliest(response, &DATE).unwrap_or(times.received);
    let apparent_age = clamp(times.received.saturating_sub(date));
    let response_delay = clamp(times.received.saturating_sub(times.requested));
    let corrected_age_value = age_value(response).saturating_add(response_delay).min(MAX_SECONDS);
    apparent_age.max(corrected_age_value)
}

/// Seconds, at most [`MAX_SECONDS`] (§1.2.2).
pub(super) fn clamp(seconds: u64) -> u32 {
    seconds.min(u64::from(MAX_SECONDS)) as u32
}
