//! Content codings of responses: compressed for clients that take it, or the server's coding undone
//! for those that do not.
//!
//! Owns: the choice of a coding, the head's edit, and the body that codes another one. May touch:
//! [`crate::http1`], [`crate::message`], [`crate::observe`], [`crate::settings`], [`crate::task`].
//! It knows of no route and no client: [`crate::proxy::handle`] calls [`apply`] between a route's
//! action and the filters that see the response.

mod coded_body;
mod decoder;
mod eligible;
mod encoder;
mod inflow;
mod response_fields;
mod turn;
mod wish;

#[cfg(test)]
mod tests;

pub use wish::CodingWish;

use crate::{
    http1::fields::Fields,
    message::body::{Body, Length},
    observe::metrics::Metrics,
    settings::{Coding, Compression},
};
use bytes::Bytes;
use coded_body::CodedBody;
use decoder::Decoder;
use encoder::Encoder;
use http::StatusCode;
use prometheus::IntCounter;

/// A body in memory up to this size is compressed at once, and has a length again.
const AT_ONCE: usize = 32 * 1024;

/// What a route does about content codings, ready to run.
pub struct Codings {
    /// What is compressed, and how.
    pub compress: Option<Compression>,
    /// Whether a server's coding is undone for clients that do not take it.
    pub decompress: bool,
    /// In the order of [`Coding::ALL`].
    counters: Option<[CodedBytes; Coding::ALL.len()]>,
}

impl Codings {
    /// As a route wants it.
    pub fn new(compress: Option<Compression>, decompress: bool, metrics: &Metrics) -> Self {
        let counters = Coding::ALL.map(|coding| CodedBytes {
            taken: metrics.compressed.with_label_values(&[coding.name(), "in"]),
            given: metrics.compressed.with_label_values(&[coding.name(), "out"]),
        });
        Self { compress, decompress, counters: Some(counters) }
    }

    /// The same for an answer that nobody gets.
    #[must_use]
    pub fn uncounted(&self) -> Self {
        Self { compress: self.compress.clone(), decompress: self.decompress, counters: None }
    }
}

/// Bytes that were compressed, before and after.
#[derive(Clone)]
struct CodedBytes {
    taken: IntCounter,
    given: IntCounter,
}

/// The coding that a compressible response gets for a request: what is left of `Accept-Encoding`, as
/// a part of a cache's key.
pub fn choose(codings: &Codings, wish: &CodingWish) -> Option<Coding> {
    let compress = codings.compress.as_ref()?;
    if wish.no_transform { None } else { wish.choice(&compress.codings) }
}

/// Brings a response into the coding that its client takes: edits the fields, and wraps the body.
pub fn apply(
    codings: &Codings,
    wish: &CodingWish,
    status: StatusCode,
    fields: &mut Fields,
    body: Body,
) -> Body {
    let body = if codings.decompress { undo(wish, status, fields, body) } else { body };
    let Some(compress) = &codings.compress else { return body };
    if !eligible::is_compressible(compress, status, fields, told_length(wish, fields, &body)) {
        return body;
    }
    response_fields::vary(fields.map());
    let Some(coding) = choose(codings, wish) else { return body };
    if wish.head_only {
        response_fields::coded(fields.map(), Some(coding));
        return body;
    }
    if status == StatusCode::NOT_MODIFIED {
        if wish.holds_weak {
            response_fields::weaken(fields.map());
        }
        return body;
    }
    compressed(codings, compress, coding, fields, body)
}

fn compressed(
    codings: &Codings,
    compress: &Compression,
    coding: Coding,
    fields: &mut Fields,
    body: Body,
) -> Body {
    let streams = response_fields::is_event_stream(fields.map());
    let Ok(mut encoder) = Encoder::new(coding, compress.level, body.length().exact(), streams)
    else {
        // There is no memory for it.
        return body;
    };
    let counters = codings.counters.as_ref().map(|it| &it[coding as usize]);
    if let Body::Full(whole) = &body
        && whole.len() <= AT_ONCE
    {
        let mut out = Vec::with_capacity(whole.len() / 2);
        let coded = encoder.encode(whole, &mut out).and_then(|()| encoder.finish(&mut out));
        if coded.is_err() || out.len() >= whole.len() {
            return body;
        }
        if let Some(counters) = counters {
            counters.taken.inc_by(whole.len() as u64);
            counters.given.inc_by(out.len() as u64);
        }
        response_fields::coded(fields.map(), Some(coding));
        return Bytes::from(out).into();
    }
    response_fields::coded(fields.map(), Some(coding));
    Body::stream(CodedBody::encoding(body, encoder, counters.cloned()))
}

/// Takes a server's coding off, if the client does not take it.
fn undo(wish: &CodingWish, status: StatusCode, fields: &mut Fields, body: Body) -> Body {
    let Some(coding) = eligible::undoable(status, fields) else { return body };
    response_fields::vary(fields.map());
    if wish.no_transform || wish.takes(coding) {
        return body;
    }
    if wish.head_only {
        response_fields::coded(fields.map(), None);
        return body;
    }
    let Ok(decoder) = Decoder::new(coding) else { return body };
    response_fields::coded(fields.map(), None);
    if body.is_ended() {
        return body;
    }
    Body::stream(CodedBody::decoding(body, decoder))
}

/// How long the body is, as far as it is known. Of an answer to HEAD, it is what a GET's would be.
fn told_length(wish: &CodingWish, fields: &Fields, body: &Body) -> Option<u64> {
    if !wish.head_only {
        return body.length().exact();
    }
    match body.length() {
        Length::None => fields.told_length(),
        length => length.exact(),
    }
}
