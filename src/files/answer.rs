//! The responses: a file, a part of it, or an error.
//!
//! Owns: status and headers of every answer, and why there is none. May touch: [`crate::http1`],
//! [`crate::message`]. Next: the filters, then the connection.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED,
        LOCATION, VARY,
    },
};

use crate::{
    http1::{fields::Fields, target::RequestTarget},
    message::{
        answer::Answer,
        body::Body,
        conditional::{self, Precondition},
        range::{self, AskedRange},
    },
};

use super::{
    FileRequest,
    body::{from_file, held},
    document::{Contents, Document},
    multipart::multipart,
    resolve::NoFile,
};

/// Why there is no file to send. The proxy makes its error answer from this.
#[derive(Debug)]
pub struct Refused {
    /// The answer's status.
    pub status: StatusCode,
    /// In one word, for log and metrics.
    pub reason: &'static str,
    /// The same in the system's words.
    pub detail: Option<String>,
    /// What the client is to know beside.
    pub field: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Refused {
    /// Nothing is there, also not at the other paths.
    pub fn missing(status: StatusCode) -> Self {
        Self::new(status, "file_not_found")
    }

    /// Whether another path may be tried.
    pub fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason, detail: None, field: None }
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { field: Some((name, value).into()), ..self }
    }

    /// Files answer GET and HEAD only, so others are 405. 501 is for methods that are not known at
    /// all (RFC 9110 §9.1, §15.6.2).
    pub(super) fn method(method: &Method) -> Self {
        match *method {
            Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::PATCH
            | Method::OPTIONS
            | Method::TRACE
            | Method::CONNECT => Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
                .with(ALLOW, HeaderValue::from_static("GET, HEAD")),
            _ => Self::new(StatusCode::NOT_IMPLEMENTED, "method_unknown"),
        }
    }

    /// 416, with the file's length (RFC 9110 §15.5.17).
    fn range(length: u64) -> Self {
        let refused = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable");
        match HeaderValue::try_from(format!("bytes */{length}")) {
            Ok(value) => refused.with(CONTENT_RANGE, value),
            Err(_) => refused,
        }
    }
}

impl From<NoFile> for Refused {
    fn from(refusal: NoFile) -> Self {
        match refusal {
            NoFile::Missing => Self::new(StatusCode::NOT_FOUND, "file_not_found"),
            NoFile::Forbidden => Self::new(StatusCode::FORBIDDEN, "file_forbidden"),
            NoFile::Failed(error) => {
                tracing::warn!(%error, "a file cannot be read");
                let failed = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "file_error");
                Self { detail: Some(error.to_string()), ..failed }
            }
        }
    }
}

/// Answers a GET or HEAD with a document: preconditions first, then the range (RFC 9110 §13.2.2).
/// Without `conditions` there are neither.
pub(super) fn with_document(
    document: &Document,
    asked: &FileRequest<'_>,
) -> Result<Answer<Body>, Refused> {
    let (method, document) = (asked.method, document.for_client(asked.codings));
    let Some(headers) = asked.conditions else { return Ok(whole(document, method)) };
    Ok(match conditional::evaluate(headers, &document.validators) {
        Precondition::Proceed => {
            match range::of(method, headers, &document.validators, document.length) {
                AskedRange::Whole => {
                    match range::several(method, headers, &document.validators, document.length) {
                        Some(parts) if parts.len() > 1 => several(document, &parts),
                        Some(parts) => part(document, parts[0].0, parts[0].1),
                        None => whole(document, method),
                    }
                }
                AskedRange::Part { first, last } => part(document, first, last),
                AskedRange::Unsatisfiable => return Err(Refused::range(document.length)),
            }
        }
        Precondition::NotModified => not_modified(document),
        Precondition::Failed => {
            return Err(Refused::new(StatusCode::PRECONDITION_FAILED, "precondition_failed"));
        }
    })
}

/// 200, with the body if it is a GET.
fn whole(document: &Document, method: &Method) -> Answer<Body> {
    let is_head = method == Method::HEAD;
    let body = if is_head { Body::Empty } else { bytes(document, 0, document.length) };
    let fields = Fields::Text(document.description.clone());
    Answer { fields, ..Answer::new(StatusCode::OK, body) }
}

/// 206.
fn part(document: &Document, first: u64, last: u64) -> Answer<Body> {
    let length = last - first + 1;
    let body = bytes(document, first, length);
    let fields = Fields::Text(document.description.clone());
    let mut answer = Answer { fields, ..Answer::new(StatusCode::PARTIAL_CONTENT, body) };
    let headers = answer.fields.map();
    headers.insert(CONTENT_LENGTH, length.into());
    insert(headers, CONTENT_RANGE, format!("bytes {first}-{last}/{}", document.length));
    answer
}

/// 206 with several parts.
fn several(document: &Document, parts: &[(u64, u64)]) -> Answer<Body> {
    let body =
        |&(first, last): &(u64, u64)| ((first, last), bytes(document, first, last - first + 1));
    let kind = document.content_type.to_str().unwrap_or_default();
    let (body, kind) = multipart(parts.iter().map(body), document.length, kind);
    let fields = Fields::Text(document.description.clone());
    let length = body.length().exact().unwrap_or_default();
    let mut answer = Answer { fields, ..Answer::new(StatusCode::PARTIAL_CONTENT, body) };
    let headers = answer.fields.map();
    headers.insert(CONTENT_LENGTH, length.into());
    insert(headers, CONTENT_TYPE, kind);
    answer
}

/// The `length` bytes from `start` on.
fn bytes(document: &Document, start: u64, length: u64) -> Body {
    match &document.contents {
        Contents::Held(bytes, twin) => held(bytes, twin.as_ref(), start, length),
        Contents::Open(file) => from_file(Arc::clone(file), document.stamp, start, length),
    }
}

/// 304: only the fields that the client needs for the copy that it has (RFC 9110 §15.4.5).
fn not_modified(document: &Document) -> Answer<Body> {
    let validators = &document.validators;
    let own = [
        (ETAG, &validators.etag),
        (LAST_MODIFIED, &validators.last_modified),
        (CACHE_CONTROL, &document.cache_control),
        (VARY, &document.varies.then(|| HeaderValue::from_static("accept-encoding"))),
    ];
    own.into_iter().fold(with_status(StatusCode::NOT_MODIFIED), |answer, (name, value)| match value
    {
        Some(value) => answer.with(name, value.clone()),
        None => answer,
    })
}

/// 301 to the directory with the slash at its end, so that relative links in it work.
///
/// The client is sent to the path that it asked for, with its prefix, its escapes and its query,
/// and never to another host: a path that began with two slashes would name one.
pub(super) fn to_directory(target: &RequestTarget) -> Answer<Body> {
    let path = target.path().trim_start_matches('/');
    let mut answer = with_status(StatusCode::MOVED_PERMANENTLY);
    let location = match target.query() {
        Some(query) => format!("/{path}/?{query}"),
        None => format!("/{path}/"),
    };
    insert(answer.fields.map(), LOCATION, location);
    answer
}

fn with_status(status: StatusCode) -> Answer<Body> {
    Answer::new(status, Body::Empty)
}

/// Inserts a value made of digits or of a URI, which no header can refuse.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
