//! Where the pieces of a head are: its first line and its fields.
//!
//! Owns: what `httparse` leaves open: later minor versions, and whether a target is a plain path.
//! `httparse` decides on the syntax of heads (RFC 9112 §2.1, §5). May touch: nothing outside this
//! room. Next: [`super::request_head`] and [`crate::origin::response_head`] read the meaning of the
//! pieces.

use httparse::{Error, Header, Status};
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Heads of up to so many fields are read without an allocation.
const USUAL: usize = 256;

/// A field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As it is spelled.
    pub name: &'a [u8],
    /// Without the white space around it.
    pub value: &'a [u8],
}

/// The fields of a head; a browser sends some fifteen.
pub type LexedFields<'a> = SmallVec<[Field<'a>; 24]>;

/// A request's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// A token.
    pub method: &'a [u8],
    /// In any of its forms.
    pub target: &'a [u8],
    /// Whether the target is a path, perhaps with a query, and has only the characters that are
    /// allowed in them.
    pub plain: bool,
    /// HTTP/1.1, else HTTP/1.0.
    pub http11: bool,
}

/// A response's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine {
    /// Three digits.
    pub status: u16,
    /// HTTP/1.1, else HTTP/1.0.
    pub http11: bool,
}

/// The first line and the length of a head; `None` while it is incomplete.
pub type Lexed<Line> = Result<Option<(Line, usize)>, Error>;

/// Reads the request head at the beginning of `bytes`, of up to `most` fields, into `fields`.
pub fn request<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut LexedFields<'a>,
) -> Lexed<RequestLine<'a>> {
    if most <= USUAL {
        let mut room = [const { MaybeUninit::uninit() }; USUAL];
        return request_within(bytes, most, &mut room[..most], fields);
    }
    request_within(bytes, most, &mut vec![MaybeUninit::uninit(); most], fields)
}

fn request_within<'a>(
    bytes: &'a [u8],
    most: usize,
    room: &mut [MaybeUninit<Header<'a>>],
    fields: &mut LexedFields<'a>,
) -> Lexed<RequestLine<'a>> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::Version) => return request_of_later_version(bytes, most, fields),
        Err(error) => return Err(error),
    };
    take_over(request.headers, fields);
    let target = request.path.unwrap_or_default().as_bytes();
    let line = RequestLine {
        method: request.method.unwrap_or_default().as_bytes(),
        target,
        plain: target.first() == Some(&b'/') && end_of(target, &TARGET) == target.len(),
        http11: request.version == Some(1),
    };
    Ok(Some((line, length)))
}

/// Reads the response head at the beginning of `bytes`, of up to `most` fields, into `fields`.
pub fn response<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut LexedFields<'a>,
) -> Lexed<StatusLine> {
    if most <= USUAL {
        let mut room = [const { MaybeUninit::uninit() }; USUAL];
        return response_within(bytes, most, &mut room[..most], fields);
    }
    response_within(bytes, most, &mut vec![MaybeUninit::uninit(); most], fields)
}

fn response_within<'a>(
    bytes: &'a [u8],
    most: usize,
    room: &mut [MaybeUninit<Header<'a>>],
    fields: &mut LexedFields<'a>,
) -> Lexed<StatusLine> {
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // RFC 9112 §5.1: white space before the colon is removed from responses.
    config.allow_spaces_after_header_name_in_responses(true);
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::Version) => return response_of_later_version(bytes, most, fields),
        Err(error) => return Err(error),
    };
    take_over(response.headers, fields);
    let line = StatusLine {
        status: response.code.unwrap_or_default(),
        http11: response.version == Some(1),
    };
    Ok(Some((line, length)))
}

fn take_over<'a>(found: &[Header<'a>], fields: &mut LexedFields<'a>) {
    fields.clear();
    fields.extend(found.iter().map(|it| Field { name: it.name.as_bytes(), value: it.value }));
}

/// RFC 9110 §2.5: a head of a later minor version is read as one of the latest that we know.
#[cold]
fn request_of_later_version<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut LexedFields<'a>,
) -> Lexed<RequestLine<'a>> {
    let known = with_known_version(bytes, <[u8]>::last_chunk);
    let (known, mut found) = (known.ok_or(Error::Version)?, LexedFields::new());
    let lexed = request(&known, most, &mut found)?;
    Ok(lexed.map(|(line, length)| {
        fields.clear();
        fields.extend(found.iter().map(|it| it.moved(&known, bytes)));
        let method = moved(line.method, &known, bytes);
        let target = moved(line.target, &known, bytes);
        (RequestLine { method, target, plain: line.plain, http11: line.http11 }, length)
    }))
}

/// The same for a response.
#[cold]
fn response_of_later_version<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut LexedFields<'a>,
) -> Lexed<StatusLine> {
    let known = with_known_version(bytes, <[u8]>::first_chunk);
    let (known, mut found) = (known.ok_or(Error::Version)?, LexedFields::new());
    let lexed = response(&known, most, &mut found)?;
    fields.clear();
    fields.extend(found.iter().map(|it| it.moved(&known, bytes)));
    Ok(lexed)
}

/// A copy with HTTP/1.1, if `bytes` have HTTP/1.2 to 1.9 in the `place` of their first line.
fn with_known_version(
    bytes: &[u8],
    place: impl FnOnce(&[u8]) -> Option<&[u8; 8]>,
) -> Option<Vec<u8>> {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let line = bytes[start..].split(|byte| *byte == b'\n').next()?;
    let version = place(line.strip_suffix(b"\r").unwrap_or(line))?;
    if !matches!(version, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']) {
        return None;
    }
    let minor = version.as_ptr() as usize - bytes.as_ptr() as usize + version.len() - 1;
    let mut known = bytes.to_owned();
    known[minor] = b'1';
    Some(known)
}

/// The piece of `to` that is at the same place as `piece` is in `from`. Both are equally long.
fn moved<'a>(piece: &[u8], from: &[u8], to: &'a [u8]) -> &'a [u8] {
    if piece.is_empty() {
        return b"";
    }
    let start = piece.as_ptr() as usize - from.as_ptr() as usize;
    &to[start..start + piece.len()]
}

impl Field<'_> {
    fn moved<'a>(&self, from: &[u8], to: &'a [u8]) -> Field<'a> {
        Field { name: moved(self.name, from, to), value: moved(self.value, from, to) }
    }
}

/// The position of the first byte that is not in `these`.
pub fn end_of(bytes: &[u8], these: &[bool; 256]) -> usize {
    let mut at = 0;
    while bytes.get(at).is_some_and(|byte| these[usize::from(*byte)]) {
        at += 1;
    }
    at
}

/// RFC 3986 §3.3, §3.4: path and query.
const TARGET: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,;=:@/?%");

/// A table of the letters, the digits and `others`.
pub const fn letters_digits_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 8;

    #[test]
    fn plain_targets() {
        for (target, plain) in [
            ("/", true),
            ("/a?b=c%20d", true),
            ("/;a=1,2", true),
            ("/#", false),
            ("/\"", false),
            ("http://a/", false),
            ("*", false),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\n\r\n");
            let read = request(head.as_bytes(), MOST, &mut LexedFields::new());
            let Ok(Some((line, length))) = read else { panic!("{target}: {read:?}") };
            assert_eq!((line.plain, length), (plain, head.len()), "{target}");
        }
    }

    #[test]
    fn there_is_room_for_as_many_fields_as_may_be() {
        for most in [MOST, USUAL, USUAL + 1, 1000] {
            let head = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
            let (fits, many) = (head(most), head(most + 1));
            let mut fields = LexedFields::new();
            assert!(matches!(request(fits.as_bytes(), most, &mut fields), Ok(Some(_))), "{most}");
            assert_eq!(fields.len(), most);
            let read = request(many.as_bytes(), most, &mut LexedFields::new());
            assert_eq!(read, Err(Error::TooManyHeaders), "{most}");
        }
    }

    #[test]
    fn a_later_minor_version_is_read_as_1_1() {
        for head in [
            "GET /a?b HTTP/1.2\r\nHost: a\r\nEmpty:\r\n\r\nrest",
            "\r\nGET http://a/ HTTP/1.9\nA:  b c \n\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / HTTP/1.2",
            "GET / HTTP/1.2\r\nA: b\r\n",
            "GET / HTTP/1.2\r\nA : b\r\n\r\n",
        ] {
            let known = head.replace("1.2", "1.1").replace("1.9", "1.1");
            let (mut later, mut expected) = (LexedFields::new(), LexedFields::new());
            let read = request(head.as_bytes(), MOST, &mut later);
            let same = request(known.as_bytes(), MOST, &mut expected);
            assert_eq!((read, &later), (same, &expected), "{head:?}");
        }
        let (mut fields, answer) = (LexedFields::new(), b"HTTP/1.3 204 \r\nA : b\r\n\r\n");
        let read = response(answer, MOST, &mut fields);
        assert_eq!(read, Ok(Some((StatusLine { status: 204, http11: true }, answer.len()))));
        assert_eq!((fields[0].name, fields[0].value), (&b"A"[..], &b"b"[..]));
        for other in ["GET / HTTP/2.0", "GET / HTTP/1.22", "GET / HTTP/0.9", "HTTP/1.2", "\r\n"] {
            let head = format!("{other}\r\n\r\n");
            let read = request(head.as_bytes(), MOST, &mut LexedFields::new());
            assert!(!matches!(read, Ok(Some(_))), "{head:?}: {read:?}");
        }
    }
}
