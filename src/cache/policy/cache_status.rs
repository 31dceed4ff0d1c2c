//! `Cache-Status`: how the cache handled a request (RFC 9211).
//!
//! Owns: writing the field. May touch: nothing outside this room.

use http::HeaderValue;

use super::list::is_token_byte;

/// Why a request went to the server (§2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The cache was not to handle it.
    Bypass,
    /// By its method.
    Method,
    /// Nothing is stored for its URI.
    UriMiss,
    /// What is stored is for other values of the fields in `Vary`.
    VaryMiss,
    /// Nothing is stored, and it is not known why.
    Miss,
    /// What is stored was fresh, but the request asked for validation.
    Request,
    /// What is stored was stale.
    Stale,
    /// What is stored is only a part of it.
    Partial,
}

/// How the cache handled a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Answered without asking the server.
    Hit {
        /// How long it stays fresh; negative if it is stale.
        ttl: i64,
        /// More about it.
        detail: Option<&'static str>,
    },
    /// Sent to the server.
    Forward {
        /// Why.
        why: Forwarded,
        /// The server's status; leave it out where the client sees the same.
        status: Option<u16>,
        /// Whether the response was stored.
        stored: bool,
        /// Whether it shared another request's answer.
        collapsed: bool,
        /// How long it stays fresh.
        ttl: Option<i64>,
        /// More about it, such as the rule by which it was not stored.
        detail: Option<&'static str>,
    },
}

/// The field's value: what caches nearer to the server wrote, and our member behind it (§2).
///
/// `hit` and `fwd` exclude each other (§2.2). A stale response that is served because the server
/// failed was forwarded, so it is [`Handled::Forward`] with [`Forwarded::Stale`], the status that
/// the server gave if it gave one, a negative `ttl`, and `stale-if-error` as its detail.
pub fn write<'a>(
    outcome: &Handled,
    existing: impl IntoIterator<Item = &'a HeaderValue>,
) -> HeaderValue {
    let mut out = Vec::with_capacity(64);
    append(&mut out, outcome, existing.into_iter().map(HeaderValue::as_bytes));
    // All bytes are from other values or our own text, so the fallback is never used.
    HeaderValue::from_maybe_shared(out).unwrap_or(HeaderValue::from_static("sheave"))
}

/// Appends that value.
pub fn append<'a>(
    out: &mut Vec<u8>,
    outcome: &Handled,
    existing: impl IntoIterator<Item = &'a [u8]>,
) {
    for line in existing.into_iter().map(<[u8]>::trim_ascii).filter(|it| !it.is_empty()) {
        out.extend_from_slice(line);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(b"sheave");
    write_parameters(out, outcome);
}

fn write_parameters(out: &mut Vec<u8>, outcome: &Handled) {
    let mut seconds = None;
    let told = match *outcome {
        Handled::Hit { ttl, detail } => {
            out.extend_from_slice(b"; hit");
            seconds = Some(ttl);
            detail
        }
        Handled::Forward { why, status, stored, collapsed, ttl, detail } => {
            out.extend_from_slice(b"; fwd=");
            out.extend_from_slice(why.token().as_bytes());
            if let Some(status) = status {
                number(out, "fwd-status", i64::from(status));
            }
            if stored {
                out.extend_from_slice(b"; stored");
            }
            if collapsed {
                out.extend_from_slice(b"; collapsed");
            }
            seconds = ttl.or(seconds);
            detail
        }
    };
    if let Some(ttl) = seconds {
        number(out, "ttl", ttl);
    }
    if let Some(detail) = told {
        out.extend_from_slice(b"; detail=");
        write_detail(out, detail);
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: i64) {
    out.extend_from_slice(b"; ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A token if it is one, else a string (RFC 8941 §3.3.3, §3.3.4).
fn write_detail(out: &mut Vec<u8>, detail: &str) {
    let is_token = detail.starts_with(|it: char| it.is_ascii_alphabetic())
        && detail.bytes().all(is_token_byte);
    if is_token {
        out.extend_from_slice(detail.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in detail.bytes().filter(|it| matches!(it, b' '..=b'~')) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

impl Forwarded {
    /// The word in `Cache-Status`.
    pub fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}
