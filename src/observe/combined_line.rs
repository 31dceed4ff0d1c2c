//! A line in the form of nginx and Apache.
//!
//! Owns: that form. May touch: nothing outside this room. Next: [`super::access_line`].

use super::{
    line_facts::LineFacts,
    line_text::{is_plain, number},
};
use http::header;
use std::io::Write;

/// Writes a line without its end; `second` is when the request came.
pub(super) fn write(out: &mut Vec<u8>, line: &LineFacts<'_>, second: &str) {
    let head = &line.context.head;
    out.extend_from_slice(line.context.client_text().as_bytes());
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(second.as_bytes());
    out.extend_from_slice(b"] \"");
    escape(out, head.method.as_str().as_bytes());
    out.push(b' ');
    escape(out, line.uri().as_bytes());
    out.push(b' ');
    out.extend_from_slice(line.protocol().as_bytes());
    number(out, "\" ", line.status.as_u16().into());
    number(out, " ", line.sent);
    out.extend_from_slice(b" \"");
    escape(out, or_dash(line.header(&header::REFERER)));
    out.extend_from_slice(b"\" \"");
    escape(out, or_dash(line.header(&header::USER_AGENT)));
    out.push(b'"');
}

fn or_dash(value: Option<&[u8]>) -> &[u8] {
    value.filter(|it| !it.is_empty()).unwrap_or(b"-")
}

/// nginx's escape: `\xHH`.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        return out.extend_from_slice(text);
    }
    for byte in text {
        if matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f..) {
            let _ = write!(out, "\\x{byte:02X}");
        } else {
            out.push(*byte);
        }
    }
}
