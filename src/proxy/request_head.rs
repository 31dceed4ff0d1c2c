//! The head of a request as a server gets it, written straight from the client's.
//!
//! Owns: which fields pass, which are replaced, and the forwarded fields. May touch:
//! [`crate::http1`], [`crate::message`]. One buffer, no second header map. Next: [`crate::origin::exchange`] sends it.

use crate::{
    http1::{
        fields::{Fields, write_field, write_known, write_length},
        known::{Known, known},
        outgoing::Outgoing,
        request::RequestFields,
    },
    message::{
        body::Length,
        context::Context,
        forwarded::{Edited, X_FORWARDED_FOR, X_FORWARDED_HOST},
        interim::Interim,
    },
    origin::Asking,
    upstream::Server,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version, header};
use std::io::Write;

/// What the writer needs beside the request itself.
pub struct Forwarding<'a> {
    /// The request.
    pub context: &'a Context,
    /// Path and query for the server.
    pub target: &'a str,
    /// Whether the route's edits may have replaced `Host`.
    pub edits_host: bool,
    /// What the route's edits decide.
    pub edited: Edited,
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

    fn protocols(&self) -> Option<&str> {
        self.context.head.protocols.as_deref()
    }
}

fn head(out: &mut Vec<u8>, forwarding: &Forwarding<'_>, server: &Server, length: Length) {
    let context = forwarding.context;
    let head = &context.head;
    let edited = forwarding.edited;
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(forwarding.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
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
        RequestFields::Map(map) => mapped_fields(out, context, map, edited),
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
    forwarded_fields(out, context, forwarding);
    framing_fields(out, &head.method, length);
    out.extend_from_slice(b"\r\n");
}

/// The fields of a map. For fields that are still text, [`crate::http1::request_head`] has already
/// made the same choice.
fn mapped_fields(out: &mut Vec<u8>, context: &Context, map: &HeaderMap, edited: Edited) {
    let head = &context.head;
    // HTTP/2 clients may send one field in crumbs, which HTTP/1 needs joined (RFC 9113 §8.2.3).
    let crumbs = head.version == Version::HTTP_2;
    for (name, value) in map {
        let passes = match known(name.as_str().as_bytes()) {
            None | Some(Known::Authorization | Known::Claim | Known::Conditional | Known::Date) => {
                true
            }
            Some(Known::Cookie) => !crumbs,
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
    if crumbs {
        joined(out, "cookie", b"; ", &head.fields, &header::COOKIE, b"");
    }
}

/// The fields of our own, unless the route's edits decide on them.
fn forwarded_fields(out: &mut Vec<u8>, context: &Context, forwarding: &Forwarding<'_>) {
    let edited = forwarding.edited;
    if !context.trusted && edited == Edited::default() {
        out.extend_from_slice(context.peer.lines().as_bytes());
        forwarded_host(out, context.head.target.host().as_bytes());
        via(out, context);
        write_known(out, b"x-request-id: ", context.id.as_bytes());
        return;
    }
    let head = &context.head;
    let peer = context.peer.address_text().as_bytes();
    if context.trusted && !edited.forwarded {
        for value in head.fields.values(&header::FORWARDED) {
            write_known(out, b"forwarded: ", value);
        }
    }
    if !edited.forwarded_for {
        if context.trusted {
            joined(out, "x-forwarded-for", b", ", &head.fields, &X_FORWARDED_FOR, peer);
        } else {
            write_known(out, b"x-forwarded-for: ", peer);
        }
    }
    if !edited.real_ip {
        match context.forwarded_client {
            Some(client) => {
                let _ = write!(out, "x-real-ip: {client}\r\n");
            }
            None => write_known(out, b"x-real-ip: ", peer),
        }
    }
    if !edited.forwarded_proto {
        write_known(out, b"x-forwarded-proto: ", context.scheme().as_bytes());
    }
    if !edited.forwarded_host {
        let told = head.fields.get(&X_FORWARDED_HOST).filter(|_| context.trusted);
        forwarded_host(out, told.unwrap_or(head.target.host().as_bytes()));
    }
    if !edited.via {
        via(out, context);
    }
    if !edited.request_id {
        write_known(out, b"x-request-id: ", context.id.as_bytes());
    }
}

/// The host that the client asked for, unless it named none.
fn forwarded_host(out: &mut Vec<u8>, host: &[u8]) {
    if !host.is_empty() {
        write_known(out, b"x-forwarded-host: ", host);
    }
}

/// RFC 9110 §7.6.3.
fn via(out: &mut Vec<u8>, context: &Context) {
    let ours: &[u8; 6] = match context.head.version {
        Version::HTTP_2 => b"2.0 lb",
        Version::HTTP_10 => b"1.0 lb",
        _ => b"1.1 lb",
    };
    if context.head.present.via {
        joined(out, "via", b", ", &context.head.fields, &header::VIA, ours);
    } else {
        write_known(out, b"via: ", ours);
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

/// One field with all values of `source`, and then `last`; nothing if there are none.
fn joined(
    out: &mut Vec<u8>,
    name: &str,
    separator: &[u8],
    fields: &RequestFields,
    source: &HeaderName,
    last: &[u8],
) {
    let mut values = fields.values(source).chain([last]).filter(|value| !value.is_empty());
    let Some(first) = values.next() else { return };
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(first);
    for value in values {
        out.extend_from_slice(separator);
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
}
