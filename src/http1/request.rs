//! A request's head, of any protocol.
//!
//! Owns: its fields, as the text that was received or as a map, and the change from text to map.
//! May touch: nothing outside this room. Most requests pass unchanged, like responses
//! ([`super::fields`]). As a map, a browser's dozen fields cost as much as all the rest of the
//! request. Code that edits fields asks for the map.

use super::{
    fields::{split, to_map},
    known::{Known, Present, is_grpc, known},
    target::RequestTarget,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, request};
use std::borrow::Cow;

/// A request's head.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// What it is for.
    pub target: RequestTarget,
    /// The client's protocol.
    pub version: Version,
    /// The fields; filters may have edited them.
    pub fields: RequestFields,
    /// Which fields there were, before anything was edited.
    pub present: Present,
    /// The protocols that the client wants to change to, by `Upgrade` or by an extended CONNECT.
    pub protocols: Option<Box<str>>,
}

impl From<request::Parts> for Head {
    fn from(parts: request::Parts) -> Self {
        let request::Parts { method, uri, version, mut headers, .. } = parts;
        join_crumbs(&mut headers);
        let mut present = Present::default();
        for (name, value) in &headers {
            let name = name.as_str().as_bytes();
            present.padded |= is_padded(value.as_bytes());
            match known(name) {
                Some(Known::ContentType) => present.grpc = is_grpc(value.as_bytes()),
                Some(known) => present.note(known),
                None => present.ambiguous |= name.contains(&b'_'),
            }
        }
        let authority = uri.authority().cloned();
        let host = headers.get(header::HOST).map(|it| text(it.as_bytes()));
        let host = host.or(authority.as_ref().map(|it| Cow::Borrowed(it.as_str())));
        let target = RequestTarget::new(uri, &host.unwrap_or_default());
        Self {
            method,
            target,
            version,
            fields: RequestFields::Map(headers.into()),
            present,
            protocols: None,
        }
    }
}

/// HTTP/2 clients may split `Cookie` into several fields, which are one field everywhere else (RFC
/// 9113 §8.2.3).
fn join_crumbs(headers: &mut HeaderMap) {
    let crumbs = headers.get_all(header::COOKIE);
    if crumbs.iter().nth(1).is_none() {
        return;
    }
    let all: Vec<_> = crumbs.iter().map(HeaderValue::as_bytes).collect();
    // Each piece was a valid value, so the joined text is one, too.
    if let Ok(whole) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(header::COOKIE, whole);
    }
}

/// The fields of a request.
#[derive(Clone, Debug)]
pub enum RequestFields {
    /// Lines, each with its end.
    Text(RequestLines),
    /// By name.
    Map(Box<HeaderMap>),
}

/// Fields as lines.
#[derive(Clone, Debug)]
pub struct RequestLines {
    /// First the lines that are sent on unchanged, then the others.
    pub text: Vec<u8>,
    /// The length of the first part.
    pub passing: usize,
}

impl RequestFields {
    /// The fields by name, to be edited.
    pub fn map(&mut self) -> &mut HeaderMap {
        if let Self::Text(lines) = self {
            *self = Self::Map(Box::new(to_map(&std::mem::take(&mut lines.text).into())));
        }
        match self {
            Self::Map(map) => map,
            Self::Text(_) => unreachable!("it has just been made a map"),
        }
    }

    /// The map, if the fields are one.
    pub fn as_map(&self) -> Option<&HeaderMap> {
        match self {
            Self::Map(map) => Some(map),
            Self::Text(_) => None,
        }
    }

    /// The first value of a field.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// Every value of a field, in their order.
    pub fn values<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let (text, map) = match self {
            Self::Text(lines) => (Some(split(&lines.text)), None),
            Self::Map(map) => (None, Some(map.get_all(name))),
        };
        let lines = text.into_iter().flatten().filter_map(|(other, value)| {
            other.eq_ignore_ascii_case(name.as_str().as_bytes()).then_some(value)
        });
        lines.chain(map.into_iter().flatten().map(HeaderValue::as_bytes))
    }

    /// The members of a list field.
    pub fn tokens<'a>(&'a self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        self.values(name).flat_map(tokens)
    }
}

/// Whether a value begins or ends with a space or tab: RFC 9113 §8.2.1 calls such a message
/// malformed. In HTTP/1, spaces and tabs around a value are no part of it.
pub fn is_padded(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.first()) || is_space(value.last())
}

/// A host as text. Bytes that are not UTF-8 are replaced: such a host is refused later, and logged.
pub fn text(host: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(host).map_or_else(|_| String::from_utf8_lossy(host), Cow::Borrowed)
}

/// The members of a list field's value.
pub fn tokens(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}
