//! The head of a request as a server gets it, written straight from the client's.
//!
//! Owns: which fields pass, and which are replaced. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::origin`], [`crate::upstream`]. The rules are the same for HTTP/1
//! and HTTP/2 (`field_sink`); what is for one connection only is each protocol's. Next:
//! [`crate::origin::exchange`] sends it, or [`crate::origin::http2`].

use super::{
    field_sink::{FieldSink, OurField},
    forwarded_fields,
};
use crate::{
    http1::{
        fields::{Fields, write_known},
        known::{Known, known},
        outgoing::Outgoing,
        request::RequestFields,
    },
    message::{
        body::Length,
        context::Context,
        forwarded::{Edited, Written},
        interim::{Interim, Interims},
        request_id::X_REQUEST_ID,
        trace_context::TRACEPARENT,
        websocket,
    },
    origin::Asking,
    upstream::Server,
};
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

/// What the writer needs beside the request itself.
pub struct Forwarding<'a> {
    /// The request.
    pub context: &'a Context,
    /// Path and query for the server.
    pub target: &'a str,
    /// Whether the route's edits may have replaced `Host`.
    pub edits_host: bool,
    /// Which of the forwarded fields the server gets.
    pub written: Written,
}

impl Asking for Forwarding<'_> {
    fn method(&self) -> &Method {
        &self.context.head.method
    }

    fn write_http1(&self, outgoing: &mut Outgoing, server: &Server, length: Length) {
        head(outgoing.begin(), self, server, length);
        if length == Length::Unknown {
            outgoing.set_chunked();
        }
    }

    fn interim(&self, status: StatusCode, fields: Fields) {
        // An HTTP/1.0 client knows no interim responses (RFC 9110 §15.2). A 100 is meant for the
        // server's own client, which we are.
        let Context { head, peer, number, .. } = self.context;
        let is_heard = head.version != Version::HTTP_10 && *number != Interims::NOBODY;
        if is_heard && status != StatusCode::CONTINUE {
            peer.interims.push(*number, Interim { status, fields });
        }
    }

    fn to_http2(&self, server: &Server, tls: bool, length: Length) -> Request<()> {
        let known = self.context.head.fields.as_map().map_or(8, HeaderMap::len);
        let mut map = HeaderMap::with_capacity(known + 8);
        fields(&mut map, self, length);
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_2;
        if let Some(protocols) = self.protocols() {
            // RFC 8441 §4; §5: no key is needed.
            *request.method_mut() = Method::CONNECT;
            let protocol = protocols.split(',').next().unwrap_or_default().trim();
            request.extensions_mut().insert(Protocol::from(protocol));
            map.remove(websocket::KEY);
        } else {
            *request.method_mut() = self.method().clone();
        }
        if let Some(id) = map.get_mut(X_REQUEST_ID) {
            // The id is new for each request, so it does not belong in the table of known fields
            // (RFC 7541 §6.2.3): h2 would compare it with all ids before it.
            id.set_sensitive(true);
        }
        if let Some(parent) = map.get_mut(TRACEPARENT) {
            parent.set_sensitive(true);
        }
        *request.uri_mut() = uri(self.host(server), server, tls, self.target);
        *request.headers_mut() = map;
        request
    }

    fn protocols(&self) -> Option<&str> {
        self.context.head.protocols.as_deref()
    }

    fn agreed(&self, fields: &mut HeaderMap) {
        let protocols = self.protocols().unwrap_or_default();
        let protocol = protocols.split(',').next().unwrap_or_default().trim();
        if let Ok(protocol) = HeaderValue::from_str(protocol) {
            fields.insert(header::UPGRADE, protocol);
        }
        if let Some(key) = self.context.head.fields.get(&websocket::KEY)
            && let Ok(accept) = HeaderValue::from_str(&websocket::accept(key))
        {
            fields.insert(websocket::ACCEPT, accept);
        }
    }
}

impl Forwarding<'_> {
    /// The head as an HTTP/1 server gets it.
    pub fn text(&self, server: &Server, length: Length) -> Vec<u8> {
        let mut text = Vec::new();
        head(&mut text, self, server, length);
        text
    }

    /// RFC 9112 §3.2: `Host` is always sent. If an HTTP/1.0 client sent none, the server's own name
    /// is the best guess: many servers refuse an empty one.
    fn host<'a>(&'a self, server: &'a Server) -> &'a [u8] {
        let head = &self.context.head;
        let edited = if self.edits_host { head.fields.get(&header::HOST) } else { None };
        match edited.unwrap_or(head.target.host().as_bytes()) {
            b"" => server.host().as_bytes(),
            host => host,
        }
    }

    /// RFC 9110 §10.1.4: `TE` is for one connection only, but gRPC servers refuse requests without
    /// it.
    fn takes_trailers(&self) -> bool {
        let head = &self.context.head;
        let is_trailers = |it: &[u8]| it.eq_ignore_ascii_case(b"trailers");
        head.present.te
            && head.protocols.is_none()
            && head.fields.tokens(&header::TE).any(is_trailers)
    }
}

/// The target in HTTP/2's parts.
fn uri(host: &[u8], server: &Server, tls: bool, target: &str) -> Uri {
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    let authority =
        Authority::try_from(host).ok().or_else(|| Authority::try_from(server.host()).ok());
    let mut parts = Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority.unwrap_or_else(|| Authority::from_static("localhost")));
    let path = PathAndQuery::try_from(target);
    parts.path_and_query = Some(path.unwrap_or_else(|_| PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

fn head(out: &mut Vec<u8>, forwarding: &Forwarding<'_>, server: &Server, length: Length) {
    out.extend_from_slice(forwarding.context.head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(forwarding.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_known(out, b"host: ", forwarding.host(server));
    if let Some(protocols) = forwarding.protocols() {
        // RFC 9110 §7.8.
        write_known(out, b"connection: upgrade\r\nupgrade: ", protocols.as_bytes());
    } else if forwarding.takes_trailers() {
        out.extend_from_slice(b"connection: te\r\n");
    }
    fields(out, forwarding, length);
    if length == Length::Unknown {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

static CONTENT_LENGTH: OurField<16> = OurField::new(b"content-length: ");
static TE: OurField<4> = OurField::new(b"te: ");

/// Writes all fields but the host and those for one HTTP/1 connection (RFC 9113 §8.2.2).
fn fields(out: &mut impl FieldSink, forwarding: &Forwarding<'_>, length: Length) {
    let Forwarding { context, written, .. } = forwarding;
    match &context.head.fields {
        RequestFields::Text(lines) => out.pass_lines(&lines.text[..lines.passing]),
        RequestFields::Map(map) => mapped_fields(out, map, written.edited),
    }
    if forwarding.takes_trailers() {
        out.put(&TE, b"trailers");
    }
    forwarded_fields::write(out, context, *written);
    match length {
        Length::Exact(length) => {
            out.put(&CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
        }
        // RFC 9110 §8.6: a length of 0 is sent for methods for which a body has a meaning.
        Length::None
            if matches!(context.head.method, Method::POST | Method::PUT | Method::PATCH) =>
        {
            out.put(&CONTENT_LENGTH, b"0");
        }
        Length::None | Length::Unknown => {}
    }
}

/// Writes the fields of a map. For fields that are still text, [`crate::http1::request_head`] has
/// already made the same choice.
fn mapped_fields(out: &mut impl FieldSink, map: &HeaderMap, edited: Edited) {
    for (name, value) in map {
        let passes = match known(name.as_str().as_bytes()) {
            None
            | Some(
                Known::Authorization
                | Known::Claim
                | Known::Conditional
                | Known::ContentType
                | Known::Cookie
                | Known::Date
                | Known::ForCaches
                | Known::TraceState,
            ) => true,
            // Written by our own code, unless the route edits it.
            Some(Known::Forwarded) => edited.forwarded,
            Some(Known::ForwardedFor) => edited.forwarded_for,
            Some(Known::ForwardedProto) => edited.forwarded_proto,
            Some(Known::ForwardedHost) => edited.forwarded_host,
            Some(Known::RealIp) => edited.real_ip,
            Some(Known::Via) => edited.via,
            Some(Known::RequestId) => edited.request_id,
            Some(Known::TraceParent) => edited.trace_parent,
            Some(
                Known::Connection
                | Known::ContentLength
                | Known::Expect
                | Known::HopByHop
                | Known::KeepAlive
                | Known::Host
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade,
            ) => false,
        };
        if passes {
            out.pass(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cidr::{AddressSet, PeerAddress},
        http1::{
            fields::to_map,
            request_head::{HeadLimits, RequestHead, parse},
        },
        message::{
            context::Peer,
            forwarded::{Believed, ForwardedField, ToldOfClient},
            request_id::RequestIds,
        },
    };
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::{net::Ipv4Addr, sync::Arc};

    /// Fields that have a rule, and others.
    const LINES: [&str; 18] = [
        "Accept: */*",
        "accept: text/plain",
        "Connection: keep-alive",
        "Content-Type: application/grpc",
        "Cookie: a=b",
        "Forwarded: for=192.0.2.3;host=told.example;proto=https",
        "Keep-Alive: 5",
        "TE: trailers, gzip",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate: a=b",
        "Via: 1.0 first",
        "Via: 1.1 second",
        "X-Forwarded-For: 192.0.2.1, 192.0.2.2",
        "X-Forwarded-Host: told.example",
        "X-Forwarded-Proto: https",
        "X-Real-IP: 192.0.2.9",
        "X-Request-Id: told",
        "X-Other:   spaces \t",
    ];

    fn context(chosen: &[&str], trusted: bool, believed: Believed) -> Context {
        let lines = chosen.iter().flat_map(|line| [line, "\r\n"]).collect::<String>();
        let mut text = Bytes::from(format!("POST / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n"));
        let limits = HeadLimits { head: 8192, fields: 100 };
        let RequestHead { head, .. } = parse(&mut text, limits).unwrap().unwrap();
        let address = PeerAddress::Ip(Ipv4Addr::LOCALHOST.into());
        let peer = Arc::new(Peer::new(address, "http".into(), None));
        let proxies =
            AddressSet { ranges: vec!["192.0.2.2".parse().unwrap()], ..AddressSet::default() };
        let read = || ToldOfClient::read(&head.fields, &proxies, believed, address);
        let told = if trusted { read() } else { ToldOfClient::default() };
        let id = RequestIds::new().take(&head.fields, trusted);
        Context::new(head, peer, (trusted, told), id)
    }

    /// What an HTTP/1 server gets, without what is for its connection only.
    fn by_http1(forwarding: &Forwarding<'_>, server: &Server, length: Length) -> HeaderMap {
        let mut text = Vec::new();
        head(&mut text, forwarding, server, length);
        let lines = text.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
        let mut map = to_map(&Bytes::copy_from_slice(&lines[..lines.len() - 2]));
        assert_eq!(map.remove(header::HOST).unwrap(), "a.example");
        map.remove(header::CONNECTION);
        map.remove(header::TRANSFER_ENCODING);
        map
    }

    proptest! {
        #[test]
        fn both_protocols_get_the_same_fields(
            chosen in proptest::sample::subsequence(LINES.to_vec(), 0..=LINES.len()),
            trusted: bool,
            is_map: bool,
            believed in prop_oneof![Just(Believed::Any), Just(Believed::Forwarded)],
            x_forwarded: bool,
            forwarded in prop_oneof![
                Just(ForwardedField::Dropped),
                Just(ForwardedField::Passed),
                Just(ForwardedField::Written)
            ],
            edits: [bool; 8],
            length in prop_oneof![Just(Length::None), Just(Length::Exact(3)), Just(Length::Unknown)],
        ) {
            let mut context = context(&chosen, trusted, believed);
            let [forwarded_for, forwarded_proto, forwarded_host, real_ip, via, request_id, own, trace_parent] = edits;
            let mut edited = Edited::default();
            if is_map {
                // Edits need a map.
                context.head.fields.map();
                edited = Edited {
                    forwarded: own, forwarded_for, forwarded_proto, forwarded_host, real_ip, via,
                    request_id, trace_parent,
                };
            }
            let written = Written { x_forwarded, forwarded, edited };
            let forwarding =
                Forwarding { context: &context, target: "/", edits_host: false, written };
            let server = Server::new("app", "127.0.0.1:1");
            let request = forwarding.to_http2(&server, false, length);
            prop_assert_eq!(request.headers(), &by_http1(&forwarding, &server, length));
            prop_assert_eq!(request.uri(), "http://a.example/");
        }
    }
}
