//! Where the pieces of a head are: its first line and its fields.
//!
//! Owns: the syntax of heads (RFC 9112 §2.1, §5). May touch: nothing of ours. A head spelled as
//! nearly all are, `Name: value` and CR LF, is read here in one pass; of anything else `httparse`
//! says what it is, and whether. So this may only say yes, and only where `httparse` would, with the
//! same pieces: a test and a fuzz target hold it to that. Next: [`super::request_head`] and
//! [`crate::proxy::response_head`] say what the pieces mean.

use httparse::{Error, Status};
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// A field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As it is spelled.
    pub name: &'a [u8],
    /// Without the white space around it.
    pub value: &'a [u8],
}

/// The fields of a head; a browser sends some fifteen.
pub type Fields<'a> = SmallVec<[Field<'a>; 24]>;

/// A request's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// A token.
    pub method: &'a [u8],
    /// In whatever form.
    pub target: &'a [u8],
    /// Whether the target is a path, perhaps with a query, and made of nothing else than those may
    /// have.
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
    fields: &mut Fields<'a>,
) -> Lexed<RequestLine<'a>> {
    if let Some((line, rest)) = request_line(bytes)
        && let Some(rest) = lines(rest, most, fields)
    {
        return Ok(Some((line, bytes.len() - rest.len())));
    }
    request_in_any_spelling(bytes, most, fields)
}

/// Reads the response head at the beginning of `bytes`, of up to `most` fields, into `fields`.
pub fn response<'a>(bytes: &'a [u8], most: usize, fields: &mut Fields<'a>) -> Lexed<StatusLine> {
    if let Some((line, rest)) = status_line(bytes)
        && let Some(rest) = lines(rest, most, fields)
    {
        return Ok(Some((line, bytes.len() - rest.len())));
    }
    response_in_any_spelling(bytes, most, fields)
}

fn request_line(bytes: &[u8]) -> Option<(RequestLine<'_>, &[u8])> {
    let (method, rest) = split_at_other(bytes, &TOKEN, b' ')?;
    let (target, rest) = split_at_other(rest, &TARGET, b' ')?;
    let (http11, rest) = version(rest)?;
    let rest = rest.strip_prefix(b"\r\n")?;
    let line = RequestLine { method, target, plain: true, http11 };
    (target.first() == Some(&b'/')).then_some((line, rest))
}

fn status_line(bytes: &[u8]) -> Option<(StatusLine, &[u8])> {
    let (http11, rest) = version(bytes)?;
    let (code, rest) = rest.split_first_chunk::<5>()?;
    let &[b' ', hundreds @ b'0'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9', b' '] = code else {
        return None;
    };
    let [hundreds, tens, ones] = [hundreds, tens, ones].map(|digit| u16::from(digit - b'0'));
    let rest = rest[value_end(rest)..].strip_prefix(b"\r\n")?;
    Some((StatusLine { status: hundreds * 100 + tens * 10 + ones, http11 }, rest))
}

fn version(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let (version, rest) = bytes.split_first_chunk::<8>()?;
    match version {
        b"HTTP/1.1" => Some((true, rest)),
        b"HTTP/1.0" => Some((false, rest)),
        _ => None,
    }
}

/// What comes after the empty line that ends the fields.
fn lines<'a>(bytes: &'a [u8], most: usize, fields: &mut Fields<'a>) -> Option<&'a [u8]> {
    let mut rest = bytes;
    loop {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            return Some(after);
        }
        let (field, after) = line(rest)?;
        if fields.len() == most {
            return None;
        }
        fields.push(field);
        rest = after;
    }
}

/// One field, if its line is spelled as nearly all are.
fn line(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (name, rest) = split_at_other(bytes, &TOKEN, b':')?;
    let rest = rest.strip_prefix(b" ")?;
    let (value, rest) = rest.split_at(value_end(rest));
    let trimmed = value.first().is_some_and(|it| *it != b' ') && value.last() != Some(&b' ');
    let rest = rest.strip_prefix(b"\r\n")?;
    trimmed.then_some((Field { name, value }, rest))
}

/// What is before and after the first byte that is none of `these`, which must be `end` and not the
/// first of all.
fn split_at_other<'a>(
    bytes: &'a [u8],
    these: &[bool; 256],
    end: u8,
) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.iter().position(|byte| !these[usize::from(*byte)])?;
    let (before, after) = bytes.split_at(at);
    let after = after.strip_prefix(&[end])?;
    (!before.is_empty()).then_some((before, after))
}

/// Where the first control character is: CR at the end of a value. Eight bytes at a time.
fn value_end(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let (eights, rest) = bytes.as_chunks::<8>();
    for (at, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        let not_del = eight ^ (ONES * 0x7f);
        // The high bit of each byte below 0x20, and of each that is 0x7f. A borrow may set it in
        // bytes after such a one, but not before: the first is right (Hacker's Delight §6-1).
        let control = (eight.wrapping_sub(ONES * 0x20) & !eight
            | not_del.wrapping_sub(ONES) & !not_del)
            & HIGH;
        if control != 0 {
            return at * 8 + control.trailing_zeros() as usize / 8;
        }
    }
    let at = rest.iter().position(u8::is_ascii_control).unwrap_or(rest.len());
    eights.len() * 8 + at
}

#[cold]
fn request_in_any_spelling<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut Fields<'a>,
) -> Lexed<RequestLine<'a>> {
    let mut room = vec![MaybeUninit::uninit(); most];
    let mut request = httparse::Request::new(&mut []);
    let Status::Complete(length) = request.parse_with_uninit_headers(bytes, &mut room)? else {
        return Ok(None);
    };
    take_over(request.headers, fields);
    let line = RequestLine {
        method: request.method.unwrap_or_default().as_bytes(),
        target: request.path.unwrap_or_default().as_bytes(),
        plain: false,
        http11: request.version == Some(1),
    };
    Ok(Some((line, length)))
}

#[cold]
fn response_in_any_spelling<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut Fields<'a>,
) -> Lexed<StatusLine> {
    let mut room = vec![MaybeUninit::uninit(); most];
    let mut response = httparse::Response::new(&mut []);
    let mut config = httparse::ParserConfig::default();
    // RFC 9112 §5.1: white space before the colon is removed from responses.
    config.allow_spaces_after_header_name_in_responses(true);
    let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut room)?;
    let Status::Complete(length) = parsed else { return Ok(None) };
    take_over(response.headers, fields);
    let line = StatusLine {
        status: response.code.unwrap_or_default(),
        http11: response.version == Some(1),
    };
    Ok(Some((line, length)))
}

fn take_over<'a>(found: &[httparse::Header<'a>], fields: &mut Fields<'a>) {
    fields.clear();
    fields.extend(found.iter().map(|it| Field { name: it.name.as_bytes(), value: it.value }));
}

/// RFC 9110 §5.6.2.
const TOKEN: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");

/// RFC 3986 §3.3, §3.4: path and query.
const TARGET: [bool; 256] = letters_digits_and(b"-._~!$&'()*+,;=:@/?%");

const fn letters_digits_and(others: &[u8]) -> [bool; 256] {
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
    use proptest::{prelude::*, sample::select};

    const MOST: usize = 8;

    /// What is read in one pass is what `httparse` makes of it.
    fn agree(bytes: &[u8]) -> bool {
        let (mut ours, mut theirs) = (Fields::new(), Fields::new());
        let mut read = false;
        if let Some((line, rest)) = request_line(bytes)
            && let Some(rest) = lines(rest, MOST, &mut ours)
        {
            let length = bytes.len() - rest.len();
            let other = request_in_any_spelling(bytes, MOST, &mut theirs);
            let line = RequestLine { plain: false, ..line };
            assert_eq!((other, &theirs), (Ok(Some((line, length))), &ours));
            read = true;
        }
        ours.clear();
        if let Some((line, rest)) = status_line(bytes)
            && let Some(rest) = lines(rest, MOST, &mut ours)
        {
            let length = bytes.len() - rest.len();
            let other = response_in_any_spelling(bytes, MOST, &mut theirs);
            assert_eq!((other, &theirs), (Ok(Some((line, length))), &ours));
            read = true;
        }
        read
    }

    #[test]
    fn what_nearly_all_send_is_read_in_one_pass() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET /a?b=c%20d HTTP/1.0\r\nHost: x:80\r\n\r\nrest",
            "M-SEARCH /;a=1,2 HTTP/1.1\r\nA: \"b\\\u{e4}\"\r\nc_d: e f\r\n\r\n",
            "HTTP/1.1 200 OK\r\nServer: x\r\nDate: then\r\n\r\nrest",
            "HTTP/1.0 404 \r\nA: b\r\n\r\n",
        ] {
            assert!(agree(head.as_bytes()), "{head:?}");
        }
    }

    #[test]
    fn everything_else_is_left_to_httparse() {
        for head in [
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n",
            "\r\nGET / HTTP/1.1\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\n\r\n",
            "GET /# HTTP/1.1\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\r\nA:b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: \r\n\r\n",
            "GET / HTTP/1.1\r\nA:  b\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b \r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\tc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\x7fc\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA : b\r\n\r\n",
            "GET / HTTP/1.1\r\n: b\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 20x OK\r\n\r\n",
        ] {
            assert!(!agree(head.as_bytes()), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MOST + 1));
        assert_eq!(request(many.as_bytes(), MOST, &mut Fields::new()), Err(Error::TooManyHeaders));
        assert!(agree(many.replacen("a: b\r\n", "", 1).as_bytes()));
    }

    #[test]
    fn values_end_at_the_first_control_character() {
        for end in 0..40 {
            for control in (0..0x20).chain([0x7f]) {
                let mut bytes = [0x80; 40];
                bytes[end] = control;
                bytes[end + 1..].fill(b'\r');
                assert_eq!(value_end(&bytes), end, "{control:#x}");
            }
            assert_eq!(value_end(&[b' '; 40][..end]), end);
        }
    }

    proptest! {
        #[test]
        fn heads_of_usual_pieces_are_read_alike(pieces in prop::collection::vec(select(vec![
            "GET ", "POST ", "/", "/a", "?b", " HTTP/1.1\r\n", " HTTP/1.0\r\n", "HTTP/1.1", " 200 ",
            " 99 ", "OK", "\r\n", "\r", "\n", ": ", ":", " ", "\t", "Host", "a", "b: c\r\n", "\0",
            "\x7f", "\u{e9}", "#", "\"", "\r\n\r\n",
        ]), 0..14)) {
            agree(pieces.concat().as_bytes());
        }

        #[test]
        fn mutations_are_read_alike(at in 0usize..70, byte in any::<u8>(), answer in any::<bool>()) {
            let mut text = if answer {
                b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 5\r\nX: y z\r\n\r\nhello".to_vec()
            } else {
                b"GET /a/b?c HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\nX: y z\r\n\r\nGET".to_vec()
            };
            let at = at % text.len();
            text[at] = byte;
            agree(&text);
        }
    }
}
