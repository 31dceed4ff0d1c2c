//! The fields that tell servers about the client, and `Via` and `X-Request-Id`.
//!
//! Owns: writing them, unless the route's edits decide on them. May touch: [`crate::http1`],
//! [`crate::message`]. [`super::request_head`] calls it.

use super::field_sink::{FieldSink, OurField};
use crate::{
    http1::request::RequestFields,
    message::{
        context::Context,
        forwarded::{Edited, ForwardedField, Written, X_FORWARDED_FOR},
        rfc7239, trace_context,
    },
};
use http::{HeaderName, Version, header};
use std::io::Write;

static FORWARDED: OurField<11> = OurField::new(b"forwarded: ");
static FOR: OurField<17> = OurField::new(b"x-forwarded-for: ");
static HOST: OurField<18> = OurField::new(b"x-forwarded-host: ");
static PROTO: OurField<19> = OurField::new(b"x-forwarded-proto: ");
static REAL_IP: OurField<11> = OurField::new(b"x-real-ip: ");
static REQUEST_ID: OurField<14> = OurField::new(b"x-request-id: ");
static TRACEPARENT: OurField<13> = OurField::new(b"traceparent: ");
static VIA: OurField<5> = OurField::new(b"via: ");

/// Writes these fields.
pub(super) fn write<S: FieldSink>(out: &mut S, context: &Context, written: Written) {
    let edited = written.edited;
    let usual = written.x_forwarded && written.forwarded != ForwardedField::Written;
    if S::IS_TEXT && usual && !context.trusted && edited == Edited::default() {
        // A short cut: writes the same as the code below.
        out.pass_lines(context.peer.lines().as_bytes());
        forwarded_host(out, context.head.target.host().as_bytes());
        via(out, context);
        out.put(&REQUEST_ID, context.id.as_bytes());
        trace(out, context);
        return;
    }
    if !edited.forwarded {
        match written.forwarded {
            ForwardedField::Written => {
                out.put_written(&FORWARDED, |value| forwarded(value, context));
            }
            ForwardedField::Passed if context.trusted => {
                for value in context.head.fields.values(&header::FORWARDED) {
                    out.put(&FORWARDED, value);
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
        out.put(&REQUEST_ID, context.id.as_bytes());
    }
    if !edited.trace_parent {
        trace(out, context);
    }
}

/// The server's place in the trace; without traces of our own, what the client sent.
fn trace(out: &mut impl FieldSink, context: &Context) {
    if let Some(trace) = &context.trace {
        out.put_written(&TRACEPARENT, |value| trace.write(value));
    } else if context.head.present.trace_parent {
        for value in context.head.fields.values(&trace_context::TRACEPARENT) {
            out.put(&TRACEPARENT, value);
        }
    }
}

fn x_forwarded(out: &mut impl FieldSink, context: &Context, edited: Edited) {
    let fields = &context.head.fields;
    let peer = context.peer.address_text().as_bytes();
    if !edited.forwarded_for {
        if !context.trusted {
            out.put(&FOR, peer);
        } else if context.told.by_forwarded {
            x_forwarded_way(out, context);
        } else {
            joined(out, &FOR, fields, &X_FORWARDED_FOR, peer);
        }
    }
    if !edited.real_ip {
        match context.told.client {
            Some(client) => out.put_written(&REAL_IP, |value| {
                // Writing to a vector can't fail.
                let _ = write!(value, "{client}");
            }),
            None => out.put(&REAL_IP, peer),
        }
    }
    if !edited.forwarded_proto {
        out.put(&PROTO, context.scheme().as_bytes());
    }
    if !edited.forwarded_host {
        let told = if context.trusted { context.told.host(fields) } else { None };
        forwarded_host(out, told.as_deref().unwrap_or(context.head.target.host().as_bytes()));
    }
}

/// What `Forwarded` says about the way of the request, as an `X-Forwarded-For`. Places before the
/// client's are only the client's claim, and are left out.
fn x_forwarded_way(out: &mut impl FieldSink, context: &Context) {
    out.put_written(&FOR, |value| {
        for hop in context.told.way(&context.head.fields) {
            // Writing to a vector can't fail.
            let _ = match hop {
                Some(address) => write!(value, "{address}, "),
                None => value.write_all(b"unknown, "),
            };
        }
        value.extend_from_slice(context.peer.address_text().as_bytes());
    });
}

/// `Forwarded` (RFC 7239): what a trusted proxy said, and one element of our own.
fn forwarded(value: &mut Vec<u8>, context: &Context) {
    let fields = &context.head.fields;
    let scheme = |https: bool| if https { "https" } else { "http" };
    if context.trusted && context.told.by_forwarded {
        for told in fields.values(&header::FORWARDED).filter(|it| !it.is_empty()) {
            value.extend_from_slice(told);
            value.extend_from_slice(b", ");
        }
    } else if context.trusted {
        // Host and scheme belong to the first element: they are what the client asked for.
        let mut host = context.told.host(fields);
        let mut https = context.told.https;
        for hop in context.told.way(fields) {
            let host = host.take().unwrap_or_default();
            rfc7239::write(value, hop, &host, https.take().map(scheme));
            value.extend_from_slice(b", ");
        }
    }
    let Context { peer, head, .. } = context;
    let host = head.target.host().as_bytes();
    rfc7239::write(value, Some(peer.address), host, Some(scheme(peer.is_tls())));
}

/// The host that the client asked for, unless it named none.
fn forwarded_host(out: &mut impl FieldSink, host: &[u8]) {
    if !host.is_empty() {
        out.put(&HOST, host);
    }
}

/// RFC 9110 §7.6.3.
fn via(out: &mut impl FieldSink, context: &Context) {
    let ours: &[u8; 6] = match context.head.version {
        Version::HTTP_2 => b"2.0 lb",
        Version::HTTP_10 => b"1.0 lb",
        _ => b"1.1 lb",
    };
    if context.head.present.via {
        joined(out, &VIA, &context.head.fields, &header::VIA, ours);
    } else {
        out.put(&VIA, ours);
    }
}

/// One field with all values of `source`, and then `last`; nothing if there are none.
fn joined<const N: usize>(
    out: &mut impl FieldSink,
    field: &OurField<N>,
    fields: &RequestFields,
    source: &HeaderName,
    last: &[u8],
) {
    let mut values = fields.values(source).chain([last]).filter(|value| !value.is_empty());
    let Some(first) = values.next() else { return };
    out.put_written(field, |out| {
        out.extend_from_slice(first);
        for value in values {
            out.extend_from_slice(b", ");
            out.extend_from_slice(value);
        }
    });
}
