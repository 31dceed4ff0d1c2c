//! The fields of a head that mean something to the proxy.
//!
//! Owns: their names. May touch: nothing outside this room. A field's name is compared once, when
//! it is read. Later steps know which fields there are and do not search for absent ones.

use super::lines::is;

/// A field that means something to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `Authorization`.
    Authorization,
    /// `Cache-Control` or `Pragma`.
    ForCaches,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Content-Type`.
    ContentType,
    /// `Cookie`.
    Cookie,
    /// `Date`.
    Date,
    /// `Expect`.
    Expect,
    /// `Host`.
    Host,
    /// `Keep-Alive`.
    KeepAlive,
    /// `TE`.
    Te,
    /// `traceparent` (W3C Trace Context).
    TraceParent,
    /// `tracestate`, which belongs to it.
    TraceState,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Via`.
    Via,
    /// `X-Request-Id`.
    RequestId,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// `X-Forwarded-Host`.
    ForwardedHost,
    /// `X-Forwarded-Proto`.
    ForwardedProto,
    /// `X-Real-IP`.
    RealIp,
    /// What [`crate::files`] looks for: a condition on what the client has, or a range.
    Conditional,
    /// Another field that says who the client is or how it came: see `is_claim`.
    Claim,
    /// `Upgrade`.
    Upgrade,
    /// Another field that is for one connection only: [`is_hop_by_hop`].
    HopByHop,
}

/// Which known field this is; `None` for those that pass unread.
pub fn known(name: &[u8]) -> Option<Known> {
    // Most names end here: no known field has their length and first letter.
    let known = match (name.len(), name.first()? | 0x20) {
        (2, b't') if is(name, b"te") => Known::Te,
        (3, b'v') if is(name, b"via") => Known::Via,
        (4, b'd') if is(name, b"date") => Known::Date,
        (4, b'h') if is(name, b"host") => Known::Host,
        (5, b'r') if is(name, b"range") => Known::Conditional,
        (6, b'c') if is(name, b"cookie") => Known::Cookie,
        (6, b'p') if is(name, b"pragma") => Known::ForCaches,
        (6, b'x') if is(name, b"x-host") => Known::Claim,
        (6, b'e') if is(name, b"expect") => Known::Expect,
        (7, b'u') if is(name, b"upgrade") => Known::Upgrade,
        (8, b'i') if is(name, b"if-match") || is(name, b"if-range") => Known::Conditional,
        (9, b'f') if is(name, b"forwarded") => Known::Forwarded,
        (9, b'x') if is(name, b"x-real-ip") => Known::RealIp,
        (10, b'c') if is(name, b"connection") => Known::Connection,
        (10, b'k') if is(name, b"keep-alive") => Known::KeepAlive,
        (10, b't') if is(name, b"tracestate") => Known::TraceState,
        (11, b't') if is(name, b"traceparent") => Known::TraceParent,
        (12, b'x') if is(name, b"x-request-id") => Known::RequestId,
        (12, b'c') if is(name, b"content-type") => Known::ContentType,
        (13, b'a') if is(name, b"authorization") => Known::Authorization,
        (13, b'c') if is(name, b"cache-control") => Known::ForCaches,
        (13, b'i') if is(name, b"if-none-match") => Known::Conditional,
        (14, b'c') if is(name, b"content-length") => Known::ContentLength,
        (14, b'h') if is(name, b"http2-settings") => Known::HopByHop,
        (15, b'x') if is(name, b"x-forwarded-for") => Known::ForwardedFor,
        (16, b'p') if is(name, b"proxy-connection") => Known::HopByHop,
        (16, b'x') if is(name, b"x-forwarded-host") => Known::ForwardedHost,
        (17, b'i') if is(name, b"if-modified-since") => Known::Conditional,
        (17, b't') if is(name, b"transfer-encoding") => Known::TransferEncoding,
        (17, b'x') if is(name, b"x-forwarded-proto") => Known::ForwardedProto,
        (18, b'p') if is(name, b"proxy-authenticate") => Known::HopByHop,
        (19, b'i') if is(name, b"if-unmodified-since") => Known::Conditional,
        (19, b'p') if is(name, b"proxy-authorization") => Known::HopByHop,
        (8.., b'c' | b'd' | b'f' | b'p' | b't' | b'w' | b'x') if is_claim(name) => Known::Claim,
        _ => return None,
    };
    Some(known)
}

/// Whether a field says, with another name than ours, who the client is or how it came. Some server
/// believes each of them, so only a peer that may speak for clients may send them.
fn is_claim(name: &[u8]) -> bool {
    let other = match name.len() {
        8 => is(name, b"x-scheme"),
        9 => is(name, b"client-ip"),
        10 => is(name, b"cf-visitor"),
        11 => is(name, b"x-forwarded") || is(name, b"x-client-ip") || is(name, b"x-remote-ip"),
        12 => is(name, b"x-url-scheme") || is(name, b"x-real-proto"),
        // Some frameworks take the path from `X-Rewrite-URL` and `X-Original-URL`.
        13 => {
            is(name, b"forwarded-for")
                || is(name, b"fly-client-ip")
                || is(name, b"x-remote-addr")
                || is(name, b"x-rewrite-url")
        }
        14 => {
            is(name, b"true-client-ip")
                || is(name, b"x-original-url")
                || is(name, b"x-proxyuser-ip")
        }
        15 => {
            is(name, b"front-end-https")
                || is(name, b"proxy-client-ip")
                || is(name, b"x-original-host")
        }
        16 => {
            is(name, b"cf-connecting-ip")
                || is(name, b"do-connecting-ip")
                || is(name, b"fastly-client-ip")
                || is(name, b"x-azure-clientip")
                || is(name, b"x-originating-ip")
        }
        18 => is(name, b"wl-proxy-client-ip"),
        19 => is(name, b"x-cluster-client-ip") || is(name, b"x-appengine-user-ip"),
        24 => is(name, b"x-original-forwarded-for") || is(name, b"x-envoy-external-address"),
        _ => false,
    };
    // `X-SSL-Client-*` is what a proxy says of a client's certificate.
    other
        || name.first_chunk::<12>().is_some_and(|it| is(it, b"x-forwarded-"))
        || name.first_chunk::<13>().is_some_and(|it| is(it, b"x-ssl-client-"))
}

/// Whether a request of this content type is a gRPC call. gRPC-Web is another protocol.
pub fn is_grpc(content_type: &[u8]) -> bool {
    content_type.split_at_checked(16).is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(b"application/grpc")
            && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Whether a field of this name is for one connection only (RFC 9110 §7.6.1).
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    matches!(
        known(name),
        Some(
            Known::Connection
                | Known::HopByHop
                | Known::KeepAlive
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
        )
    )
}

/// Which fields a request has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// `Authorization`.
    pub authorization: bool,
    /// `Cache-Control` or `Pragma`.
    pub for_caches: bool,
    /// `Host`: none, one, or more.
    pub hosts: u8,
    /// `Connection`, and it may name fields.
    pub nominates: bool,
    /// `TE`.
    pub te: bool,
    /// `traceparent`.
    pub trace_parent: bool,
    /// `tracestate`.
    pub trace_state: bool,
    /// `Transfer-Encoding`.
    pub transfer_encoding: bool,
    /// `Via`.
    pub via: bool,
    /// `X-Request-Id`.
    pub request_id: bool,
    /// [`Known::Conditional`].
    pub conditional: bool,
    /// [`Known::Claim`].
    pub claims: bool,
    /// `Upgrade`.
    pub upgrade: bool,
    /// The request is a gRPC call, by its `Content-Type`.
    pub grpc: bool,
    /// A name with a `_` in it ([`crate::message::hop_by_hop::remove_ambiguous`]).
    pub ambiguous: bool,
    /// An HTTP/2 value that begins or ends with a space or tab.
    pub padded: bool,
}

impl Present {
    /// Notes one more field.
    pub fn note(&mut self, field: Known) {
        match field {
            Known::Authorization => self.authorization = true,
            Known::ForCaches => self.for_caches = true,
            Known::Host => self.hosts = self.hosts.saturating_add(1),
            Known::Connection => self.nominates = true,
            Known::Te => self.te = true,
            Known::TraceParent => self.trace_parent = true,
            Known::TraceState => self.trace_state = true,
            Known::TransferEncoding => self.transfer_encoding = true,
            Known::Via => self.via = true,
            Known::RequestId => self.request_id = true,
            Known::Conditional => self.conditional = true,
            Known::Claim => self.claims = true,
            Known::Upgrade => self.upgrade = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_known_by_their_content_type() {
        for call in [
            "application/grpc",
            "application/grpc+proto",
            "Application/gRPC;x",
            "application/grpc ;x",
        ] {
            assert!(is_grpc(call.as_bytes()), "{call}");
        }
        for other in ["application/grpc-web", "application/grpcx", "application/json", ""] {
            assert!(!is_grpc(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn fields_of_one_connection() {
        for name in ["Connection", "keep-alive", "TE", "transfer-encoding", "Upgrade"] {
            assert!(is_hop_by_hop(name.as_bytes()), "{name}");
        }
        for name in ["content-length", "trailer", "date", "via", "x"] {
            assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_are_told_without_case_and_to_the_letter() {
        for (name, field) in [
            ("TE", Known::Te),
            ("traceparent", Known::TraceParent),
            ("TraceState", Known::TraceState),
            ("Cache-Control", Known::ForCaches),
            ("pragma", Known::ForCaches),
            ("Host", Known::Host),
            ("If-Range", Known::Conditional),
            ("if-match", Known::Conditional),
            ("IF-UNMODIFIED-SINCE", Known::Conditional),
            ("HTTP2-Settings", Known::HopByHop),
            ("Upgrade", Known::Upgrade),
            ("X-Forwarded-Port", Known::Claim),
            ("x-forwarded-hos", Known::Claim),
            ("X-Forwarded", Known::Claim),
            ("Front-End-Https", Known::Claim),
            ("X-Client-IP", Known::Claim),
            ("X-Host", Known::Claim),
            ("CF-Visitor", Known::Claim),
            ("Fly-Client-IP", Known::Claim),
            ("X-ProxyUser-Ip", Known::Claim),
            ("X-Real-Proto", Known::Claim),
            ("X-SSL-Client-Cert", Known::Claim),
            ("x-ssl-client-s-dn", Known::Claim),
            ("Client-IP", Known::Claim),
            ("CF-Connecting-IP", Known::Claim),
            ("WL-Proxy-Client-IP", Known::Claim),
            ("x-original-url", Known::Claim),
            ("x-original-forwarded-for", Known::Claim),
            ("X-Forwarded-Proto", Known::ForwardedProto),
            ("x-forwarded-host", Known::ForwardedHost),
        ] {
            assert_eq!(known(name.as_bytes()), Some(field), "{name}");
        }
        for name in [
            "",
            "t",
            "hosts",
            "x-real-id",
            "if-matcher",
            "accept",
            "x-forwarding",
            "x-forwarde",
            "front-end-http",
            "proxy_connection",
        ] {
            assert_eq!(known(name.as_bytes()), None, "{name}");
        }
    }
}
