//! Answers of our own when a request can't be served, and the one place that gives errors a status.
//!
//! Owns: status, reason and text. May touch: [`crate::message`], [`crate::observe`],
//! [`crate::origin`], [`crate::upstream`]. [`super::handle`] turns a [`Refusal`] into an
//! [`Answer`].

use crate::{
    message::{answer::Answer, body::BodyError},
    observe::outcome::AttemptOutcome,
    origin::failure::Failure,
    upstream::Unavailable,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// The reason in one word, for log and metrics.
    pub reason: &'static str,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// A field that tells the client more, such as `Allow`.
    pub field: Option<Box<(HeaderName, HeaderValue)>>,
    /// Whether the client's connection can't be trusted to carry another request.
    pub close: bool,
}

impl Refusal {
    /// A refusal after which the connection is still usable.
    pub fn new(status: StatusCode, reason: &'static str) -> Self {
        Self { status, reason, retry_after: None, field: None, close: false }
    }

    /// The client's fault; the bytes after it on the connection can't be trusted.
    pub fn malformed(reason: &'static str) -> Self {
        Self { close: true, ..Self::new(StatusCode::BAD_REQUEST, reason) }
    }

    /// No server may be asked.
    pub fn unavailable(unavailable: &Unavailable) -> Self {
        let retry_after = Some(unavailable.retry_after_ms.div_ceil(1000).max(1));
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, unavailable.reason) }
    }

    /// The last server asked failed.
    pub fn failed(failure: &Failure) -> Self {
        match failure {
            Failure::Client(BodyError::TooLarge) => Self::too_large(),
            Failure::Client(error) => Self::malformed(error.reason()),
            Failure::ClientTimeout => {
                Self { close: true, ..Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout") }
            }
            Failure::ConnectTimeout | Failure::ResponseTimeout | Failure::SendTimeout => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, outcome(failure).name())
            }
            Failure::Connect(_)
            | Failure::Tls(_)
            | Failure::Reset(_)
            | Failure::Refused(_)
            | Failure::NoTunnels
            | Failure::BadResponse(_) => {
                Self::new(StatusCode::BAD_GATEWAY, outcome(failure).name())
            }
        }
    }

    /// 413. The rest of the body is not read, so the connection ends.
    pub fn too_large() -> Self {
        Self { close: true, ..Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large") }
    }

    /// The answer. Its text has the reason and the request's id, so that a user's report leads to
    /// the line in the log.
    pub fn answer(&self, request_id: &str) -> Answer<Bytes> {
        let Self { status, reason, .. } = self;
        let text = format!("{status}\nreason: {reason}\nrequest id: {request_id}\n");
        let mut answer = Answer::new(self.status, Bytes::from(text));
        answer.close = self.close;
        let headers = answer.fields.map();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::SERVER, HeaderValue::from_static("sheave"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = self.field.as_deref() {
            headers.insert(name, value.clone());
        }
        answer
    }
}

/// How a failed attempt is counted.
pub fn outcome(failure: &Failure) -> AttemptOutcome {
    match failure {
        Failure::Connect(_) => AttemptOutcome::ConnectFailed,
        Failure::Refused(_) => AttemptOutcome::Refused,
        Failure::NoTunnels => AttemptOutcome::NoTunnels,
        Failure::ConnectTimeout => AttemptOutcome::ConnectTimeout,
        Failure::Tls(_) => AttemptOutcome::TlsFailed,
        Failure::SendTimeout => AttemptOutcome::SendTimeout,
        Failure::Reset(_) => AttemptOutcome::Reset,
        Failure::ResponseTimeout => AttemptOutcome::ResponseTimeout,
        Failure::BadResponse(_) => AttemptOutcome::BadResponse,
        Failure::Client(_) | Failure::ClientTimeout => AttemptOutcome::ClientAborted,
    }
}
