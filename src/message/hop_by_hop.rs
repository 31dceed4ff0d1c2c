//! Fields that are for one connection only (RFC 9110 §7.6.1).
//!
//! Owns: the fields that `Connection` names, and others that must not pass. May touch:
//! [`crate::http1`].

use crate::http1::{
    known::{Known, is_hop_by_hop, known},
    request::tokens,
};
use http::{HeaderMap, HeaderName, header};
use std::sync::Arc;

/// Fields that a client must not be able to remove by naming them in `Connection`, because servers
/// trust them (as in CVE-2021-32813).
fn is_protected(name: &str) -> bool {
    matches!(
        name,
        "host" | "authorization" | "cookie" | "via" | "forwarded" | "content-length" | "x-real-ip"
    ) || name.starts_with("x-forwarded-")
        || known(name.as_bytes()) == Some(Known::Claim)
}

/// Removes the fields that `Connection` names. Those of [`is_hop_by_hop`] stay: the writer of the
/// head skips them anyway.
pub fn remove_nominated(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .into_iter()
        .flat_map(|value| tokens(value.as_bytes()))
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .filter(|name| !is_protected(name.as_str()))
        .collect();
    for name in nominated {
        if name != header::CONNECTION && !is_hop_by_hop(name.as_str().as_bytes()) {
            headers.remove(name);
        }
    }
}

/// Removes fields in which a client could claim an address, a scheme or a host. This is done before
/// the route's edits, like [`remove_ambiguous`].
pub fn remove_claims(headers: &mut HeaderMap) {
    let is_claim = |name: &&HeaderName| known(name.as_str().as_bytes()) == Some(Known::Claim);
    let claims: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// Removes fields with a `_` in their name. Servers that read fields as CGI-like variables can't
/// tell `a_b` from `a-b`, so a client could forge what only we may set. This is done before the
/// route's edits, which may name such fields if they must.
pub fn remove_ambiguous(headers: &mut HeaderMap) {
    let is_ambiguous =
        |name: &&HeaderName| memchr::memchr(b'_', name.as_str().as_bytes()).is_some();
    let ambiguous: Vec<HeaderName> = headers.keys().filter(is_ambiguous).cloned().collect();
    for name in ambiguous {
        headers.remove(name);
    }
}

/// The fields that a route's edits name; mostly there are none. A single pointer, because every
/// request has it.
pub type EditedNames = Option<Arc<Vec<HeaderName>>>;

/// Fields that say how a message is to be understood or handled (RFC 9110 §6.5.1). In a trailer,
/// after the body, they come too late. `X-Request-Id` is ours.
fn is_for_heads(name: &str) -> bool {
    matches!(
        name,
        "age"
            | "cache-control"
            | "content-encoding"
            | "content-range"
            | "content-type"
            | "date"
            | "expect"
            | "expires"
            | "location"
            | "max-forwards"
            | "pragma"
            | "range"
            | "retry-after"
            | "set-cookie"
            | "trailer"
            | "vary"
            | "www-authenticate"
            | "x-request-id"
    ) || name.starts_with("if-")
        || name.starts_with("proxy-")
}

/// Trailers without the fields that must not come so late. A server may merge trailers into the
/// head, so a trailer must not bring in a field that would not pass in the head, or that the
/// route's edits name.
pub fn end_to_end(mut trailers: HeaderMap, edited: &EditedNames) -> HeaderMap {
    let late: Vec<_> = trailers
        .keys()
        .filter(|field| {
            let name = field.as_str();
            is_hop_by_hop(name.as_bytes())
                || is_protected(name)
                || is_for_heads(name)
                || name.contains('_')
                || edited.as_ref().is_some_and(|it| it.contains(field))
        })
        .cloned()
        .collect();
    for name in late {
        trailers.remove(name);
    }
    trailers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn nominated_fields_go_and_protected_ones_stay() {
        let mut map = headers(&[
            ("connection", "close, X-Mine,x-forwarded-for"),
            ("connection", "x-other"),
            ("x-mine", "1"),
            ("x-other", "2"),
            ("x-forwarded-for", "3"),
            ("x-stays", "4"),
        ]);
        remove_nominated(&mut map);
        assert!(!map.contains_key("x-mine") && !map.contains_key("x-other"));
        assert!(map.contains_key("x-forwarded-for") && map.contains_key("x-stays"));
    }

    #[test]
    fn names_with_an_underscore_go() {
        let mut map = headers(&[("x_a", "1"), ("x-a", "2"), ("x_b", "3")]);
        remove_ambiguous(&mut map);
        assert_eq!(map.len(), 1);
        assert!(map.contains_key("x-a"));
    }
}
