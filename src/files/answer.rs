//! The responses: a file, a part of it, or why not.
//!
//! Owns: status and headers of every answer. May touch: [`super::conditional`] and
//! [`super::range`], which decide. Next: the filters, then the connection.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, LOCATION, RANGE,
    },
};

use crate::{
    http1::{fields::Fields, target::Target},
    message::answer::Answer,
};

use super::{
    body::FileBody,
    conditional::{self, Verdict},
    document::{Contents, Document},
    range::{self, Asked},
    resolve::Refusal,
};

const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// Answers a GET or HEAD with a document: preconditions first, then the range (RFC 9110 §13.2.2).
/// Without `conditions` there are neither.
pub(super) fn with_document(
    document: &Document,
    method: &Method,
    conditions: Option<&HeaderMap>,
) -> Answer<FileBody> {
    let Some(headers) = conditions else { return whole(document, method) };
    match conditional::evaluate(headers, &document.validators) {
        Verdict::Proceed => match range_of(document, method, headers) {
            Asked::Whole => whole(document, method),
            Asked::Part { first, last } => part(document, first, last),
            Asked::Unsatisfiable => unsatisfiable(document),
        },
        Verdict::NotModified => not_modified(document),
        Verdict::Failed => with_status(StatusCode::PRECONDITION_FAILED),
    }
}

/// The range asked for. Only GET has ranges (RFC 9110 §14.2), and several fields are none.
fn range_of(document: &Document, method: &Method, headers: &HeaderMap) -> Asked {
    let mut fields = headers.get_all(RANGE).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None)
            if method == Method::GET
                && conditional::range_applies(headers, &document.validators) =>
        {
            range::read(field.as_bytes(), document.length)
        }
        _ => Asked::Whole,
    }
}

/// 200, with the body if it is a GET.
fn whole(document: &Document, method: &Method) -> Answer<FileBody> {
    let body = if method == Method::HEAD {
        FileBody::Empty
    } else {
        match &document.contents {
            Contents::Held(bytes, twin) => FileBody::held(bytes, twin.as_ref(), 0, document.length),
            Contents::Open(file) => FileBody::from_file(Arc::clone(file), 0, document.length),
        }
    };
    let fields = Fields::Text(document.description.clone());
    Answer { fields, ..Answer::new(StatusCode::OK, body) }
}

/// 206.
fn part(document: &Document, first: u64, last: u64) -> Answer<FileBody> {
    let length = last - first + 1;
    let body = match &document.contents {
        Contents::Held(bytes, twin) => FileBody::held(bytes, twin.as_ref(), first, length),
        Contents::Open(file) => FileBody::from_file(Arc::clone(file), first, length),
    };
    let fields = Fields::Text(document.description.clone());
    let mut answer = Answer { fields, ..Answer::new(StatusCode::PARTIAL_CONTENT, body) };
    let headers = answer.fields.map();
    headers.insert(CONTENT_LENGTH, length.into());
    insert(headers, CONTENT_RANGE, format!("bytes {first}-{last}/{}", document.length));
    answer
}

/// 304: what the client needs to keep what it has, and no more (RFC 9110 §15.4.5).
fn not_modified(document: &Document) -> Answer<FileBody> {
    with_status(StatusCode::NOT_MODIFIED)
        .with(ETAG, document.validators.etag.clone())
        .with(LAST_MODIFIED, document.validators.last_modified.clone())
}

/// 416, telling how long the file is (RFC 9110 §15.5.17).
fn unsatisfiable(document: &Document) -> Answer<FileBody> {
    let mut answer = with_status(StatusCode::RANGE_NOT_SATISFIABLE).with(ACCEPT_RANGES, BYTES);
    insert(answer.fields.map(), CONTENT_RANGE, format!("bytes */{}", document.length));
    answer
}

/// 405.
pub(super) fn not_allowed() -> Answer<FileBody> {
    with_status(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, HeaderValue::from_static("GET, HEAD"))
}

/// 301 to the directory with the slash at its end, so that relative links in it work.
///
/// The client is sent to the path that it asked for, with its prefix, its escapes and its query,
/// and never to another host: a path that began with two slashes would name one.
pub(super) fn to_directory(target: &Target) -> Answer<FileBody> {
    let path = target.path().trim_start_matches('/');
    let mut answer = with_status(StatusCode::MOVED_PERMANENTLY);
    let location = match target.query() {
        Some(query) => format!("/{path}/?{query}"),
        None => format!("/{path}/"),
    };
    insert(answer.fields.map(), LOCATION, location);
    answer
}

/// Why there is nothing to serve.
pub(super) fn refusal(refusal: &Refusal) -> Answer<FileBody> {
    with_status(match refusal {
        Refusal::Missing => StatusCode::NOT_FOUND,
        Refusal::Forbidden => StatusCode::FORBIDDEN,
        Refusal::Failed(error) => {
            tracing::warn!(%error, "a file cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    })
}

fn with_status(status: StatusCode) -> Answer<FileBody> {
    Answer::new(status, FileBody::Empty)
}

/// Inserts a value made of digits or of a URI, which no header can refuse.
fn insert(headers: &mut HeaderMap, name: http::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
