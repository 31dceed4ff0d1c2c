//! `Vary`: which requests a stored response may answer (RFC 9111 §4.1).
//!
//! Owns: the field's names and the key of a variant. May touch: [`crate::http1`].

use crate::http1::request::RequestFields;
use http::{HeaderMap, HeaderName, header};

/// What a response says about the requests that select it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vary {
    /// Nothing: it is for all requests.
    None,
    /// `*`, or what cannot be read: it is for no other request.
    Any,
    /// It is for requests with the same values in these fields; sorted, each once.
    Fields(Vec<HeaderName>),
}

/// Reads all lines of `Vary`.
pub fn of(response: &HeaderMap) -> Vary {
    let lines = response.get_all(header::VARY).iter();
    let members = lines.flat_map(|it| it.as_bytes().split(|it| *it == b','));
    let mut names = Vec::new();
    for member in members.map(<[u8]>::trim_ascii).filter(|it| !it.is_empty()) {
        match HeaderName::from_bytes(member) {
            Ok(name) if member != b"*" => names.push(name),
            _ => return Vary::Any,
        }
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    if names.is_empty() { Vary::None } else { Vary::Fields(names) }
}

/// Appends the values that a request has in these fields, so that two requests of the same variant
/// give the same bytes, and others do not. `coding` stands for the value of `Accept-Encoding`,
/// where the content codings are negotiated here.
pub fn write_variant(
    out: &mut Vec<u8>,
    names: &[HeaderName],
    request: &RequestFields,
    coding: Option<&str>,
) {
    for name in names {
        out.extend_from_slice(name.as_str().as_bytes());
        if let (Some(coding), true) = (coding, name == header::ACCEPT_ENCODING) {
            out.push(b':');
            out.extend_from_slice(coding.as_bytes());
        } else {
            write_values(out, name, request);
        }
        // No field value can contain it.
        out.push(b'\n');
    }
}

/// Writes a colon and the values, or nothing where the field is missing.
fn write_values(out: &mut Vec<u8>, name: &HeaderName, request: &RequestFields) {
    // §4.1: lines are joined for every field; only of those known to be lists of case-insensitive
    // tokens, case and spaces are known not to matter.
    let is_tokens = matches!(*name, header::ACCEPT_ENCODING | header::ACCEPT_LANGUAGE)
        || *name == header::ACCEPT_CHARSET;
    let separator: &[u8] = match *name {
        header::COOKIE => b"; ",
        _ if is_tokens => b",",
        _ => b", ",
    };
    for (at, line) in request.values(name).enumerate() {
        out.extend_from_slice(if at == 0 { b":" } else { separator });
        let line = line.trim_ascii();
        if is_tokens {
            let packed = line.iter().filter(|it| !matches!(it, b' ' | b'\t'));
            out.extend(packed.map(u8::to_ascii_lowercase));
        } else {
            out.extend_from_slice(line);
        }
    }
}
