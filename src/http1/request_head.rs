//! A client's request head: read strictly, with how its body is framed (RFC 9112 §3, §6.3).
//!
//! Owns: the limits, and the fields that concern the connection. May touch: nothing outside this
//! room. Rules for well-formed heads are checked in [`crate::proxy::admission`].

use super::{
    fields::write_field,
    known::{Known, Present, is_grpc, known},
    lexer::{self, Field, RequestLine},
    lines::FieldLines,
    request::{Head, RequestFields, RequestLines, text, tokens},
    target::RequestTarget,
};
use bytes::{Buf, Bytes};
use http::{Method, StatusCode, Version};
use smallvec::SmallVec;

/// `HeaderMap` takes no longer name, and `Uri` takes no longer target.
const LONGEST_NAME: usize = 65_535;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Bytes.
    pub head: usize,
    /// Fields.
    pub fields: usize,
}

/// A head, taken out of what was read.
#[derive(Debug)]
pub struct RequestHead {
    /// Method, target, version and fields.
    pub head: Head,
    /// How its body is framed.
    pub framing: RequestFraming,
    /// Whether the client keeps the connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// Whether the client knows trailers (RFC 9110 §10.1.4).
    pub takes_trailers: bool,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// There is none.
    None,
    /// By this many bytes, at least one.
    Length(u64),
    /// By its chunks.
    Chunked,
    /// By `Content-Length` and `Transfer-Encoding` both: RFC 9112 §6.1 calls it an attack.
    Both,
}

/// Why the bytes received are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The syntax is broken.
    Syntax,
    /// It is a header of the PROXY protocol, which this listener does not expect.
    Announced,
    /// The request line alone fills the limit.
    Target,
    /// The head is larger than the limit.
    Large,
    /// There are more fields than the limit.
    Fields,
}

impl Bad {
    /// The answer's status, and the reason for logs and metrics.
    pub fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Syntax => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::Announced => (StatusCode::BAD_REQUEST, "proxy_protocol_unexpected"),
            Self::Target => (StatusCode::URI_TOO_LONG, "target_too_long"),
            Self::Large => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"),
            Self::Fields => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_headers"),
        }
    }
}

/// The head at the beginning of `unread`, taken out of it; `None` while it is incomplete.
///
/// The head is copied, so that a request under way holds a few hundred bytes instead of a block.
pub fn parse(unread: &mut Bytes, limits: HeadLimits) -> Result<Option<RequestHead>, Bad> {
    let Some((head, length)) = lex(unread, limits)? else { return Ok(None) };
    unread.advance(length);
    if unread.is_empty() {
        // Lets the block go.
        *unread = Bytes::new();
    }
    Ok(Some(head))
}

/// The head at the beginning of `whole`, and its length.
fn lex(whole: &[u8], limits: HeadLimits) -> Result<Option<(RequestHead, usize)>, Bad> {
    let mut fields = lexer::LexedFields::new();
    let (line, length) = match lexer::request(whole, limits.fields, &mut fields) {
        Ok(Some((line, length))) if length <= limits.head => (line, length),
        Ok(None) if whole.len() < limits.head => return Ok(None),
        Ok(_) if memchr::memchr(b'\n', &whole[..limits.head]).is_none() => return Err(Bad::Target),
        Ok(_) => return Err(Bad::Large),
        Err(httparse::Error::TooManyHeaders) => return Err(Bad::Fields),
        // The second form is what is left of version 2 once the empty lines before a request have
        // been skipped.
        Err(_) if whole.starts_with(b"PROXY ") || whole.starts_with(b"\0\r\nQUIT\n") => {
            return Err(Bad::Announced);
        }
        Err(_) => return Err(Bad::Syntax),
    };
    if length > LONGEST_NAME && fields.iter().any(|field| field.name.len() > LONGEST_NAME) {
        return Err(Bad::Syntax);
    }
    let mut reader = FieldReader::new(whole, length);
    for field in &fields {
        reader.take(field)?;
    }
    Ok(Some((reader.finish(&line)?, length)))
}

/// Gathers the fields, and reads those that concern the connection.
struct FieldReader<'a> {
    /// Lines that are sent on unchanged.
    passing: FieldLines<'a>,
    /// The others.
    aside: SmallVec<[Field<'a>; 8]>,
    present: Present,
    host: &'a [u8],
    length: Option<u64>,
    coded: bool,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrades: bool,
    expects_continue: bool,
    takes_trailers: bool,
}

impl<'a> FieldReader<'a> {
    fn new(block: &'a [u8], size: usize) -> Self {
        Self {
            passing: FieldLines::new(block, size),
            aside: SmallVec::new(),
            present: Present::default(),
            host: b"",
            length: None,
            coded: false,
            chunked: false,
            close: false,
            keep_alive: false,
            upgrades: false,
            expects_continue: false,
            takes_trailers: false,
        }
    }

    fn take(&mut self, field: &Field<'a>) -> Result<(), Bad> {
        let Some(known) = known(field.name) else {
            self.present.ambiguous |= field.name.contains(&b'_');
            self.passing.push(field);
            return Ok(());
        };
        let value = field.value;
        match known {
            Known::Authorization
            | Known::Claim
            | Known::Conditional
            | Known::Cookie
            | Known::ContentType
            | Known::Date
            | Known::ForCaches
            | Known::TraceState => {
                self.present.grpc |= known == Known::ContentType && is_grpc(value);
                self.present.note(known);
                self.passing.push(field);
                return Ok(());
            }
            Known::ContentLength => {
                // RFC 9112 §6.3: the first of equal ones is kept, differing ones are an attack.
                let length = decimal(value).ok_or(Bad::Syntax)?;
                match self.length.replace(length) {
                    None => {}
                    Some(earlier) if earlier == length => return Ok(()),
                    Some(_) => return Err(Bad::Syntax),
                }
            }
            Known::TransferEncoding => {
                self.coded = true;
                let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
                self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            Known::Connection => {
                for token in tokens(value) {
                    if token.eq_ignore_ascii_case(b"close") {
                        self.close = true;
                    } else if token.eq_ignore_ascii_case(b"keep-alive") {
                        self.keep_alive = true;
                    } else {
                        self.upgrades |= token.eq_ignore_ascii_case(b"upgrade");
                        self.present.nominates = true;
                    }
                }
            }
            Known::Te => {
                let mut codings = tokens(value).map(|token| token.split(|byte| *byte == b';'));
                self.takes_trailers |= codings.any(|mut it| {
                    it.next().is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(b"trailers"))
                });
            }
            Known::Expect => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            Known::Host if self.present.hosts == 0 => self.host = value,
            _ => {}
        }
        if known != Known::Connection {
            self.present.note(known);
        }
        self.aside.push(*field);
        Ok(())
    }

    /// The protocols that `Upgrade` asks for and that can be passed on. `Upgrade` is valid only if
    /// `Connection` names it, and not in HTTP/1.0 (RFC 9110 §7.8). It is ignored if a body would
    /// come first.
    fn protocols(&self, http11: bool, framing: RequestFraming) -> Option<Box<str>> {
        if !self.upgrades || !http11 || framing != RequestFraming::None {
            return None;
        }
        let fields = self.aside.iter().filter(|it| known(it.name) == Some(Known::Upgrade));
        let protocols = fields.flat_map(|field| tokens(field.value)).filter(|it| can_pass(it));
        let protocols: Vec<_> = protocols.filter_map(|it| std::str::from_utf8(it).ok()).collect();
        (!protocols.is_empty()).then(|| protocols.join(", ").into())
    }

    fn finish(&mut self, line: &RequestLine<'_>) -> Result<RequestHead, Bad> {
        let http11 = line.http11;
        let framing = match (self.coded, self.length) {
            // RFC 9112 §6.1: HTTP/1.0 has no transfer codings. §6.3: without `chunked` at the end,
            // the length of the body is not known.
            (true, _) if !http11 || !self.chunked => return Err(Bad::Syntax),
            (true, Some(_)) => RequestFraming::Both,
            (true, None) => RequestFraming::Chunked,
            (false, None | Some(0)) => RequestFraming::None,
            (false, Some(length)) => RequestFraming::Length(length),
        };
        let mut text = self.passing.copy_all();
        let passing = text.len();
        for Field { name, value, .. } in &self.aside {
            write_field(&mut text, name, value);
        }
        Ok(RequestHead {
            head: Head {
                method: Method::from_bytes(line.method).map_err(|_| Bad::Syntax)?,
                target: target(line, self.host)?,
                version: if http11 { Version::HTTP_11 } else { Version::HTTP_10 },
                fields: RequestFields::Text(RequestLines { text, passing }),
                present: self.present,
                protocols: self.protocols(http11, framing),
            },
            framing,
            keep_alive: if http11 { !self.close } else { self.keep_alive },
            expects_continue: self.expects_continue && http11 && framing != RequestFraming::None,
            takes_trailers: self.takes_trailers && http11,
        })
    }
}

/// Whether a protocol may be passed on to a server. HTTP/2 may not: its requests would pass without
/// our rules ("h2c smuggling"). TLS may not: it is agreed between two neighbours (RFC 2817).
pub fn can_pass(protocol: &[u8]) -> bool {
    let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
    ![&b"h2c"[..], b"h2", b"http", b"tls"].iter().any(|it| it.eq_ignore_ascii_case(name))
}

fn target(line: &RequestLine<'_>, host: &[u8]) -> Result<RequestTarget, Bad> {
    let target = std::str::from_utf8(line.target).map_err(|_| Bad::Syntax)?;
    let host = &*text(host);
    if line.plain && target.len() < LONGEST_NAME {
        return Ok(RequestTarget::origin(target, host));
    }
    target.parse().map(|uri| RequestTarget::new(uri, host)).map_err(|_| Bad::Syntax)
}

/// A `Content-Length`: digits alone, as RFC 9110 §8.6 has it.
pub fn decimal(bytes: &[u8]) -> Option<u64> {
    // 19 digits always fit.
    if bytes.is_empty() || bytes.len() > 19 {
        return None;
    }
    bytes.iter().try_fold(0, |number: u64, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;
    use proptest::prelude::*;

    const LIMITS: HeadLimits = HeadLimits { head: 32 * 1024, fields: 100 };

    fn read(text: &str) -> Result<Option<RequestHead>, Bad> {
        parse(&mut Bytes::from(text.to_owned()), LIMITS)
    }

    fn head(fields: &str) -> Result<RequestHead, Bad> {
        read(&format!("POST /a?b HTTP/1.1\r\nhost: x\r\n{fields}\r\n")).map(Option::unwrap)
    }

    #[test]
    fn framing_by_rfc_9112() {
        let framing = |fields| head(fields).map(|head| head.framing);
        assert_eq!(framing(""), Ok(RequestFraming::None));
        assert_eq!(framing("content-length: 0\r\n"), Ok(RequestFraming::None));
        assert_eq!(
            framing("content-length: 5\r\ncontent-length: 5\r\n"),
            Ok(RequestFraming::Length(5))
        );
        assert_eq!(framing("transfer-encoding: Chunked\r\n"), Ok(RequestFraming::Chunked));
        let both = "content-length: 5\r\ntransfer-encoding: chunked\r\n";
        assert_eq!(framing(both), Ok(RequestFraming::Both));
        for bad in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: 5, 5\r\n",
            "content-length: +5\r\n",
            "content-length:\r\n",
            "content-length: 99999999999999999999\r\n",
            "transfer-encoding: gzip\r\n",
            "transfer-encoding: chunked, gzip\r\n",
            "a : b\r\n",
            "a: b\r\n c\r\n",
            "a: b\rc\r\n",
        ] {
            assert_eq!(framing(bad), Err(Bad::Syntax), "{bad:?}");
        }
        let old = read("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(old.unwrap_err(), Bad::Syntax);
    }

    #[test]
    fn connections_persist_by_version_and_wish() {
        assert!(
            head("").unwrap().keep_alive && !head("connection: x, Close\r\n").unwrap().keep_alive
        );
        let old = |fields| read(&format!("GET / HTTP/1.0\r\n{fields}\r\n")).unwrap().unwrap();
        assert!(!old("").keep_alive && old("connection: Keep-Alive\r\n").keep_alive);
        assert!(head("expect: 100-Continue\r\ncontent-length: 1\r\n").unwrap().expects_continue);
        assert!(!head("expect: 100-continue\r\n").unwrap().expects_continue);
    }

    #[test]
    fn limits_say_what_was_too_much() {
        let limits = HeadLimits { head: 100, fields: 2 };
        let long = |text: String| parse(&mut Bytes::from(text), limits).map(|it| it.is_some());
        assert_eq!(long(format!("GET /{} HTTP", "a".repeat(100))), Err(Bad::Target));
        assert_eq!(long(format!("GET / HTTP/1.1\r\na: {}", "b".repeat(100))), Err(Bad::Large));
        assert_eq!(
            long(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(3))),
            Err(Bad::Fields)
        );
        assert_eq!(long(format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(2))), Ok(true));
        assert_eq!(long("GET / HT".into()), Ok(false));
    }

    #[test]
    fn what_no_map_can_hold_is_refused_as_text_too() {
        let limits = HeadLimits { head: 128 * 1024, fields: 100 };
        let read = |text: String| parse(&mut Bytes::from(text), limits).map(|it| it.is_some());
        let name =
            |length: usize| read(format!("GET / HTTP/1.1\r\n{}: b\r\n\r\n", "a".repeat(length)));
        assert_eq!((name(65_535), name(65_536)), (Ok(true), Err(Bad::Syntax)));
        let target =
            |length: usize| read(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1)));
        assert_eq!((target(65_534), target(65_535)), (Ok(true), Err(Bad::Syntax)));
        let fits = |length| HeaderName::from_bytes(&vec![b'a'; length]).is_ok();
        assert!(fits(65_535) && !fits(65_536));
    }

    #[test]
    fn the_next_request_stays_behind() {
        let mut unread = Bytes::from("\r\nGET /1 HTTP/1.1\r\nempty:\r\n\r\nGET /2");
        let head = parse(&mut unread, LIMITS).unwrap().unwrap();
        assert_eq!(
            (head.head.target.path(), head.head.fields.get(&HeaderName::from_static("empty"))),
            ("/1", Some(&b""[..]))
        );
        assert_eq!(&unread[..], b"GET /2");
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = parse(&mut Bytes::from(noise), LIMITS);
        }

        #[test]
        fn mutations_never_panic_nor_take_too_much(at in 0usize..90, byte in any::<u8>()) {
            let mut text = *b"POST /a HTTP/1.1\r\nhost: b\r\ncontent-length: 5\r\nconnection: close, x\r\nempty:\r\n\r\nhello.....";
            text[at % text.len()] = byte;
            let mut unread = Bytes::copy_from_slice(&text);
            let before = unread.len();
            if let Ok(Some(_)) = parse(&mut unread, LIMITS) {
                let taken = before - unread.len();
                prop_assert!(text[..taken].ends_with(b"\n"));
            }
        }
    }
}
