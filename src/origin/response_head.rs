//! A server's response head: read strictly, hop-by-hop fields left behind.
//!
//! Owns: parsing, and how the body is framed (RFC 9112 §6.3). May touch: [`crate::http1`].
//! [`crate::origin::exchange`] calls it until a head is whole.

use crate::http1::{
    fields::{FieldText, Fields},
    known::{Known, known},
    lexer::{self, Field},
    lines::{FieldLines, is},
    request::tokens,
    request_head::{HeadLimits, decimal},
};
use bytes::{Buf, Bytes};
use http::{Method, StatusCode};
use std::{mem::take, num::NonZeroU16};

/// How a response's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
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
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields.
    pub fields: Fields,
    /// Its body.
    pub framing: BodyEnd,
    /// Whether the connection may carry another request afterwards.
    pub reusable: bool,
    /// How long the server says that it keeps the connection then, in seconds.
    pub keeps: Option<NonZeroU16>,
}

/// Why a head can't be passed on.
pub type Malformed = &'static str;

/// Takes the first final head out of `unread`; `None` while it is incomplete. What comes before it
/// goes to `interim`. A change of protocols is a final answer. After a malformed head `unread` is
/// empty.
pub fn parse(
    unread: &mut Bytes,
    method: &Method,
    limits: HeadLimits,
    interim: impl Fn(StatusCode, Fields),
) -> Result<Option<ResponseHead>, Malformed> {
    loop {
        let Some(head) = parse_one(unread, method, limits)? else { return Ok(None) };
        if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(head));
        }
        interim(head.status, head.fields);
    }
}

fn parse_one(
    unread: &mut Bytes,
    method: &Method,
    limits: HeadLimits,
) -> Result<Option<ResponseHead>, Malformed> {
    if unread.is_empty() {
        return Ok(None);
    }
    let mut whole = take(unread);
    let found = lex(&whole, method, limits)?;
    let Some((head, length)) = found else {
        *unread = whole;
        return Ok(None);
    };
    if whole.len() > length {
        whole.advance(length);
        *unread = whole;
    }
    Ok(Some(head))
}

/// The head at the beginning of `whole`, and its length.
fn lex(
    whole: &Bytes,
    method: &Method,
    limits: HeadLimits,
) -> Result<Option<(ResponseHead, usize)>, Malformed> {
    let mut fields = lexer::LexedFields::new();
    let (line, length) = match lexer::response(whole, limits.fields, &mut fields) {
        Ok(Some((line, length))) if length <= limits.head => (line, length),
        Ok(None) if whole.len() <= limits.head => return Ok(None),
        Ok(_) => return Err("its head is larger than the upstream's `limits.response_head`"),
        Err(httparse::Error::TooManyHeaders) => {
            return Err("it has more fields than the upstream's `limits.response_headers`");
        }
        Err(httparse::Error::Version) => return Err("it is no HTTP/1 response"),
        Err(httparse::Error::Status) => return Err("its status line is malformed"),
        Err(_) => return Err("its head is malformed"),
    };
    let status = StatusCode::from_u16(line.status).map_err(|_| "its status is out of range")?;
    // The `Upgrade` of such an answer says which protocol follows.
    let switching = status == StatusCode::SWITCHING_PROTOCOLS;
    let head = read(&fields, whole, length, switching)?.finish(status, line.http11, method)?;
    Ok(Some((head, length)))
}

/// What the fields said.
#[derive(Default)]
struct Read {
    text: FieldText,
    transfer_encoding: Option<TransferEncoding>,
    close: bool,
    keep_alive: bool,
    keeps: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TransferEncoding {
    Chunked,
    Other,
}

/// Reads the fields of a head that is the first `size` bytes of `block`.
fn read(
    fields: &[Field<'_>],
    block: &Bytes,
    size: usize,
    switching: bool,
) -> Result<Read, Malformed> {
    let mut read = Read::default();
    let (mut lines, mut nominated) = (FieldLines::new(block, size), Vec::new());
    for field in fields {
        match known(field.name) {
            Some(Known::Connection) => read.connection(field.value, &mut nominated),
            Some(Known::TransferEncoding) => read.transfer_encoding(field.value),
            Some(Known::KeepAlive) => read.keeps = timeout(field.value),
            Some(Known::Upgrade) if switching => lines.push(field),
            Some(Known::HopByHop | Known::Te | Known::Upgrade) => {}
            Some(Known::ContentLength) => {
                if read.content_length(field.value)? {
                    lines.push(field);
                }
            }
            Some(Known::Date) => {
                read.text.dated = true;
                lines.push(field);
            }
            _ => lines.push(field),
        }
    }
    read.text.lines = lines.shared(block);
    read.text.sized = read.text.length.is_some();
    if !nominated.is_empty() {
        // Rare. The fields may have come before the `Connection` that names them. Framing fields
        // can't be dropped this way.
        read.text.retain(|name| {
            is(name, b"content-length")
                || switching && is(name, b"upgrade")
                || !nominated.iter().any(|it| it.eq_ignore_ascii_case(name))
        });
    }
    Ok(read)
}

impl Read {
    fn connection<'a>(&mut self, value: &'a [u8], nominated: &mut Vec<&'a [u8]>) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else {
                nominated.push(token);
            }
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        let chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        // We would have to undo any coding other than `chunked`.
        self.transfer_encoding = Some(match self.transfer_encoding {
            None if chunked => TransferEncoding::Chunked,
            _ => TransferEncoding::Other,
        });
    }

    /// Returns whether it is the first one: equal ones count as one (RFC 9112 §6.3).
    fn content_length(&mut self, value: &[u8]) -> Result<bool, Malformed> {
        let length = decimal(value).ok_or("its Content-Length is no number")?;
        match self.text.length.replace(length) {
            Some(earlier) if earlier != length => Err("it has differing Content-Lengths"),
            earlier => Ok(earlier.is_none()),
        }
    }

    fn finish(
        mut self,
        status: StatusCode,
        http11: bool,
        method: &Method,
    ) -> Result<ResponseHead, Malformed> {
        let mut reusable = !self.close && (http11 || self.keep_alive);
        let bodiless = *method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        let framing = match (bodiless, self.transfer_encoding, self.text.length) {
            (true, ..) => BodyEnd::Length(0),
            (_, Some(_), _) if !http11 => return Err("Transfer-Encoding in HTTP/1.0"),
            (_, Some(TransferEncoding::Other), _) => {
                return Err("it has a transfer coding other than chunked");
            }
            (_, Some(TransferEncoding::Chunked), both) => {
                // RFC 9112 §6.3: `chunked` wins, and the connection is not used again.
                reusable &= both.is_none();
                self.text.drop_length();
                BodyEnd::Chunked
            }
            (_, None, Some(length)) => BodyEnd::Length(length),
            (_, None, None) => {
                reusable = false;
                BodyEnd::Close
            }
        };
        if status == StatusCode::NO_CONTENT {
            // RFC 9110 §8.6: a 204 has no length. A server that announces a body may also send it.
            reusable &=
                self.transfer_encoding.is_none() && matches!(self.text.length, None | Some(0));
            self.text.drop_length();
        }
        reusable &= self.keeps != Some(0);
        let (fields, keeps) = (Fields::Text(self.text), self.keeps.and_then(NonZeroU16::new));
        Ok(ResponseHead { status, fields, framing, reusable, keeps })
    }
}

/// The `timeout` among the parameters of `Keep-Alive`, in seconds (RFC 2068 §19.7.1.1). If we kept
/// a connection longer, the server might close it just as a request is sent.
fn timeout(parameters: &[u8]) -> Option<u16> {
    let seconds = parameters.split(|byte| *byte == b',').find_map(|parameter| {
        let (name, seconds) = parameter.trim_ascii().split_at_checked("timeout=".len())?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| decimal(seconds))?
    })?;
    Some(u16::try_from(seconds).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, header};
    use proptest::prelude::*;

    impl ResponseHead {
        fn map(&self) -> HeaderMap {
            self.fields.clone().map().clone()
        }
    }

    const LIMITS: HeadLimits = HeadLimits { head: 64 * 1024, fields: 200 };

    fn parsed(text: &str, method: &Method) -> Result<Option<ResponseHead>, Malformed> {
        parse(&mut Bytes::from(text.to_owned()), method, LIMITS, |_, _| {})
    }

    fn head(fields: &str) -> ResponseHead {
        parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET).unwrap().unwrap()
    }

    fn refused(fields: &str) -> Malformed {
        parsed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET).unwrap_err()
    }

    #[test]
    fn framing_by_rfc_9112() {
        assert_eq!(head("content-length: 5\r\n").framing, BodyEnd::Length(5));
        assert_eq!(head("content-length: 5\r\ncontent-length: 5\r\n").framing, BodyEnd::Length(5));
        assert_eq!(head("transfer-encoding: Chunked\r\n").framing, BodyEnd::Chunked);
        let close = head("");
        assert!(close.framing == BodyEnd::Close && !close.reusable);
        let both = head("content-length: 5\r\ntransfer-encoding: chunked\r\n");
        assert!(both.framing == BodyEnd::Chunked && !both.reusable);
        assert!(!both.map().contains_key(header::CONTENT_LENGTH));
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
    fn how_long_a_server_keeps_a_connection() {
        let head = |value: &str| head(&format!("Content-Length: 0\r\nKeep-Alive: {value}\r\n"));
        let keeps = |value: &str| head(value).keeps.map(NonZeroU16::get);
        assert_eq!(keeps("timeout=5"), Some(5));
        assert_eq!(keeps("max=100 ,Timeout=60"), Some(60));
        assert_eq!(keeps("timeout=86400"), Some(u16::MAX));
        assert!(head("timeout=1").reusable && !head("timeout=0").reusable);
        for nothing in ["", "5", "timeout", "timeout=", "timeout=5s", "timeout=-1", "max=5"] {
            assert_eq!(keeps(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn responses_without_a_body() {
        let head = parsed("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &Method::HEAD);
        let head = head.unwrap().unwrap();
        assert_eq!(head.framing, BodyEnd::Length(0));
        assert_eq!(head.map()["content-length"], "5");
        for status in ["204 No Content", "304 Not Modified"] {
            let head = parsed(&format!("HTTP/1.1 {status}\r\n\r\n"), &Method::GET);
            assert_eq!(head.unwrap().unwrap().framing, BodyEnd::Length(0));
        }
    }

    #[test]
    fn hop_by_hop_and_nominated_fields_stay_behind() {
        let head = head(
            "connection: keep-alive, x-mine\r\nkeep-alive: timeout=5\r\nx-mine: 1\r\n\
             proxy-authenticate: x\r\nx-kept: 1\r\ncontent-length: 0\r\n",
        );
        assert!(head.reusable);
        assert_eq!(head.map().len(), 2);
        assert_eq!(head.map()["x-kept"], "1");
        let sized =
            self::head("date: x\r\ncontent-length: 2\r\nconnection: content-length, date\r\n");
        assert_eq!(sized.framing, BodyEnd::Length(2));
        assert_eq!(text(&sized).lines, "content-length: 2\r\n");
        assert!(!text(&sized).dated);
    }

    fn text(head: &ResponseHead) -> &FieldText {
        let Fields::Text(text) = &head.fields else { panic!("{head:?}") };
        text
    }

    #[test]
    fn lines_that_stand_together_stay_where_they_are() {
        let lines = |fields: &str| text(&head(fields)).lines.clone();
        let block = Bytes::from("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 1\r\n\r\n");
        let kept = parse(&mut block.clone(), &Method::GET, LIMITS, |_, _| {}).unwrap().unwrap();
        assert_eq!(text(&kept).lines.as_ptr(), block[17..].as_ptr());
        assert_eq!(text(&kept).lines, "Server: x\r\nContent-Length: 1\r\n");
        let apart =
            "a: 1\r\nb: 2\r\nte: x\r\nc: 3\r\nContent-Length: 4\r\ncontent-length: 4\r\nd: 5\r\n";
        assert_eq!(lines(apart), "a: 1\r\nb: 2\r\nc: 3\r\nContent-Length: 4\r\nd: 5\r\n");
        let odd = "a: 1\r\nb :2\r\nc:\r\nd:  4 \t\r\ne: 5\nf: 6\r\n";
        assert_eq!(lines(odd), "a: 1\r\nb: 2\r\nc: \r\nd: 4\r\ne: 5\r\nf: 6\r\n");
        assert_eq!(lines("keep-alive: 1\r\n"), "");
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                    HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";
        let head = parsed(text, &Method::POST).unwrap().unwrap();
        assert_eq!(head.status, 201);
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
        assert_eq!(head("a : b\r\n").map()["a"], "b");
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
            let _ = parse(&mut Bytes::from(noise), &Method::GET, LIMITS, |_, _| {});
        }

        #[test]
        fn mutations_never_panic(at in 0usize..90, byte in any::<u8>()) {
            let mut text = *b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close, x\r\nempty:\r\nx: y\r\n\r\nhello..........";
            text[at % text.len()] = byte;
            let _ = parse(&mut Bytes::copy_from_slice(&text), &Method::GET, LIMITS, |_, _| {});
        }
    }
}
