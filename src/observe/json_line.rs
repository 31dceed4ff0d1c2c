//! A line as one JSON object.
//!
//! Owns: how each field is written, and the default order. May touch: [`crate::country`],
//! [`crate::settings`], [`crate::template`]. Next: [`super::access_line`].

use super::{
    line_facts::LineFacts,
    line_text::{duration, escape_json, fraction, number, string},
};
use crate::{
    country::CountryCode,
    settings::LogField,
    template::{Piece, Template},
};
use http::{HeaderName, header};
use std::time::Duration;

/// A field that the config chose.
#[derive(Clone, Debug)]
pub enum ChosenField {
    /// One of ours.
    Known(LogField),
    /// A request's field.
    Header {
        /// What comes before the value: see [`begin`].
        begin: Box<str>,
        /// The field's name.
        name: HeaderName,
    },
    /// The answer's field.
    ResponseHeader {
        /// What comes before the value.
        begin: Box<str>,
        /// The field's name.
        name: HeaderName,
    },
    /// A text with variables.
    Template {
        /// What comes before the value.
        begin: Box<str>,
        /// The text.
        value: Template,
    },
}

/// What comes before the value of a text field with this name.
pub fn begin(name: &str) -> Box<str> {
    let mut text = b",\"".to_vec();
    escape_json(&mut text, name.as_bytes());
    text.extend_from_slice(b"\":\"");
    String::from_utf8_lossy(&text).into()
}

/// When a request came.
#[derive(Clone, Copy)]
pub struct Came<'a> {
    /// As text, without its fraction.
    pub second: &'a str,
    /// The fraction.
    pub millis: u32,
}

/// Writes each of these fields, in this order.
macro_rules! write_each {
    ($out:expr, $line:expr, $came:expr, $($field:ident)*) => {
        $(known($out, LogField::$field, $line, $came);)*
    };
}

/// Writes the fields of [`LogField::default_set`]. They are named here one by one, so that the
/// compiler makes straight code for each.
pub fn write_default(out: &mut Vec<u8>, line: &LineFacts<'_>, came: Came<'_>) {
    let start = out.len();
    write_each!(out, line, came,
        Time Client Listener Method Host Uri Protocol Status BytesSent BytesReceived DurationMs Route
        Country Cache Upstream Server Attempts UpstreamMs RequestId TraceId TlsClient
        TlsClientFingerprint Reason Detail UserAgent Referer
    );
    close(out, start);
}

/// Writes the fields that the config chose. `text` is for values that have to be put together.
pub fn write_chosen(
    out: &mut Vec<u8>,
    fields: &[ChosenField],
    line: &LineFacts<'_>,
    came: Came<'_>,
    text: &mut String,
) {
    let start = out.len();
    for field in fields {
        match field {
            ChosenField::Known(field) => known(out, *field, line, came),
            ChosenField::Header { begin, name } => {
                if let Some(value) = line.header(name) {
                    string(out, begin, value);
                }
            }
            ChosenField::ResponseHeader { begin, name } => {
                if let Some(value) = line.response_header(name) {
                    string(out, begin, value);
                }
            }
            ChosenField::Template { begin, value } => {
                text.clear();
                let scope = line.scope();
                let write = |part: &Piece| scope.render_part(part, text);
                value.parts().iter().for_each(write);
                string(out, begin, text.as_bytes());
            }
        }
    }
    close(out, start);
}

/// Every field begins with a comma; in place of the first one is the object's begin.
fn close(out: &mut Vec<u8>, start: usize) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

// With a constant field, only that field's code is left.
#[allow(clippy::inline_always)]
#[inline(always)]
fn known(out: &mut Vec<u8>, field: LogField, line: &LineFacts<'_>, came: Came<'_>) {
    let context = line.context;
    let text = field.begin_text();
    let forwarded = !line.upstream.is_empty();
    match field {
        LogField::Time => {
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(came.second.as_bytes());
            fraction(out, came.millis);
            out.extend_from_slice(b"Z\"");
        }
        LogField::Client => string(out, text, context.client_text().as_bytes()),
        LogField::Listener => string(out, text, context.peer.listener.as_bytes()),
        LogField::Method => string(out, text, context.head.method.as_str().as_bytes()),
        LogField::Host => string(out, text, line.host),
        LogField::Uri => string(out, text, line.uri().as_bytes()),
        LogField::Protocol => string(out, text, line.protocol().as_bytes()),
        LogField::Status => number(out, field.begin(), line.status.as_u16().into()),
        LogField::BytesSent => number(out, field.begin(), line.sent),
        LogField::BytesReceived => number(out, field.begin(), line.received),
        LogField::DurationMs => duration(out, field.begin(), line.took),
        LogField::Route => string(out, text, line.route.as_bytes()),
        LogField::Country => optional(out, text, context.country.as_ref().map(CountryCode::as_str)),
        LogField::Cache => optional(out, text, line.cache),
        LogField::Upstream => optional(out, text, forwarded.then_some(line.upstream)),
        LogField::Server => optional(out, text, forwarded.then_some(line.server)),
        LogField::Attempts if forwarded => number(out, field.begin(), line.attempts.into()),
        LogField::Attempts => {}
        LogField::UpstreamMs => time(out, field, line.upstream_time.filter(|_| forwarded)),
        LogField::QueueMs => time(out, field, line.times.queue),
        LogField::ConnectMs => time(out, field, line.times.connect),
        LogField::TlsMs => time(out, field, line.times.tls),
        LogField::FirstByteMs => time(out, field, line.times.first_byte),
        LogField::BodyMs => time(out, field, line.times.body),
        LogField::ClientMs => time(out, field, line.times.client),
        LogField::RequestId => string(out, text, context.id.as_str().as_bytes()),
        LogField::TraceId => optional(out, text, line.trace_id),
        LogField::TlsClient => {
            let client = context.peer.secured.as_deref().and_then(|it| it.client.as_ref());
            optional(out, text, client.map(|it| &*it.subject));
        }
        LogField::TlsClientFingerprint => {
            let client = context.peer.secured.as_deref().and_then(|it| it.client.as_ref());
            optional(out, text, client.map(|it| &*it.fingerprint));
        }
        LogField::Reason => optional(out, text, line.reason),
        LogField::Detail => optional(out, text, line.detail),
        LogField::UserAgent => {
            string(out, text, line.header(&header::USER_AGENT).unwrap_or_default());
        }
        LogField::Referer => string(out, text, line.header(&header::REFERER).unwrap_or_default()),
    }
}

fn optional(out: &mut Vec<u8>, begin: &str, value: Option<&str>) {
    if let Some(value) = value {
        string(out, begin, value.as_bytes());
    }
}

fn time(out: &mut Vec<u8>, field: LogField, value: Option<Duration>) {
    if let Some(value) = value {
        duration(out, field.begin(), value);
    }
}
