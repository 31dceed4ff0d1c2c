//! The fields that tell servers about the client, and `Via` and `X-Request-Id`.
//!
//! Owns: writing them, unless the route's edits decide on them. May touch: [`crate::http1`],
//! [`crate::message`]. [`super::request_head`] calls it.

use crate::{
    http1::{fields::write_known, request::RequestFields},
    message::{
        context::Context,
        forwarded::{Edited, ForwardedField, Written, X_FORWARDED_FOR},
        rfc7239,
    },
};
use http::{HeaderName, Version, header};
use std::io::Write;

/// Appends their lines.
pub(super) fn write(out: &mut Vec<u8>, context: &Context, written: Written) {
    let edited = written.edited;
    let usual = written.x_forwarded && written.forwarded != ForwardedField::Written;
    if usual && !context.trusted && edited == Edited::default() {
        out.extend_from_slice(context.peer.lines().as_bytes());
        forwarded_host(out, context.head.target.host().as_bytes());
        via(out, context);
        write_known(out, b"x-request-id: ", context.id.as_bytes());
        return;
    }
    if !edited.forwarded {
        match written.forwarded {
            ForwardedField::Written => forwarded(out, context),
            ForwardedField::Passed if context.trusted => {
                for value in context.head.fields.values(&header::FORWARDED) {
                    write_known(out, b"forwarded: ", value);
                }
            }
            ForwardedField::Passed | ForwardedField::Dropped => {}
        }
    }
    if written.x_forwarded {
        x_forwarded(out, context, edited);
    }
    if !edited.via {
        via(out, context);
    }
    if !edited.request_id {
        write_known(out, b"x-request-id: ", context.id.as_bytes());
    }
}

fn x_forwarded(out: &mut Vec<u8>, context: &Context, edited: Edited) {
    let fields = &context.head.fields;
    let peer = context.peer.address_text().as_bytes();
    if !edited.forwarded_for {
        if !context.trusted {
            write_known(out, b"x-forwarded-for: ", peer);
        } else if context.told.by_forwarded {
            x_forwarded_way(out, context);
        } else {
            joined(out, "x-forwarded-for", b", ", fields, &X_FORWARDED_FOR, peer);
        }
    }
    if !edited.real_ip {
        match context.told.client {
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
        let told = if context.trusted { context.told.host(fields) } else { None };
        forwarded_host(out, told.as_deref().unwrap_or(context.head.target.host().as_bytes()));
    }
}

/// What `Forwarded` says of the way, in the other field's words. What comes before the client is its
/// own claim, and left out.
fn x_forwarded_way(out: &mut Vec<u8>, context: &Context) {
    out.extend_from_slice(b"x-forwarded-for: ");
    for hop in context.told.way(&context.head.fields) {
        // Writing to a vector can't fail.
        let _ = match hop {
            Some(address) => write!(out, "{address}, "),
            None => out.write_all(b"unknown, "),
        };
    }
    out.extend_from_slice(context.peer.address_text().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// `Forwarded` (RFC 7239): what a trusted proxy said, and one element of our own.
fn forwarded(out: &mut Vec<u8>, context: &Context) {
    let fields = &context.head.fields;
    let scheme = |https: bool| if https { "https" } else { "http" };
    out.extend_from_slice(b"forwarded: ");
    if context.trusted && context.told.by_forwarded {
        for value in fields.values(&header::FORWARDED).filter(|it| !it.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
    } else if context.trusted {
        // What is told of the client goes into the first: it is where the client connected to.
        let mut host = context.told.host(fields);
        let mut https = context.told.https;
        for hop in context.told.way(fields) {
            let host = host.take().unwrap_or_default();
            rfc7239::write(out, hop, &host, https.take().map(scheme));
            out.extend_from_slice(b", ");
        }
    }
    let Context { peer, head, .. } = context;
    let host = head.target.host().as_bytes();
    rfc7239::write(out, Some(peer.address), host, Some(scheme(peer.is_tls())));
    out.extend_from_slice(b"\r\n");
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

/// One field with all values of `source`, and then `last`; nothing if there are none.
pub(super) fn joined(
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
