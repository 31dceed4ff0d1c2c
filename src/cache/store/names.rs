//! Field names that are stored as one byte.
//!
//! Owns: the list. May touch: nothing outside this room. The numbers are this process's own: they
//! are never written anywhere that outlives it.

/// Names of responses, as HTTP/2 writes them and as they are written otherwise. In order.
const KNOWN: [(&str, &str); 73] = [
    ("accept-ch", "Accept-CH"),
    ("accept-patch", "Accept-Patch"),
    ("accept-post", "Accept-Post"),
    ("accept-ranges", "Accept-Ranges"),
    ("access-control-allow-credentials", "Access-Control-Allow-Credentials"),
    ("access-control-allow-headers", "Access-Control-Allow-Headers"),
    ("access-control-allow-methods", "Access-Control-Allow-Methods"),
    ("access-control-allow-origin", "Access-Control-Allow-Origin"),
    ("access-control-expose-headers", "Access-Control-Expose-Headers"),
    ("access-control-max-age", "Access-Control-Max-Age"),
    ("age", "Age"),
    ("allow", "Allow"),
    ("alt-svc", "Alt-Svc"),
    ("cache-control", "Cache-Control"),
    ("cache-status", "Cache-Status"),
    ("cache-tag", "Cache-Tag"),
    ("cdn-cache-control", "CDN-Cache-Control"),
    ("content-disposition", "Content-Disposition"),
    ("content-encoding", "Content-Encoding"),
    ("content-language", "Content-Language"),
    ("content-length", "Content-Length"),
    ("content-location", "Content-Location"),
    ("content-range", "Content-Range"),
    ("content-security-policy", "Content-Security-Policy"),
    ("content-security-policy-report-only", "Content-Security-Policy-Report-Only"),
    ("content-type", "Content-Type"),
    ("cross-origin-embedder-policy", "Cross-Origin-Embedder-Policy"),
    ("cross-origin-opener-policy", "Cross-Origin-Opener-Policy"),
    ("cross-origin-resource-policy", "Cross-Origin-Resource-Policy"),
    ("date", "Date"),
    ("digest", "Digest"),
    ("etag", "ETag"),
    ("expect-ct", "Expect-CT"),
    ("expires", "Expires"),
    ("feature-policy", "Feature-Policy"),
    ("last-modified", "Last-Modified"),
    ("link", "Link"),
    ("location", "Location"),
    ("nel", "NEL"),
    ("origin-agent-cluster", "Origin-Agent-Cluster"),
    ("p3p", "P3P"),
    ("permissions-policy", "Permissions-Policy"),
    ("pragma", "Pragma"),
    ("priority", "Priority"),
    ("referrer-policy", "Referrer-Policy"),
    ("refresh", "Refresh"),
    ("report-to", "Report-To"),
    ("reporting-endpoints", "Reporting-Endpoints"),
    ("repr-digest", "Repr-Digest"),
    ("retry-after", "Retry-After"),
    ("server", "Server"),
    ("server-timing", "Server-Timing"),
    ("set-cookie", "Set-Cookie"),
    ("sourcemap", "SourceMap"),
    ("strict-transport-security", "Strict-Transport-Security"),
    ("surrogate-control", "Surrogate-Control"),
    ("surrogate-key", "Surrogate-Key"),
    ("timing-allow-origin", "Timing-Allow-Origin"),
    ("trailer", "Trailer"),
    ("vary", "Vary"),
    ("via", "Via"),
    ("www-authenticate", "WWW-Authenticate"),
    ("x-cache", "X-Cache"),
    ("x-content-type-options", "X-Content-Type-Options"),
    ("x-dns-prefetch-control", "X-DNS-Prefetch-Control"),
    ("x-frame-options", "X-Frame-Options"),
    ("x-permitted-cross-domain-policies", "X-Permitted-Cross-Domain-Policies"),
    ("x-powered-by", "X-Powered-By"),
    ("x-request-id", "X-Request-Id"),
    ("x-robots-tag", "X-Robots-Tag"),
    ("x-runtime", "X-Runtime"),
    ("x-ua-compatible", "X-UA-Compatible"),
    ("x-xss-protection", "X-XSS-Protection"),
];

/// The bit that says that the name is in small letters.
const SMALL: u8 = 0x80;

/// The number of a name, if it has one: its spelling is kept. Never 0.
pub(super) fn number(name: &[u8]) -> Option<u8> {
    let small = |byte: &u8| byte.to_ascii_lowercase();
    let at = KNOWN.binary_search_by(|(known, _)| known.bytes().cmp(name.iter().map(small))).ok()?;
    let number = at as u8 + 1;
    if KNOWN[at].1.as_bytes() == name {
        Some(number)
    } else {
        (KNOWN[at].0.as_bytes() == name).then_some(number | SMALL)
    }
}

/// The name of a number.
pub(super) fn name(number: u8) -> Option<&'static [u8]> {
    let (small, usual) = KNOWN.get(usize::from((number & !SMALL).checked_sub(1)?))?;
    Some(if number & SMALL == 0 { usual.as_bytes() } else { small.as_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_come_back() {
        assert!(KNOWN.is_sorted_by(|one, other| one.0 < other.0));
        for (small, usual) in KNOWN {
            for spelling in [small, usual] {
                let back = number(spelling.as_bytes()).and_then(name);
                assert_eq!(back, Some(spelling.as_bytes()));
            }
        }
        assert_eq!(number(b"cONTENT-tYPE"), None);
        assert_eq!(number(b"x-unknown"), None);
        assert_eq!((name(0), name(0x7f), name(0xff)), (None, None, None));
    }
}
