//! What the admin address answers with.
//!
//! Owns: the one type of an answer's body, and how an answer is made. A body that has no end, as
//! one of server-sent events, is an [`AdminBody`] too: `StreamBody::new(frames).boxed_unsync()`.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::Value;
use std::convert::Infallible;

/// The body of an answer: whole, or a stream.
pub(super) type AdminBody = UnsyncBoxBody<Bytes, Infallible>;

/// An answer.
pub(super) type AdminAnswer = Response<AdminBody>;

/// A JSON answer, indented for people.
pub(super) fn document(status: StatusCode, value: &Value) -> AdminAnswer {
    whole(status, "application/json", format!("{value:#}\n"))
}

/// A JSON answer that says what is wrong.
pub(super) fn refusal(status: StatusCode, error: &str) -> AdminAnswer {
    document(status, &serde_json::json!({ "error": error }))
}

/// Plain text.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> AdminAnswer {
    whole(status, "text/plain; charset=utf-8", text)
}

/// An answer of the type `kind` that is there as a whole.
pub(super) fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> AdminAnswer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// What keeps a browser from storing an answer, from guessing its type, and from showing it within the
/// page of another site. A handler may have set a field itself.
pub(super) fn harden(answer: &mut AdminAnswer) {
    let fields: [(HeaderName, &'static str); 6] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fields {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
}
