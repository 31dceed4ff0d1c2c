//! What gRPC says in fields and trailers
//! (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
//!
//! Owns: its content type, its deadlines, its statuses. May touch: nothing outside this room.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::time::Duration;

/// How long the client waits.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// A call's status.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The same in words.
pub const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Characters that `grpc-message` must have escaped.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// The call was cancelled.
pub const CANCELLED: u8 = 1;
/// The deadline was over.
pub const DEADLINE_EXCEEDED: u8 = 4;
/// Something is used up, or too large.
pub const RESOURCE_EXHAUSTED: u8 = 8;
/// Something is broken.
pub const INTERNAL: u8 = 13;
/// The call may be tried again.
pub const UNAVAILABLE: u8 = 14;

/// How long the client waits: up to eight digits and a unit.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The gRPC status for an HTTP status of our own (doc/http-grpc-status-mapping.md, except where we
/// know more).
pub fn status_of(status: StatusCode) -> u8 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 | 405 | 501 => 12,
        408 => CANCELLED,
        413 | 431 => RESOURCE_EXHAUSTED,
        504 => DEADLINE_EXCEEDED,
        429 | 502 | 503 => UNAVAILABLE,
        _ => INTERNAL,
    }
}

/// A call's status among these fields or trailers.
pub fn status_in(fields: &HeaderMap) -> Option<u8> {
    fields.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// The fields that end a call: in trailers, or in the head of an answer without a body.
pub fn ending(status: u8, message: &str) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(3);
    fields.insert(GRPC_STATUS, u16::from(status).into());
    let message = utf8_percent_encode(message, ESCAPED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        fields.insert(GRPC_MESSAGE, message);
    }
    fields
}

/// The same for an answer without a body.
pub fn answer(status: u8, message: &str) -> HeaderMap {
    let mut fields = ending(status, message);
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines() {
        let millis = |text: &str| timeout(text.as_bytes()).map(|it| it.as_millis());
        assert_eq!(millis("1H"), Some(3_600_000));
        assert_eq!(
            (millis("2M"), millis("3S"), millis("4m")),
            (Some(120_000), Some(3000), Some(4))
        );
        assert_eq!((millis("5000u"), millis("6000000n")), (Some(5), Some(6)));
        assert_eq!(millis("99999999H"), Some(359_999_996_400_000));
        for bad in ["", "S", "1", "1s", "123456789S", "-1S", "1.5S", " 1S"] {
            assert_eq!(millis(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn messages_are_escaped() {
        let fields = ending(UNAVAILABLE, "100 % \n ü");
        assert_eq!(fields[GRPC_STATUS], "14");
        assert_eq!(fields[GRPC_MESSAGE], "100 %25 %0A %C3%BC");
        assert_eq!(status_in(&fields), Some(14));
    }
}
