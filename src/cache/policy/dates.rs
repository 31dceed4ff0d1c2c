//! HTTP-dates as Unix seconds.
//!
//! Owns: reading dates, and a `Date` where the server sent none. May touch: nothing outside this
//! room.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, header::DATE};

/// The last second of the year 9999, the last that an HTTP-date can write.
const LAST_SECOND: u64 = 253_402_300_799;

/// One date in Unix seconds, in any of the three forms of RFC 9110 §5.6.7.
pub(super) fn read(value: &HeaderValue) -> Option<u64> {
    let date = httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
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
