//! Validation: asking whether a stored response is still good (RFC 9111 §4.3).
//!
//! Owns: the conditions, and what a 304 or a HEAD changes in what is stored. May touch: nothing
//! outside this room.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE,
    },
};

use super::{dates, fields::stored_fields};

/// The only line of a field.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// An entity tag by the grammar (RFC 9110 §8.8.3); there can be only one.
pub(super) fn etag(headers: &HeaderMap) -> Option<&HeaderValue> {
    let tag = only(headers, &ETAG)?;
    let text = opaque(tag.as_bytes()).strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_in = |it: &u8| matches!(it, b'!' | b'#'..=b'~' | 0x80..);
    text.iter().all(is_in).then_some(tag)
}

/// A tag without its mark of weakness (RFC 9110 §8.8.3.2).
pub(super) fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

pub(super) fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

/// The date of the last change, where it is a date.
pub(super) fn last_modified(headers: &HeaderMap) -> Option<&HeaderValue> {
    only(headers, &LAST_MODIFIED).filter(|it| dates::read(it).is_some())
}

/// The conditions that ask whether the stored response is still good (§4.3.1). They take the place
/// of the client's own; there are none if there is nothing to validate with.
pub fn conditions(stored: &HeaderMap) -> [Option<(HeaderName, HeaderValue)>; 2] {
    [
        etag(stored).map(|it| (IF_NONE_MATCH, it.clone())),
        last_modified(stored).map(|it| (IF_MODIFIED_SINCE, it.clone())),
    ]
}

/// Whether a 304 is about the stored response (§4.3.4), given that the request had its
/// [`conditions`] and no others.
///
/// Two points are less strict than the letter, as only one stored response was asked about. A 304
/// without validators can only mean that one. And where a weak tag is stored, a strong one with the
/// same text will do: servers that compress weaken the tag of a 200, but not that of a 304.
/// [`update`] keeps the weak one then.
pub fn freshens(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    match (etag(stored), etag(not_modified)) {
        (Some(old), Some(new)) => return opaque(old.as_bytes()) == opaque(new.as_bytes()),
        // A strong validator that is not stored: it is about another response.
        (None, Some(new)) if !is_weak(new.as_bytes()) => return false,
        _ => {}
    }
    match (last_modified(stored), last_modified(not_modified)) {
        (Some(old), Some(new)) => dates::read(old) == dates::read(new),
        (None, Some(_)) => false,
        (_, None) => etag(not_modified).is_none(),
    }
}

/// Fields of a 304 that do not replace the stored ones: they describe its own content, which is
/// empty, or what is stored depends on them (§3.2).
const NOT_UPDATED: [HeaderName; 5] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
];

/// The stored fields as a 304 changes them (§3.2, §4.3.4), ready to be stored.
///
/// A `Set-Cookie` of the 304 is for the client that caused it, and is never stored. The stored
/// `ETag` stays, as it is for the stored bytes. A `Date` that the 304 lacks is gone, so that the
/// response counts as made when the 304 came.
pub fn update(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    let mut updated = stored.clone();
    updated.remove(DATE);
    let new = stored_fields(not_modified);
    for name in new.keys() {
        let stays = NOT_UPDATED.contains(name)
            || *name == SET_COOKIE
            || *name == ETAG && etag(stored).is_some();
        if stays {
            continue;
        }
        updated.remove(name);
        for value in new.get_all(name) {
            updated.append(name.clone(), value.clone());
        }
    }
    // What the new directives leave out goes from the old fields too.
    stored_fields(&updated)
}
