//! The head of a request as a server gets it, written straight from the client's.
//!
//! Owns: which fields pass, and which are replaced. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::origin`], [`crate::upstream`]. One buffer, no second header map.
//! Next: [`crate::origin::exchange`] sends it.

use super::forwarded_fields;
use crate::{
    http1::{
        fields::{Fields, to_map, write_field, write_known, write_length},
        known::{Known, known},
        outgoing::Outgoing,
        request::RequestFields,
    },
    message::{
        body::Length,
        context::Context,
        forwarded::{Edited, Written},
        interim::Interim,
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
        // An HTTP/1.0 client knows none (RFC 9110 §15.2), and 100 is said to the server's client, which
        // we are.
        let Context { head, peer, number, .. } = self.context;
        if head.version != Version::HTTP_10 && status != StatusCode::CONTINUE {
            peer.interims.push(*number, Interim { status, fields });
        }
    }

    fn to_http2(&self, server: &Server, tls: bool, length: Length) -> Request<()> {
        let mut lines = Vec::with_capacity(1024);
        fields(&mut lines, self, server, length);
        let mut fields = to_map(&lines.into());
        let host = fields.remove(header::HOST);
        // For one connection of HTTP/1 (RFC 9113 §8.2.2).
        for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
            fields.remove(name);
        }
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_2;
        if let Some(protocols) = self.protocols() {
            // RFC 8441 §4, and §5: it needs no key.
            *request.method_mut() = Method::CONNECT;
            let protocol = protocols.split(',').next().unwrap_or_default().trim();
            request.extensions_mut().insert(Protocol::from(protocol));
            fields.remove(websocket::KEY);
        } else {
            *request.method_mut() = self.method().clone();
        }
        *request.uri_mut() = uri(host.as_ref(), server, tls, self.target);
        *request.headers_mut() = fields;
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

/// The target in HTTP/2's parts.
fn uri(host: Option<&HeaderValue>, server: &Server, tls: bool, target: &str) -> Uri {
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    let named = host.and_then(|it| Authority::try_from(it.as_bytes()).ok());
    let authority = named.or_else(|| Authority::try_from(server.host()).ok());
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
    fields(out, forwarding, server, length);
    out.extend_from_slice(b"\r\n");
}

fn fields(out: &mut Vec<u8>, forwarding: &Forwarding<'_>, server: &Server, length: Length) {
    let context = forwarding.context;
    let head = &context.head;
    let edited = forwarding.written.edited;
    // RFC 9112 §3.2: always there. Where an HTTP/1.0 client sent none, the server's own name is the
    // best guess: many refuse an empty one.
    let edited_host = if forwarding.edits_host { head.fields.get(&header::HOST) } else { None };
    let host = match edited_host.unwrap_or(head.target.host().as_bytes()) {
        b"" => server.host().as_bytes(),
        host => host,
    };
    write_known(out, b"host: ", host);
    match &head.fields {
        RequestFields::Text(lines) => out.extend_from_slice(&lines.text[..lines.passing]),
        RequestFields::Map(map) => mapped_fields(out, map, edited),
    }
    if let Some(protocols) = &head.protocols {
        // RFC 9110 §7.8.
        write_known(out, b"connection: upgrade\r\nupgrade: ", protocols.as_bytes());
    } else if head.present.te
        && head.fields.tokens(&header::TE).any(|it| it.eq_ignore_ascii_case(b"trailers"))
    {
        // RFC 9110 §10.1.4: for one connection, but gRPC servers refuse requests without it.
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    forwarded_fields::write(out, context, forwarding.written);
    framing_fields(out, &head.method, length);
}

/// The fields of a map. For fields that are still text, [`crate::http1::request_head`] has already
/// made the same choice.
fn mapped_fields(out: &mut Vec<u8>, map: &HeaderMap, edited: Edited) {
    for (name, value) in map {
        let passes = match known(name.as_str().as_bytes()) {
            None
            | Some(
                Known::Authorization
                | Known::Claim
                | Known::Conditional
                | Known::ContentType
                | Known::Cookie
                | Known::Date,
            ) => true,
            // Written below unless the route edits it.
            Some(Known::Forwarded) => edited.forwarded,
            Some(Known::ForwardedFor) => edited.forwarded_for,
            Some(Known::ForwardedProto) => edited.forwarded_proto,
            Some(Known::ForwardedHost) => edited.forwarded_host,
            Some(Known::RealIp) => edited.real_ip,
            Some(Known::Via) => edited.via,
            Some(Known::RequestId) => edited.request_id,
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
            write_field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

fn framing_fields(out: &mut Vec<u8>, method: &Method, length: Length) {
    match length {
        Length::Exact(length) => write_length(out, length),
        Length::Unknown => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        // RFC 9110 §8.6: sent for methods that give a body meaning.
        Length::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            out.extend_from_slice(b"content-length: 0\r\n");
        }
        Length::None => {}
    }
}
