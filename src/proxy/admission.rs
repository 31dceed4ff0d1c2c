//! The rules for a request's head, checked before anything else is done with it.
//!
//! Owns: `Host`, target and framing rules (RFC 9110 §7, RFC 9112 §3). May touch: [`crate::http1`],
//! [`crate::message`], [`crate::snapshot`], [`crate::tls`]. First step of [`super::handle`].

use super::refusal::Refusal;
use crate::{
    http1::{
        lexer::{end_of, letters_digits_and},
        request::Head,
        request_head::decimal,
    },
    message::context::Context,
    snapshot::ListenerParts,
    tls::Certificates,
};
use http::{HeaderValue, Method, StatusCode, Version, header};
use std::net::Ipv6Addr;

/// The characters of a registered name, with sub-delimiters and escapes.
const NAME: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,;=%");

/// Checks the head. Afterwards there is exactly one `Host`, whatever form the target has. Only an
/// HTTP/1.0 client need not send one.
pub fn admit(
    context: &mut Context,
    framed_twice: bool,
    listener: &ListenerParts,
) -> Result<(), Refusal> {
    if context.head.method == Method::CONNECT {
        // We are no forward proxy. The bytes that follow would belong to the tunnel, so the
        // connection ends.
        return Err(Refusal {
            close: true,
            ..Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "connect_refused")
        });
    }
    if context.head.present.padded {
        // RFC 9113 §8.1.1 allows an answer before the stream ends.
        return Err(Refusal::malformed("field_padded"));
    }
    transfer_codings(context, framed_twice)?;
    if context.head.target.path_and_query().len() > listener.limits.request_line {
        return Err(Refusal::new(StatusCode::URI_TOO_LONG, "target_too_long"));
    }
    // HTTP/1 fields are counted as they are read. In HTTP/2 there may be many cookie fields.
    if let Some(fields) = context.head.fields.as_map()
        && fields.len() > listener.limits.headers
    {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal::new(status, "too_many_headers"));
    }
    host(context)
}

/// RFC 9112 §6.1: only a single `chunked`. We would have to undo any other coding (§7).
fn transfer_codings(context: &Context, framed_twice: bool) -> Result<(), Refusal> {
    let Head { fields, present, .. } = &context.head;
    if !present.transfer_encoding {
        return Ok(());
    }
    if framed_twice {
        // RFC 9112 §6.1: this may be an attack.
        return Err(Refusal::malformed("length_and_chunked"));
    }
    let mut times = 0;
    for coding in fields.tokens(&header::TRANSFER_ENCODING) {
        if !coding.eq_ignore_ascii_case(b"chunked") {
            let refusal = Refusal::new(StatusCode::NOT_IMPLEMENTED, "transfer_coding_unknown");
            return Err(Refusal { close: true, ..refusal });
        }
        times += 1;
    }
    if times == 1 { Ok(()) } else { Err(Refusal::malformed("chunked_repeated")) }
}

/// RFC 9112 §3.2: exactly one valid `Host`; a target in absolute form overrides it (§3.2.2).
fn host(context: &mut Context) -> Result<(), Refusal> {
    let Head { target, fields, version, present, .. } = &mut context.head;
    if present.hosts > 1 {
        return Err(Refusal::malformed("host_repeated"));
    }
    let first = (present.hosts == 1).then_some(target.host());
    if let Some(authority) = target.authority() {
        // Without a scheme the target has CONNECT's form (RFC 9112 §3.2.3).
        if !target.is_web() {
            return Err(Refusal::malformed("target_invalid"));
        }
        match first {
            None if *version == Version::HTTP_11 => {
                return Err(Refusal::malformed("host_missing"));
            }
            Some(host) if *version == Version::HTTP_2 && !host.eq_ignore_ascii_case(authority) => {
                // RFC 9113 §8.3.1: they must not differ.
                return Err(Refusal::malformed("host_differs"));
            }
            _ => {}
        }
        if ![authority].into_iter().chain(first).all(|it| is_host(it.as_bytes())) {
            return Err(Refusal::malformed("host_invalid"));
        }
        if first != Some(authority) {
            let value = HeaderValue::from_str(authority);
            let value = value.map_err(|_| Refusal::malformed("host_invalid"))?;
            fields.map().insert(header::HOST, value);
            target.take_authority_for_host();
        }
        return Ok(());
    }
    match first {
        Some(host) if is_host(host.as_bytes()) => Ok(()),
        Some(_) => Err(Refusal::malformed("host_invalid")),
        None if *version == Version::HTTP_10 => Ok(()),
        None => Err(Refusal::malformed("host_missing")),
    }
}

/// `host` or `host:port` (RFC 3986 §3.2.2).
fn is_host(host: &[u8]) -> bool {
    let (name, port) = if host.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', host) else { return false };
        let address = std::str::from_utf8(&host[1..end]).unwrap_or_default();
        if address.parse::<Ipv6Addr>().is_err() {
            return false;
        }
        (&host[..=end], &host[end + 1..])
    } else {
        host.split_at(end_of(host, &NAME))
    };
    let port_is_valid = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5 && decimal(digits).is_some_and(|port| port <= u16::MAX.into())
        }
        _ => false,
    };
    !name.is_empty() && port_is_valid
}

/// RFC 9110 §7.4: 421 if the connection's certificate does not cover the host.
pub fn is_misdirected(context: &Context, host: &str, certificates: &Certificates) -> bool {
    let secured = context.peer.secured.as_deref();
    let Some(sni) = secured.and_then(|it| it.sni.as_deref()) else { return false };
    !host.eq_ignore_ascii_case(sni) && !certificates.covers(sni, &host.to_ascii_lowercase())
}

/// RFC 9110 §7.6.2: whether this OPTIONS or TRACE ends here. If not, `Max-Forwards` is decremented.
pub fn ends_here(context: &mut Context) -> bool {
    let head = &mut context.head;
    if !matches!(head.method, Method::OPTIONS | Method::TRACE) {
        return false;
    }
    let Some(left) = head.fields.get(&header::MAX_FORWARDS) else { return false };
    match std::str::from_utf8(left).ok().and_then(|left| left.parse::<u32>().ok()) {
        Some(0) => true,
        Some(left) => {
            head.fields.map().insert(header::MAX_FORWARDS, (left - 1).into());
            false
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for valid in ["a", "a.b:80", "127.0.0.1", "[::1]", "[::1]:8080", "a.", "a:", "xn--a"] {
            assert!(is_host(valid.as_bytes()), "{valid}");
        }
        for invalid in [
            "", ":80", "a b", "a/b", "a@b", "a:b", "a:123456", "a:65536", "[::1", "[x]", "a\tb",
            "a,b:x", "a?",
        ] {
            assert!(!is_host(invalid.as_bytes()), "{invalid}");
        }
    }
}
