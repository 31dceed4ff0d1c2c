//! The head of a response whose coding we change.
//!
//! Owns: the edits. May touch: [`crate::http1`], [`crate::settings`]. Called by [`super::apply`].

use crate::{http1::request::tokens, settings::Coding};
use http::{HeaderMap, HeaderValue, header};

/// What is true of other bytes than those that are sent now: their number, parts of them, and their
/// digests (RFC 9110 §8.6, §14.3; RFC 9530; RFC 3230; RFC 1864).
const ABOUT_THE_BYTES: [&str; 6] =
    ["content-length", "accept-ranges", "content-digest", "content-md5", "digest", "repr-digest"];

/// The response's coding is now this one, or none.
pub(super) fn coded(headers: &mut HeaderMap, coding: Option<Coding>) {
    match coding {
        Some(coding) => {
            let name = HeaderValue::from_static(coding.name());
            headers.insert(header::CONTENT_ENCODING, name);
        }
        None => {
            headers.remove(header::CONTENT_ENCODING);
        }
    }
    drop_digests(headers);
    weaken(headers);
}

/// Also of trailers.
pub(super) fn drop_digests(headers: &mut HeaderMap) {
    for name in ABOUT_THE_BYTES {
        headers.remove(name);
    }
}

/// The same content in other bytes has no strong validator in common (RFC 9110 §8.8.1).
pub(super) fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG) else { return };
    let tag = tag.as_bytes();
    if tag.starts_with(b"W/") {
        return;
    }
    let weak = [b"W/", tag].concat();
    match HeaderValue::from_bytes(&weak) {
        Ok(weak) if tag.starts_with(b"\"") => drop(headers.insert(header::ETAG, weak)),
        // It was none.
        _ => drop(headers.remove(header::ETAG)),
    }
}

/// Another client may get it in another coding (RFC 9110 §12.5.5).
pub(super) fn vary(headers: &mut HeaderMap) {
    let mut told = headers.get_all(header::VARY).iter();
    let is_told = told.any(|value| {
        let is_ours = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
        tokens(value.as_bytes()).any(is_ours)
    });
    if !is_told {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// Whether events come by it now and then (HTML §9.2), for hours.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        value.as_bytes().get(..17).is_some_and(|it| it.eq_ignore_ascii_case(b"text/event-stream"))
    })
}
