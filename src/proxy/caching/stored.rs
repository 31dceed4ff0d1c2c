//! Answers from what is stored.
//!
//! Owns: their fields and bodies, for the client's preconditions and range. May touch:
//! [`crate::cache`], [`crate::http1`], [`crate::message`].

use super::unix_now;
use crate::{
    cache::{
        flight::FlightBody,
        kept::CacheEntry,
        lookup::response,
        policy::{
            Freshness,
            cache_status::{self, Forwarded, Handled},
        },
        store::{StoredBody, StoredEntry, StoredHead},
        streamed::Streamed,
    },
    http1::{
        fields::{FieldText, Fields, write_field},
        outgoing::Part,
    },
    message::{
        answer::Answer,
        body::{Body, Length, Polled, Source, Want},
        conditional::{self, Precondition, Validators},
        range::{self, AskedRange},
    },
    proxy::{facts::Facts, refusal::Refusal},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// The fields that a 304 has, if the response has them (RFC 9110 §15.4.5).
const OF_NOT_MODIFIED: [&[u8]; 8] = [
    b"cache-control",
    b"cdn-cache-control",
    b"content-location",
    b"date",
    b"etag",
    b"expires",
    b"last-modified",
    b"vary",
];

/// The answer of a server that is not stored: only told how it came.
pub(super) fn passed(
    mut answer: Answer<Body>,
    why: Forwarded,
    detail: Option<&'static str>,
) -> Answer<Body> {
    let outcome =
        Handled::Forward { why, status: None, stored: false, collapsed: false, ttl: None, detail };
    let fields = answer.fields.map();
    let value = cache_status::write(&outcome, fields.get_all(CACHE_STATUS).iter());
    fields.insert(CACHE_STATUS, value);
    answer
}

/// A stored response for this request.
pub(super) fn answer(
    facts: &Facts,
    entry: &StoredEntry<CacheEntry>,
    fresh: &Freshness,
    outcome: &Handled,
) -> Result<Answer<Body>, Refusal> {
    let Some(stored) = response(entry) else {
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "fetch_lost"));
    };
    let length = stored.body.len();
    let asked = asked(facts, &stored.head, Some(length))?;
    let is_head = facts.context.head.method == Method::HEAD;
    let body = match asked {
        Wanted::Nothing => Body::Empty,
        Wanted::Part { .. } | Wanted::Whole if is_head => Body::Empty,
        Wanted::Whole => content(&stored.body),
        Wanted::Part { first, last } => in_parts(stored.body.slice(first, last + 1)),
    };
    Ok(made(&stored.head, Some(fresh), outcome, (asked, Some(length)), body))
}

/// A response that comes for several requests.
pub(super) fn streamed(
    facts: &Facts,
    head: &Streamed,
    body: FlightBody,
    outcome: &Handled,
) -> Result<Answer<Body>, Refusal> {
    // A part of what is not all there is not cut out: the whole is an answer, too (RFC 9110 §14.2).
    let asked = asked(facts, &head.head, None)?;
    let is_head = facts.context.head.method == Method::HEAD;
    let nothing = is_head || matches!(asked, Wanted::Nothing);
    let body = if nothing { Body::Empty } else { Body::stream(body) };
    Ok(made(&head.head, head.fresh.ok().as_ref(), outcome, (asked, head.length), body))
}

/// What of a response the client wants.
#[derive(Clone, Copy)]
enum Wanted {
    Whole,
    Part {
        first: u64,
        last: u64,
    },
    /// It has it.
    Nothing,
}

/// By its preconditions, then by its range (RFC 9110 §13.2.2), for which the length must be known.
fn asked(facts: &Facts, head: &StoredHead, length: Option<u64>) -> Result<Wanted, Refusal> {
    let request = &facts.context.head;
    let Some(fields) = request.fields.as_map().filter(|_| request.present.conditional) else {
        return Ok(Wanted::Whole);
    };
    // RFC 9110 §13.2.1: only what would be a success has preconditions.
    if head.status() != 200 {
        return Ok(Wanted::Whole);
    }
    let field = |name: &[u8]| head.first(name);
    let current = Validators::of_response(field(b"etag"), field(b"last-modified"), field(b"date"));
    match conditional::evaluate(fields, &current) {
        Precondition::NotModified => return Ok(Wanted::Nothing),
        Precondition::Failed => {
            return Err(Refusal::new(StatusCode::PRECONDITION_FAILED, "precondition_failed"));
        }
        Precondition::Proceed => {}
    }
    let Some(length) = length else { return Ok(Wanted::Whole) };
    match range::of(&request.method, fields, &current, length) {
        AskedRange::Whole => Ok(Wanted::Whole),
        AskedRange::Part { first, last } => Ok(Wanted::Part { first, last }),
        AskedRange::Unsatisfiable => {
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable");
            let value = HeaderValue::try_from(format!("bytes */{length}")).ok();
            let field = value.map(|it| (header::CONTENT_RANGE, it).into());
            Err(Refusal { field, ..refusal })
        }
    }
}

fn made(
    head: &StoredHead,
    fresh: Option<&Freshness>,
    outcome: &Handled,
    (asked, length): (Wanted, Option<u64>),
    body: Body,
) -> Answer<Body> {
    let now = unix_now();
    let mut lines = Vec::with_capacity(head.weight() as usize + 512);
    let (mut dated, mut others) = (false, Vec::new());
    for (name, value) in head.fields() {
        if name.eq_ignore_ascii_case(b"cache-status") {
            others.push(value);
            continue;
        }
        let is_kept = |kept: &&[u8]| kept.eq_ignore_ascii_case(name);
        if matches!(asked, Wanted::Nothing) && !OF_NOT_MODIFIED.iter().any(is_kept) {
            continue;
        }
        dated |= name.eq_ignore_ascii_case(b"date");
        write_field(&mut lines, name, value);
    }
    if let Some(fresh) = fresh {
        write_field(&mut lines, b"age", itoa::Buffer::new().format(fresh.age(now)).as_bytes());
    }
    lines.extend_from_slice(b"cache-status: ");
    cache_status::append(&mut lines, outcome, others);
    lines.extend_from_slice(b"\r\n");
    let mut status = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::OK);
    let mut length = length;
    match asked {
        Wanted::Whole => {}
        Wanted::Nothing => (status, length) = (StatusCode::NOT_MODIFIED, None),
        Wanted::Part { first, last } => {
            let range = format!("bytes {first}-{last}/{}", length.unwrap_or_default());
            write_field(&mut lines, b"content-range", range.as_bytes());
            (status, length) = (StatusCode::PARTIAL_CONTENT, Some(last - first + 1));
        }
    }
    let fields = Fields::Text(FieldText { lines: lines.into(), dated, length, sized: false });
    Answer { fields, ..Answer::new(status, body) }
}

fn content(body: &StoredBody) -> Body {
    let mut parts = body.parts();
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        None => first.into(),
        Some(second) => {
            Body::stream(StoredParts([first, second].into_iter().chain(parts).collect()))
        }
    }
}

fn in_parts(parts: Vec<Bytes>) -> Body {
    match <[Bytes; 1]>::try_from(parts) {
        Ok([part]) => part.into(),
        Err(parts) => Body::stream(StoredParts(parts.into())),
    }
}

/// Stored fields by name.
pub(super) fn stored_map<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(16);
    for (name, value) in fields {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    }
    map
}

/// Content in several parts.
struct StoredParts(VecDeque<Bytes>);

impl Source for StoredParts {
    fn poll_part(&mut self, _: &mut Context<'_>, want: Want) -> Polled {
        if want.most == 0 && !self.0.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(self.0.pop_front().map(|part| Ok(Part::Frame(Frame::data(part)))))
    }

    fn length(&self) -> Length {
        match self.0.iter().map(|part| part.len() as u64).sum() {
            0 => Length::None,
            left => Length::Exact(left),
        }
    }
}
