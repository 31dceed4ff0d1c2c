//! Which fields of a response are stored (RFC 9111 §3.1).
//!
//! Owns: the fields that must not be kept. May touch: nothing outside this room.

use http::{
    HeaderMap, HeaderName,
    header::{
        AGE, CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE,
    },
};

use super::{
    directives::{has_field_names, visit},
    list::Argument,
    needed::is_needed,
};

/// Fields for one connection or one proxy only, and `Age`, which is kept as a number.
const NEVER_STORED: [HeaderName; 11] = [
    AGE,
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The fields to store.
pub fn stored_fields(response: &HeaderMap) -> HeaderMap {
    let mut stored = response.clone();
    let mut remove = |name: &[u8]| {
        if let Ok(name) = HeaderName::from_bytes(name) {
            stored.remove(name);
        }
    };
    for name in &NEVER_STORED {
        remove(name.as_str().as_bytes());
    }
    // §3.1, RFC 9110 §7.6.1: those that Connection names.
    let lines = response.get_all(CONNECTION).iter();
    let named = lines.flat_map(|it| it.as_bytes().split(|it| *it == b','));
    named.map(<[u8]>::trim_ascii).filter(|it| !is_needed(it)).for_each(&mut remove);
    visit_left_out(response, &mut remove);
    stored
}

/// Calls `take` with every field that `no-cache` or `private` names (§5.2.2.4, §5.2.2.7).
pub(super) fn visit_left_out(response: &HeaderMap, take: &mut dyn FnMut(&[u8])) {
    visit(response, &mut |name: &[u8], argument: Argument<'_>| {
        if has_field_names(name) {
            let names = argument.field_names().into_iter().flatten();
            names.filter(|it| !is_needed(it)).for_each(&mut *take);
        }
    });
}

/// Whether `no-cache` or `private` names this field.
pub(super) fn is_left_out(response: &HeaderMap, field: &HeaderName) -> bool {
    let mut found = false;
    visit_left_out(response, &mut |name| {
        found |= name.eq_ignore_ascii_case(field.as_str().as_bytes());
    });
    found
}
