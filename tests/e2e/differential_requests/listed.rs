//! Where ours and hyper differ in requests, with why.

use crate::rig::reference::Message;
use std::net::Ipv6Addr;

/// Ours refuses what hyper takes: the request, our status, and all bytes in lower case.
pub type Is = fn(&Message, u16, &str) -> bool;

/// What, why, and how it is told.
pub const STRICTER: &[(&str, &str, Is)] = &[
    ("CONNECT", "RFC 9110 §9.3.6: for proxies that tunnel, which this is not", |it, status, _| {
        it.method == "CONNECT" && status == 405
    }),
    (
        "no Host in HTTP/1.1, or several",
        "RFC 9112 §3.2: a server MUST answer 400",
        |it, status, _| {
            let hosts = it.values("host").len();
            status == 400 && (hosts > 1 || hosts == 0 && !it.http10)
        },
    ),
    (
        "a Host that is none",
        "RFC 9112 §3.2: an invalid value MUST be answered with 400",
        |it, status, _| status == 400 && it.values("host").iter().any(|host| !is_host(host)),
    ),
    (
        "a target in another form",
        "RFC 9112 §3.2: 400 for what is neither a path nor http://HOST/",
        |it, status, _| {
            let scheme = it.scheme.as_deref().unwrap_or("http");
            let no_host = it.authority.as_ref().is_some_and(|it| !is_host(it));
            let no_path = !it.target.starts_with('/');
            status == 400 && (no_host || no_path || !matches!(scheme, "http" | "https"))
        },
    ),
    (
        "a path that can't be decoded, or leaves the root",
        "RFC 3986 §2.1, §5.2.4: what a route's pattern is compared with has to be certain",
        |it, status, _| {
            let path = it.target.split('?').next().unwrap_or_default();
            status == 400 && ["%", "..", "\\"].iter().any(|odd| path.contains(odd))
        },
    ),
    (
        "OPTIONS and TRACE at their last hop",
        "RFC 9110 §7.6.2: the recipient MUST NOT forward it, and answers",
        |it, status, _| {
            let is_traced = matches!(&*it.method, "OPTIONS" | "TRACE");
            is_traced
                && matches!(status, 200 | 204 | 405)
                && it.values("max-forwards").iter().any(|hops| hops == "0")
        },
    ),
    (
        "Content-Length beside Transfer-Encoding",
        "RFC 9112 §6.1: ought to be handled as an error, for it is how smuggling looks",
        // hyper takes the length away before we see it.
        |it, status, raw| {
            status == 400 && it.has("transfer-encoding") && raw.contains("content-length")
        },
    ),
    (
        "codings before chunked",
        "RFC 9112 §6.1: 501 for a coding that is not understood",
        |it, status, _| status == 501 && it.values("transfer-encoding").join(",").contains(','),
    ),
    (
        "chunked several times",
        "RFC 9112 §6.1: a sender MUST NOT apply it more than once",
        |it, status, _| {
            let codings = it.values("transfer-encoding").join(",").to_ascii_lowercase();
            status == 400 && codings.matches("chunked").count() > 1
        },
    ),
    (
        "a bare LF in the trailer section",
        "RFC 9112 §7.1: its lines end with CR LF, and what reads after us may hold us to that",
        |it, status, raw| {
            let mut ends = raw.match_indices('\n');
            status == 400
                && it.has("transfer-encoding")
                && ends.any(|(at, _)| !raw[..at].ends_with('\r'))
        },
    ),
    (
        "a length of more than nineteen digits",
        "RFC 9110 §8.6, RFC 9112 §7.1: no overflow; who needs zeros in front hides something",
        |it, status, raw| {
            let zeros = "0".repeat(14);
            let length = it.values("content-length").iter().any(|it| it.starts_with(&zeros));
            status == 400 && (length || it.has("transfer-encoding") && raw.contains(&zeros))
        },
    ),
];

fn is_host(host: &str) -> bool {
    let split = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (is_name, port) = if let Some((address, port)) = split {
        (address.parse::<Ipv6Addr>().is_ok(), port)
    } else {
        let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
        let is_valid = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b);
        (!name.is_empty() && name.bytes().all(is_valid), port)
    };
    let is_port = |it: &str| it.len() <= 5 && it.bytes().all(|b| b.is_ascii_digit());
    is_name && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}
