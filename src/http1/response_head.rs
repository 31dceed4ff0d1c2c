//! The head of a response as a client gets it, and how its body is framed (RFC 9112 §6).
//!
//! Owns: status line, fields, framing fields and `Date`. May touch: nothing outside this room. Only
//! this code decides the framing: the server's framing fields are not passed on.

use super::{
    fields::{ContentLength, Fields, write_known},
    request_head::RequestHead,
};
use http::{Method, StatusCode, Version};

/// What decides, in a request, on the form of its response.
#[derive(Clone, Copy, Debug)]
pub struct ResponseForm {
    /// HEAD: the fields of a GET, and no body (RFC 9110 §9.3.2).
    pub head_only: bool,
    /// HTTP/1.0 knows no chunks.
    pub http10: bool,
    /// The client knows trailers.
    pub trailers: bool,
}

impl ResponseForm {
    /// For received bytes that were no request, so that nothing is known.
    pub const UNREAD: Self = Self { head_only: false, http10: false, trailers: false };

    /// The form that a request's head asks for.
    pub fn by(head: &RequestHead) -> Self {
        Self {
            head_only: head.head.method == Method::HEAD,
            http10: head.head.version == Version::HTTP_10,
            trailers: head.takes_trailers,
        }
    }
}

/// How a response's body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// Not at all.
    None,
    /// As this many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection's end.
    Close,
}

/// Writes the head of a response. `length` is the body's length, if it is known; `closes` says
/// whether the connection ends after it. Returns the body's framing.
pub fn write(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: &Fields,
    length: Option<u64>,
    form: ResponseForm,
    closes: bool,
    date: impl FnOnce() -> [u8; 29],
) -> ResponseFraming {
    status_line(out, status);
    let framing = match length {
        _ if is_bodiless(form.head_only, status) => ResponseFraming::None,
        Some(length) => ResponseFraming::Length(length),
        None if form.http10 => ResponseFraming::Close,
        None => ResponseFraming::Chunked,
    };
    let told = match framing {
        ResponseFraming::Length(length) => ContentLength::Exact(length),
        // RFC 9110 §8.6: none in a 204.
        ResponseFraming::None if status != StatusCode::NO_CONTENT => ContentLength::AsItCame,
        _ => ContentLength::Absent,
    };
    let dated = fields.write(out, told);
    if framing == ResponseFraming::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if !dated {
        // RFC 9110 §6.6.1: an origin server with a clock sends `Date`.
        write_known(out, b"date: ", &date());
    }
    if closes {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    framing
}

/// Writes the head of an interim response, or of a response that changes protocols. The `Upgrade`
/// of the latter is among the fields.
pub fn write_interim(out: &mut Vec<u8>, status: StatusCode, fields: &Fields) {
    status_line(out, status);
    fields.write(out, ContentLength::Absent);
    if status == StatusCode::SWITCHING_PROTOCOLS {
        // RFC 9110 §7.8.
        out.extend_from_slice(b"connection: upgrade\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether an answer has no body, even if its fields announce one (RFC 9110 §6.4.1).
pub fn is_bodiless(head_only: bool, status: StatusCode) -> bool {
    head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue, header};

    const PLAIN: ResponseForm = ResponseForm::UNREAD;

    fn written(
        status: u16,
        fields: &[(HeaderName, &'static str)],
        length: Option<u64>,
        form: ResponseForm,
    ) -> (String, ResponseFraming) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, HeaderValue::from_static(value));
        }
        let (mut out, status) = (Vec::new(), StatusCode::from_u16(status).unwrap());
        let fields = Fields::Map(map.into());
        let framing = write(&mut out, status, &fields, length, form, form.http10, || [b'D'; 29]);
        (String::from_utf8(out).unwrap(), framing)
    }

    #[test]
    fn the_body_decides_on_the_framing_and_no_field() {
        let wrong = [(header::CONTENT_LENGTH, "7"), (header::TRANSFER_ENCODING, "gzip")];
        let (text, framing) = written(200, &wrong, Some(3), PLAIN);
        assert_eq!(
            text,
            format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ndate: {}\r\n\r\n", "D".repeat(29))
        );
        assert_eq!(framing, ResponseFraming::Length(3));
        let (text, framing) = written(200, &wrong, None, PLAIN);
        assert!(text.contains("transfer-encoding: chunked\r\n") && !text.contains("gzip"));
        assert_eq!(framing, ResponseFraming::Chunked);
        let (text, framing) = written(200, &[], None, ResponseForm { http10: true, ..PLAIN });
        assert!(text.contains("connection: close\r\n") && !text.contains("chunked"));
        assert_eq!(framing, ResponseFraming::Close);
    }

    #[test]
    fn responses_without_a_body() {
        let length = [(header::CONTENT_LENGTH, "7"), (header::DATE, "then")];
        let head = ResponseForm { head_only: true, ..PLAIN };
        let (text, framing) = written(200, &length, None, head);
        assert_eq!(text, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\ndate: then\r\n\r\n");
        assert_eq!(framing, ResponseFraming::None);
        assert_eq!(written(304, &length, Some(0), PLAIN).0.matches("content-length: 7").count(), 1);
        let (text, framing) = written(204, &length, Some(0), PLAIN);
        assert!(!text.contains("content-length"), "{text}");
        assert_eq!(framing, ResponseFraming::None);
    }

    #[test]
    fn a_response_may_end_the_connection() {
        let (text, _) = written(400, &[], Some(0), ResponseForm { http10: true, ..PLAIN });
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert_eq!(text.matches("connection: close\r\n").count(), 1);
    }
}
