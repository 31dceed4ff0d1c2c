//! Where ours and hyper differ in responses, with why.

use crate::rig::reference::Message;

/// What hyper saw, what came through, and all bytes in lower case.
type Is = fn(&Message, &Message, &str) -> bool;

/// Ours refuses what hyper takes: what, why, and how it is told.
pub const STRICTER: &[(&str, &str, Is)] = &[
    (
        "101 that nobody asked for",
        "RFC 9110 §7.8: a server MUST NOT switch to a protocol that the client did not name",
        |it, _, _| it.status == 101,
    ),
    (
        "a transfer coding other than chunked",
        "RFC 9112 §6.1: a recipient that does not understand it can't know the content",
        |it, _, _| {
            let codings = it.values("transfer-encoding").join(",");
            !codings.trim().eq_ignore_ascii_case("chunked")
        },
    ),
    (
        "a list of equal lengths in one field",
        "RFC 9112 §6.3: the recipient MAY reject it or take it for one",
        |it, _, _| it.values("content-length").iter().any(|length| length.contains(',')),
    ),
    (
        "a Content-Length that is none beside chunked",
        "RFC 9112 §6.3: Transfer-Encoding wins, but such a message ought to be handled as an error",
        |it, _, _| it.has("transfer-encoding") && it.has("content-length"),
    ),
    (
        "a bare LF in the trailer section",
        "RFC 9112 §7.1: its lines end with CR LF, and what reads after us may hold us to that",
        |it, _, raw| {
            let mut ends = raw.match_indices('\n');
            it.has("transfer-encoding") && ends.any(|(at, _)| !raw[..at].ends_with('\r'))
        },
    ),
    (
        "a length of more than nineteen digits",
        "RFC 9110 §8.6, RFC 9112 §7.1: no overflow; who needs zeros in front hides something",
        |_, _, raw| raw.contains(&"0".repeat(14)),
    ),
];

/// Ours takes what hyper refuses.
pub const LAXER: &[(&str, &str, Is)] = &[];
