//! The head of an export.
//!
//! Owns: how it is written. May touch: [`crate::http1`], [`crate::message`], [`crate::origin`],
//! [`crate::upstream`]. Sent by [`super::collector`].

use super::ExportTerms;
use crate::{http1::outgoing::Outgoing, message::body::Length, origin::Asking, upstream::Server};
use http::{HeaderValue, Method, Request, Uri, header, uri::Scheme};

/// The head of an export.
pub(super) struct ExportRequest<'a> {
    /// Where to, and with which fields.
    pub(super) terms: &'a ExportTerms,
    /// `/v1/traces` or `/v1/metrics`.
    pub(super) path: &'static str,
}

const USER_AGENT: &str = concat!("sheave/", env!("CARGO_PKG_VERSION"));
const PROTOBUF: &str = "application/x-protobuf";

impl Asking for ExportRequest<'_> {
    fn method(&self) -> &Method {
        &Method::POST
    }

    fn write_http1(&self, outgoing: &mut Outgoing, _: &Server, length: Length) {
        let Length::Exact(length) = length else { return };
        let (terms, out) = (self.terms, outgoing.begin());
        let length = length.to_string();
        for part in ["POST ", &terms.base, self.path, " HTTP/1.1\r\nhost: ", &terms.host] {
            out.extend_from_slice(part.as_bytes());
        }
        let mut field = |name: &str, value: &[u8]| {
            for part in [b"\r\n", name.as_bytes(), b": ", value] {
                out.extend_from_slice(part);
            }
        };
        field("content-type", PROTOBUF.as_bytes());
        field("content-length", length.as_bytes());
        field("user-agent", USER_AGENT.as_bytes());
        if terms.gzip {
            field("content-encoding", b"gzip");
        }
        for (name, value) in &terms.headers {
            field(name.as_str(), value.as_bytes());
        }
        out.extend_from_slice(b"\r\n\r\n");
    }

    fn to_http2(&self, _: &Server, tls: bool, length: Length) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let path = format!("{}{}", self.terms.base, self.path);
        let uri = Uri::builder().scheme(scheme).authority(&*self.terms.host).path_and_query(path);
        *request.uri_mut() = uri.build().unwrap_or_default();
        let fields = request.headers_mut();
        fields.extend(self.terms.headers.iter().cloned());
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Length::Exact(length) = length {
            fields.insert(header::CONTENT_LENGTH, length.into());
        }
        if self.terms.gzip {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        request
    }
}
