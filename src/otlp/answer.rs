//! What a collector says to an export.
//!
//! Owns: `ExportTraceServiceResponse`, its counterpart for metrics, and what a status means. May
//! touch: [`crate::protobuf`].

use crate::protobuf::{WireValue, fields};
use http::{HeaderMap, StatusCode, header};
use std::time::{Duration, SystemTime};

/// What became of an export.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExportVerdict {
    /// The collector has it, except for some.
    Taken {
        /// How many spans or data points it did not take.
        rejected: u64,
        /// Why, or a warning.
        words: String,
    },
    /// It may be sent again.
    Later {
        /// Why it was not taken.
        words: String,
        /// When, if the collector says so.
        after: Option<Duration>,
    },
    /// It would be refused again.
    Refused(String),
}

/// No collector means more: it would keep us from noticing that it is back.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// So much of a collector's words goes into the log.
const WORDS: usize = 300;

/// What an answer means (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response").
pub(super) fn judge(
    status: StatusCode,
    head: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> ExportVerdict {
    let answered = |words: &str| match words {
        "" => format!("it answered {}", status.as_u16()),
        words => format!("it answered {}: {words}", status.as_u16()),
    };
    match status.as_u16() {
        200..=299 => {
            let (rejected, words) = partial(body);
            ExportVerdict::Taken { rejected, words }
        }
        429 | 502 | 503 | 504 => {
            let after = head.get(header::RETRY_AFTER).and_then(|it| it.to_str().ok());
            let after = after.and_then(|text| retry_after(text, now));
            ExportVerdict::Later { words: answered(&words(head, body)), after }
        }
        _ => ExportVerdict::Refused(answered(&words(head, body))),
    }
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

/// `partial_success`: how many were rejected, and why.
fn partial(body: &[u8]) -> (u64, String) {
    let (mut rejected, mut words) = (0, String::new());
    let partial = fields(body).find_map(|(field, value)| match value {
        WireValue::Bytes(bytes) if field == 1 => Some(bytes),
        _ => None,
    });
    for (field, value) in fields(partial.unwrap_or_default()) {
        match (field, value) {
            (1, WireValue::Number(number)) => rejected = number,
            (2, WireValue::Bytes(bytes)) => words = readable(bytes),
            _ => {}
        }
    }
    (rejected, words)
}

/// The message of a `google.rpc.Status`, or the beginning of a text.
fn words(head: &HeaderMap, body: &[u8]) -> String {
    let kind = head.get(header::CONTENT_TYPE).map_or(&b""[..], |it| it.as_bytes());
    if !kind.starts_with(b"application/x-protobuf") {
        return readable(body);
    }
    let message = fields(body).find_map(|(field, value)| match value {
        WireValue::Bytes(bytes) if field == 2 => Some(bytes),
        _ => None,
    });
    readable(message.unwrap_or_default())
}

/// On one line, and not too long.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(WORDS)]);
    let text = text.replace(|it: char| it.is_control(), " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{bytes, message, number};
    use http::HeaderValue;
    use proptest::prelude::*;

    fn judged(status: u16, fields: &[(&'static str, &str)], body: &[u8]) -> ExportVerdict {
        let head = fields.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (http::HeaderName::from_static(name), value)
        });
        let status = StatusCode::from_u16(status).expect("a status");
        judge(status, &head.collect(), body, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn answers_and_what_they_mean() {
        let taken = |rejected, words: &str| ExportVerdict::Taken { rejected, words: words.into() };
        assert_eq!(judged(200, &[], b""), taken(0, ""));
        let mut body = Vec::new();
        message(&mut body, 1, |out| {
            number(out, 1, 7);
            bytes(out, 2, b"too old");
        });
        assert_eq!(judged(200, &[], &body), taken(7, "too old"));
        let later = |words: &str, after: Option<u64>| ExportVerdict::Later {
            words: words.into(),
            after: after.map(Duration::from_secs),
        };
        assert_eq!(judged(503, &[], b""), later("it answered 503", None));
        let wait = [("retry-after", "7")];
        assert_eq!(judged(429, &wait, b"slow\ndown"), later("it answered 429: slow down", Some(7)));
        let date = [("retry-after", "Thu, 01 Jan 1970 00:00:09 GMT")];
        assert_eq!(judged(503, &date, b""), later("it answered 503", Some(9)));
        let long = [("retry-after", "99999999")];
        assert_eq!(judged(503, &long, b""), later("it answered 503", Some(300)));
        let mut status = Vec::new();
        number(&mut status, 1, 3);
        bytes(&mut status, 2, b"no spans");
        let kind = [("content-type", "application/x-protobuf")];
        assert_eq!(
            judged(400, &kind, &status),
            ExportVerdict::Refused("it answered 400: no spans".into())
        );
        assert_eq!(judged(404, &[], b""), ExportVerdict::Refused("it answered 404".into()));
    }

    proptest! {
        #[test]
        fn any_answer_is_read(
            status in 100u16..600,
            body in proptest::collection::vec(any::<u8>(), 0..400),
            wait in "[ -~]{0,40}",
        ) {
            judged(status, &[("retry-after", &wait), ("content-type", "application/x-protobuf")], &body);
        }
    }
}
