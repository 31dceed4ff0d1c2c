//! What an active check asks, and what its answer means.
//!
//! Owns: a check's request in both versions of HTTP, and gRPC's health protocol
//! (github.com/grpc/grpc/blob/master/doc/health-checking.md). May touch: [`crate::http1`],
//! [`crate::message`], [`crate::settings`], [`crate::upstream`]. Called by [`super::probe`].

use super::{Asking, Reply};
use crate::{
    http1::outgoing::{Outgoing, Part},
    message::{
        body::{Body, Length, Want},
        grpc,
        upload::Upload,
    },
    settings::HealthCheck,
    upstream::Server,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Uri, Version, header, uri::Scheme};
use std::future::poll_fn;

/// The path that a gRPC check asks.
const GRPC_PATH: &str = "/grpc.health.v1.Health/Check";

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Answers of the health service are a few bytes.
const LONGEST: usize = 4 * 1024;

/// A check's request.
pub struct CheckRequest<'a> {
    /// The check, as the config has it.
    pub check: &'a HealthCheck,
}

/// What is known of a server's health once the answer's head is there.
pub enum AnswerVerdict {
    /// The head tells all there is to know.
    Told(Result<(), String>),
    /// The body tells.
    InTheBody,
}

impl Asking for CheckRequest<'_> {
    fn method(&self) -> &Method {
        if self.check.grpc.is_some() { &Method::POST } else { &Method::GET }
    }

    fn write_http1(&self, outgoing: &mut Outgoing, server: &Server, _: Length) {
        let out = outgoing.begin();
        let host = self.check.host.as_deref().unwrap_or(server.host());
        for part in ["GET ", &self.check.path, " HTTP/1.1\r\nhost: ", host] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"\r\nuser-agent: sheave-health-check\r\nconnection: close\r\n\r\n");
    }

    fn to_http2(&self, server: &Server, tls: bool, _: Length) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = self.method().clone();
        *request.version_mut() = Version::HTTP_2;
        let path = if self.check.grpc.is_some() { GRPC_PATH } else { &*self.check.path };
        let host = self.check.host.as_deref().unwrap_or(server.host());
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
        *request.uri_mut() = uri.unwrap_or_default();
        let fields = request.headers_mut();
        fields.insert(header::USER_AGENT, HeaderValue::from_static("sheave-health-check"));
        if self.check.grpc.is_some() {
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            fields.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        request
    }
}

impl CheckRequest<'_> {
    /// The request's body.
    pub fn body(&self) -> Upload {
        let body = self.check.grpc.as_deref().map_or(Body::Empty, |it| question(it).into());
        Upload::new(body, 0, usize::MAX, &None)
    }

    /// What the answer's head says.
    pub fn judge(&self, reply: &mut Reply) -> AnswerVerdict {
        let status = reply.status.as_u16();
        if self.check.grpc.is_none() {
            let fine = self.check.status.iter().any(|it| (it.first..=it.last).contains(&status));
            return AnswerVerdict::Told(if fine {
                Ok(())
            } else {
                Err(format!("it answered {status}"))
            });
        }
        match grpc::status_in(reply.fields.map()) {
            _ if status != 200 => AnswerVerdict::Told(Err(format!("it answered {status}"))),
            Some(status) if status != 0 => AnswerVerdict::Told(Err(refused(status))),
            _ => AnswerVerdict::InTheBody,
        }
    }

    /// What the answer's body says.
    pub async fn read(&self, mut body: Body) -> Result<(), String> {
        let (mut message, mut status) = (BytesMut::new(), None);
        while let Some(part) = poll_fn(|cx| body.poll_part(cx, Want::ALL)).await {
            let Part::Frame(frame) = part.map_err(|error| error.to_string())? else { continue };
            match frame.into_data() {
                Ok(data) if message.len() + data.len() > LONGEST => {
                    return Err("its answer is too long".into());
                }
                Ok(data) => message.extend_from_slice(&data),
                Err(frame) => status = frame.trailers_ref().and_then(grpc::status_in),
            }
        }
        match (status, serving_status(&message)) {
            (Some(0), Some(SERVING)) => Ok(()),
            (Some(0), Some(status)) => {
                let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
                let name = usize::try_from(status).ok().and_then(|it| names.get(it));
                Err(format!("its service is {}", name.unwrap_or(&"in an unknown state")))
            }
            (Some(0), None) => Err("its answer is no HealthCheckResponse".into()),
            (Some(status), _) => Err(refused(status)),
            (None, _) => Err("its answer has no grpc-status".into()),
        }
    }
}

fn refused(status: u8) -> String {
    match status {
        5 => "it knows no such service (grpc-status 5, NOT_FOUND)".into(),
        12 => "it has no health service (grpc-status 12, UNIMPLEMENTED)".into(),
        status => format!("it answered grpc-status {status}"),
    }
}

/// `HealthCheckRequest { service }`, in a frame.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        // Field 1, a string.
        message.put_u8(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            message.put_u8((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(&message);
    frame.freeze()
}

/// `HealthCheckResponse.status`, out of a frame.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(5)?;
    let length = u32::from_be_bytes(*head.last_chunk()?) as usize;
    if head[0] != 0 || message.len() != length {
        return None;
    }
    match message {
        // A field that has its default value is left out.
        [] => Some(0),
        [0x08, number @ ..] => {
            let mut value = 0;
            for (at, byte) in number.iter().enumerate().take(9) {
                value |= u64::from(byte & 0x7f) << (7 * at);
                if byte & 0x80 == 0 {
                    return Some(value);
                }
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames() {
        assert_eq!(&question("")[..], b"\0\0\0\0\0");
        assert_eq!(&question("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        let long = question(&"x".repeat(300));
        assert_eq!((&long[..8], long.len()), (&b"\0\0\0\x01\x2f\x0a\xac\x02"[..], 308));
        assert_eq!(serving_status(b"\0\0\0\0\x02\x08\x01"), Some(1));
        assert_eq!(serving_status(b"\0\0\0\0\0"), Some(0));
        for bad in [&b""[..], b"\0\0\0\0\x02\x08", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x01\x0a"] {
            assert_eq!(serving_status(bad), None, "{bad:?}");
        }
    }
}
