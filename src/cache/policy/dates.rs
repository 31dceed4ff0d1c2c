//! HTTP-dates as Unix seconds.
//!
//! Owns: reading dates, and a `Date` where the server sent none. May touch: nothing outside this
//! room.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header::DATE};

/// The last second of the year 9999, the last that an HTTP-date can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// One date in Unix seconds, in any of the three forms of RFC 9110 §5.6.7. Names of days, months and
/// the zone count in any case (RFC 9111 §4.2).
pub(super) fn read(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    let parse = httpdate::parse_http_date;
    let date = parse(text).or_else(|_| parse(&respelled(text))).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// A date with its words as the grammar has them: `Sun`, `Nov`, and `GMT`.
fn respelled(text: &str) -> String {
    let mut is_in_word = false;
    let spell = |it: char| {
        let spelled = if is_in_word { it.to_ascii_lowercase() } else { it.to_ascii_uppercase() };
        is_in_word = it.is_ascii_alphabetic();
        spelled
    };
    text.chars().map(spell).collect::<String>().replace("Gmt", "GMT")
}

/// The earliest of the dates in the lines of a field; those that cannot be read do not count.
pub(super) fn earliest(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get_all(name).iter().filter_map(read).min()
}

/// Gives a response that is to be stored or passed on a `Date` if it has none that can be read:
/// the time at which it came (RFC 9110 §6.6.1).
pub fn complete_date(headers: &mut HeaderMap, received: u64) {
    if earliest(headers, &DATE).is_some() {
        return;
    }
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(received.min(LAST_SECOND));
    if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(time)) {
        headers.insert(DATE, value);
    }
}
