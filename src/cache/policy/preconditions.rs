//! A client's own conditions, answered from the cache (RFC 9111 §4.3.2; RFC 9110 §13).
//!
//! Owns: whether the client has what is stored, and what a 304 says to it. May touch: nothing
//! outside this room. `If-Match` and `If-Unmodified-Since` are for servers only: a request with one
//! is forwarded.

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    },
};

use super::{
    dates,
    validation::{etag, is_weak, last_modified, only, opaque},
};

/// Whether only the server can answer: the conditions are about its state, not about a copy.
pub fn is_for_server(request: &HeaderMap) -> bool {
    request.contains_key(IF_MATCH) || request.contains_key(IF_UNMODIFIED_SINCE)
}

/// Whether a GET or HEAD is answered with 304, given that this stored response may be served.
/// `received` is when it came.
pub fn not_modified(
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    received: u64,
) -> bool {
    // RFC 9110 §13.2.1: conditions count only where the answer would else be 200.
    if status != StatusCode::OK {
        return false;
    }
    if request.contains_key(IF_NONE_MATCH) {
        return matches_any(request, etag(stored));
    }
    let asked = only(request, &IF_MODIFIED_SINCE).and_then(dates::read);
    // §4.3.2: without Last-Modified, the Date, or else the time at which it came.
    let changed = last_modified(stored).and_then(dates::read);
    let changed = changed.or_else(|| dates::earliest(stored, &DATE)).unwrap_or(received);
    asked.is_some_and(|asked| changed <= asked)
}

/// Whether `If-None-Match` has the stored tag, by weak comparison (RFC 9110 §13.1.2), or is `*`.
/// Reading ends at a mistake.
fn matches_any(request: &HeaderMap, stored: Option<&HeaderValue>) -> bool {
    request.get_all(IF_NONE_MATCH).iter().any(|line| {
        let mut rest = line.as_bytes();
        if rest.trim_ascii() == b"*" {
            return true;
        }
        while let Some((tag, tail)) = next_tag(rest) {
            if stored.is_some_and(|it| opaque(it.as_bytes()) == opaque(tag)) {
                return true;
            }
            rest = tail;
        }
        false
    })
}

/// The next entity tag of a list. A tag may contain a comma, so the list cannot be split at them.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|it| !matches!(it, b' ' | b'\t' | b','))?;
    let list = &list[start..];
    let text = opaque(list).strip_prefix(b"\"")?;
    let end = list.len() - text.len() + text.iter().position(|it| *it == b'"')? + 1;
    let tail = list[end..].trim_ascii_start();
    (tail.is_empty() || tail[0] == b',').then_some((&list[..end], tail))
}

/// Whether the range that a GET asks for may be cut from the stored response: there is no
/// `If-Range`, or it names just this response with a strong validator (RFC 9110 §13.1.5). If not,
/// the whole is sent.
pub fn range_applies(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(asked) = only(request, &IF_RANGE) else { return false };
    if let Some(asked) = dates::read(asked) {
        // §8.8.2.2: a date is strong if it is well before the response was made.
        let changed = last_modified(stored).and_then(dates::read);
        let made = dates::earliest(stored, &DATE);
        return changed == Some(asked) && made.is_some_and(|made| made > asked);
    }
    etag(stored).is_some_and(|it| !is_weak(it.as_bytes()) && it == asked)
}

/// What describes the content, which a 304 does not have. It would not be wrong, but clients may
/// update what they have with it (RFC 9110 §15.4.5).
const ABOUT_CONTENT: [HeaderName; 6] = [
    CONTENT_ENCODING,
    HeaderName::from_static("content-language"),
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HeaderName::from_static("content-digest"),
];

/// The fields of a 304 that stands for the stored response. `Age` and others are set as on a 200.
pub fn not_modified_fields(stored: &HeaderMap) -> HeaderMap {
    let mut fields = stored.clone();
    for name in ABOUT_CONTENT {
        fields.remove(name);
    }
    // The tag is enough, and Last-Modified is for those without one.
    if fields.contains_key(ETAG) {
        fields.remove(LAST_MODIFIED);
    }
    fields
}
