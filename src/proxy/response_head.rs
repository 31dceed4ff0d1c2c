//! A server's response head: read strictly, hop-by-hop fields left behind.
//!
//! Owns: parsing, and how the body is framed (RFC 9112 §6.3). May touch: [`crate::message`].
//! [`super::exchange`] calls it until a head is whole.

use crate::{http1::request_head::decimal, message::hop_by_hop::is_hop_by_hop};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, response};
use std::mem::MaybeUninit;

/// Fields in a head; more is answered with 502.
const MOST_FIELDS: usize = 200;
/// Bytes in a head; more is answered with 502.
const LONGEST: usize = 64 * 1024;

/// How a response's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// By its chunks.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// A response head.
#[derive(Debug)]
pub struct ResponseHead {
    /// Status and end-to-end fields.
    pub parts: response::Parts,
    /// Its body.
    pub framing: Framing,
    /// Whether the connection may carry another request afterwards.
    pub reusable: bool,
}

/// A head that can't be passed on; says what is wrong with it.
pub type Malformed = &'static str;

/// The first final head in `unread`, taken out of it; `None` while it is incomplete. Interim
/// responses are dropped: hyper's server has no way to send them on.
pub fn parse(unread: &mut Bytes, method: &Method) -> Result<Option<ResponseHead>, Malformed> {
    loop {
        let Some(head) = parse_one(unread, method)? else { return Ok(None) };
        if head.parts.status == StatusCode::SWITCHING_PROTOCOLS {
            // `Upgrade` is never sent on, so nobody asked (RFC 9110 §7.8).
            return Err("it switches protocols unasked");
        }
        if !head.parts.status.is_informational() {
            return Ok(Some(head));
        }
    }
}

fn parse_one(unread: &mut Bytes, method: &Method) -> Result<Option<ResponseHead>, Malformed> {
    if unread.is_empty() {
        return Ok(None);
    }
    let whole = unread.clone();
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // RFC 9112 §5.1: white space before the colon is removed from responses.
    config.allow_spaces_after_header_name_in_responses(true);
    let parsed = config.parse_response_with_uninit_headers(&mut response, &whole, &mut fields);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST => length,
        Ok(httparse::Status::Partial) if unread.len() <= LONGEST => return Ok(None),
        Ok(_) => return Err("its head is larger than 64 KiB"),
        Err(httparse::Error::TooManyHeaders) => return Err("it has more than 200 fields"),
        Err(httparse::Error::Version) => return Err("it is no HTTP/1 response"),
        Err(httparse::Error::Status) => return Err("its status line is malformed"),
        Err(_) => return Err("its head is malformed"),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or("its status is out of range")?;
    let version = if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut reader = Reader::new(response.headers.len());
    for field in response.headers.iter() {
        reader.take(&whole, field)?;
    }
    unread.advance(length);
    if unread.is_empty() {
        *unread = Bytes::new();
    }
    reader.finish(status, version, method).map(Some)
}

/// What the framing fields said.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    transfer_encoding: Option<TransferEncoding>,
    close: bool,
    keep_alive: bool,
    nominated: Vec<HeaderName>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TransferEncoding {
    Chunked,
    Other,
}

struct Reader {
    framing: Fields,
    map: HeaderMap,
}

impl Reader {
    fn new(fields: usize) -> Self {
        Self { framing: Fields::default(), map: HeaderMap::with_capacity(fields + 2) }
    }

    /// Takes a field, whose value goes on as a slice of what was read.
    fn take(&mut self, whole: &Bytes, field: &httparse::Header<'_>) -> Result<(), Malformed> {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let name = name.map_err(|_| "a field's name is malformed")?;
        if name == header::CONNECTION {
            self.connection(field.value);
        } else if name == header::TRANSFER_ENCODING {
            self.transfer_encoding(field.value);
        } else if !is_hop_by_hop(name.as_str()) {
            if name == header::CONTENT_LENGTH && !self.content_length(field.value)? {
                return Ok(());
            }
            let value = HeaderValue::from_maybe_shared(whole.slice_ref(field.value));
            self.map.append(name, value.map_err(|_| "a field's value is malformed")?);
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                self.framing.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.framing.keep_alive = true;
            } else if let Ok(name) = HeaderName::from_bytes(token) {
                self.framing.nominated.push(name);
            }
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        let chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        // Anything before or after a lone `chunked` is a coding that we would have to undo.
        self.framing.transfer_encoding = Some(match self.framing.transfer_encoding {
            None if chunked => TransferEncoding::Chunked,
            _ => TransferEncoding::Other,
        });
    }

    /// Whether the field is to be kept: the first of equal ones is (RFC 9112 §6.3).
    fn content_length(&mut self, value: &[u8]) -> Result<bool, Malformed> {
        let length = decimal(value).ok_or("its Content-Length is no number")?;
        match self.framing.length.replace(length) {
            None => Ok(true),
            Some(earlier) if earlier == length => Ok(false),
            Some(_) => Err("it has differing Content-Lengths"),
        }
    }

    fn finish(
        mut self,
        status: StatusCode,
        version: Version,
        method: &Method,
    ) -> Result<ResponseHead, Malformed> {
        let fields = &self.framing;
        for name in &fields.nominated {
            if name != header::CONTENT_LENGTH {
                self.map.remove(name);
            }
        }
        let http11 = version == Version::HTTP_11;
        let mut reusable = !fields.close && (http11 || fields.keep_alive);
        let bodiless = *method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let framing = match (bodiless, fields.transfer_encoding, fields.length) {
            (true, ..) => Framing::Length(0),
            (_, Some(_), _) if !http11 => return Err("Transfer-Encoding in HTTP/1.0"),
            (_, Some(TransferEncoding::Other), _) => {
                return Err("it has a transfer coding other than chunked");
            }
            (_, Some(TransferEncoding::Chunked), length) => {
                if length.is_some() {
                    // RFC 9112 §6.3: chunked wins, and the server is not to be trusted further.
                    self.map.remove(header::CONTENT_LENGTH);
                    reusable = false;
                }
                Framing::Chunked
            }
            (_, None, Some(length)) => Framing::Length(length),
            (_, None, None) => {
                reusable = false;
                Framing::Close
            }
        };
        if status == StatusCode::NO_CONTENT {
            // RFC 9110 §8.6: none in a 204.
            self.map.remove(header::CONTENT_LENGTH);
        }
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = status;
        parts.headers = self.map;
        Ok(ResponseHead { parts, framing, reusable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str, method: &Method) -> Result<Option<ResponseHead>, Malformed> {
        parse(&mut Bytes::from(text.to_owned()), method)
    }

    fn head(fields: &str) -> ResponseHead {
        parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET).unwrap().unwrap()
    }

    fn refused(fields: &str) -> Malformed {
        parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET).unwrap_err()
    }

    #[test]
    fn framing_by_rfc_9112() {
        assert_eq!(head("content-length: 5\r\n").framing, Framing::Length(5));
        assert_eq!(head("content-length: 5\r\ncontent-length: 5\r\n").framing, Framing::Length(5));
        assert_eq!(head("transfer-encoding: Chunked\r\n").framing, Framing::Chunked);
        let close = head("");
        assert!(close.framing == Framing::Close && !close.reusable);
        let both = head("content-length: 5\r\ntransfer-encoding: chunked\r\n");
        assert!(both.framing == Framing::Chunked && !both.reusable);
        assert!(!both.parts.headers.contains_key(header::CONTENT_LENGTH));
        refused("content-length: 5\r\ncontent-length: 6\r\n");
        refused("content-length: +5\r\n");
        refused("content-length: 5, 5\r\n");
        refused("transfer-encoding: gzip, chunked\r\n");
        refused("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n");
        assert!(
            parsed("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &Method::GET).is_err()
        );
    }

    #[test]
    fn responses_without_a_body() {
        let head = parsed("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &Method::HEAD);
        let head = head.unwrap().unwrap();
        assert_eq!(head.framing, Framing::Length(0));
        assert_eq!(head.parts.headers["content-length"], "5");
        for status in ["204 No Content", "304 Not Modified"] {
            let head = parsed(&format!("HTTP/1.1 {status}\r\n\r\n"), &Method::GET);
            assert_eq!(head.unwrap().unwrap().framing, Framing::Length(0));
        }
    }

    #[test]
    fn hop_by_hop_and_nominated_fields_stay_behind() {
        let head = head(
            "connection: keep-alive, x-mine\r\nkeep-alive: timeout=5\r\nx-mine: 1\r\n\
             proxy-authenticate: x\r\nx-kept: 1\r\ncontent-length: 0\r\n",
        );
        assert!(head.reusable);
        assert_eq!(head.parts.headers.len(), 2);
        assert_eq!(head.parts.headers["x-kept"], "1");
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                    HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
        let head = parsed(text, &Method::POST).unwrap().unwrap();
        assert_eq!(head.parts.status, 201);
        assert!(
            parsed("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", &Method::POST).unwrap().is_none()
        );
    }

    #[test]
    fn malformed_heads_are_refused() {
        refused("a : b\r\n c: folded\r\n");
        refused("a\r\n");
        refused("a: b\rc\r\n");
        assert!(parsed("nonsense\r\n\r\n", &Method::GET).is_err());
        assert!(
            parsed(&format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(70_000)), &Method::GET).is_err()
        );
        let many = "a: b\r\n".repeat(201);
        refused(&many);
        assert_eq!(head("a : b\r\n").parts.headers["a"], "b");
    }

    #[test]
    fn keep_alive_by_version() {
        let old = |fields: &str| {
            parsed(&format!("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n{fields}\r\n"), &Method::GET)
                .unwrap()
                .unwrap()
                .reusable
        };
        assert!(!old("") && old("connection: keep-alive\r\n"));
        assert!(!head("content-length: 0\r\nconnection: close\r\n").reusable);
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&mut Bytes::from(noise), &Method::GET);
        }

        #[test]
        fn mutations_never_panic(at in 0usize..90, byte in any::<u8>()) {
            let mut text = *b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close, x\r\nempty:\r\nx: y\r\n\r\nhello..........";
            text[at % text.len()] = byte;
            let _ = parse(&mut Bytes::copy_from_slice(&text), &Method::GET);
        }
    }
}
