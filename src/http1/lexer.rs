//! Where the pieces of a head are: its first line and its fields.
//!
//! Owns: the syntax of heads (RFC 9112 §2.1, §5). May touch: nothing of ours. A head in the usual
//! form, `Name: value` and CR LF, is read here in one pass. Anything else goes to `httparse`, which
//! decides. So the code here may only accept, and only what `httparse` accepts, with the same
//! pieces: a test and a fuzz target check that. Next: [`super::request_head`] and
//! [`crate::origin::response_head`] read the meaning of the pieces.

use httparse::{Error, Status};
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use wide::u8x16;

/// A field of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// As it is spelled.
    pub name: &'a [u8],
    /// Without the white space around it.
    pub value: &'a [u8],
    /// Whether its line is in the usual form: name, colon, one space, value, CR LF, and a name of
    /// letters, digits and hyphens only.
    pub usual: bool,
}

/// The fields of a head; a browser sends some fifteen.
pub type Fields<'a> = SmallVec<[Field<'a>; 24]>;

/// A request's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// A token.
    pub method: &'a [u8],
    /// In any of its forms.
    pub target: &'a [u8],
    /// Whether the target is a path, perhaps with a query, and has only characters that these may
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
    let (method, rest) = split_at_space(bytes, &TOKEN)?;
    let (target, rest) = split_at_space(rest, &TARGET)?;
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

/// One field, if its line is in the usual form.
fn line(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let mut end = plain_name_end(bytes);
    let mut usual = true;
    if bytes.get(end) != Some(&b':') {
        usual = false;
        end += end_of(&bytes[end..], &TOKEN);
    }
    let (name, rest) = bytes.split_at(end);
    let rest = rest.strip_prefix(b": ")?;
    let (value, rest) = rest.split_at(value_end(rest));
    let rest = rest.strip_prefix(b"\r\n")?;
    let (first, last) = (value.first()?, value.last()?);
    let sound = !name.is_empty() && *first != b' ' && *last != b' ';
    sound.then_some((Field { name, value, usual }, rest))
}

/// Splits at the first byte that is not in `these`; that byte must be a space.
fn split_at_space<'a>(bytes: &'a [u8], these: &[bool; 256]) -> Option<(&'a [u8], &'a [u8])> {
    let (before, after) = bytes.split_at(end_of(bytes, these));
    let after = after.strip_prefix(b" ")?;
    (!before.is_empty()).then_some((before, after))
}

/// The position of the first byte that is not in `these`.
pub fn end_of(bytes: &[u8], these: &[bool; 256]) -> usize {
    let mut at = 0;
    while bytes.get(at).is_some_and(|byte| these[usize::from(*byte)]) {
        at += 1;
    }
    at
}

/// How many bytes at the beginning are `good`. Sixteen bytes are tested at once.
#[inline]
fn count(bytes: &[u8], good: impl Fn(u8x16) -> u8x16) -> usize {
    let good = |block| good(u8x16::new(block)).to_bitmask().trailing_ones() as usize;
    let (blocks, rest) = bytes.as_chunks();
    for (at, block) in blocks.iter().enumerate() {
        let good = good(*block);
        if good < 16 {
            return at * 16 + good;
        }
    }
    let mut block = [0; 16];
    block[..rest.len()].copy_from_slice(rest);
    blocks.len() * 16 + good(block).min(rest.len())
}

/// The position of the first control character: the CR at the end of a value.
#[inline]
fn value_end(bytes: &[u8]) -> usize {
    let (space, delete) = (u8x16::splat(b' '), u8x16::splat(0x7f));
    count(bytes, |bytes| bytes.max(space).simd_eq(bytes) & !bytes.simd_eq(delete))
}

/// The position of the first byte that is no letter, digit or hyphen.
#[inline]
fn plain_name_end(bytes: &[u8]) -> usize {
    let all = u8x16::splat;
    // Less than the first wraps around to more than the last.
    let among = |bytes: u8x16, first, last: u8| {
        let from_first = bytes - all(first);
        from_first.min(all(last - first)).simd_eq(from_first)
    };
    count(bytes, |bytes| {
        let letters = among(bytes | all(0x20), b'a', b'z');
        letters | among(bytes, b'0', b'9') | bytes.simd_eq(all(b'-'))
    })
}

#[cold]
fn request_in_any_spelling<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut Fields<'a>,
) -> Lexed<RequestLine<'a>> {
    let mut room = vec![MaybeUninit::uninit(); most];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, &mut room) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::Version) => return request_of_later_version(bytes, most, fields),
        Err(error) => return Err(error),
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
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut room) {
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

/// RFC 9110 §2.5: a head of a later minor version is read as one of the latest that we know.
#[cold]
fn request_of_later_version<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut Fields<'a>,
) -> Lexed<RequestLine<'a>> {
    let known = with_known_version(bytes, <[u8]>::last_chunk);
    let (known, mut found) = (known.ok_or(Error::Version)?, Fields::new());
    let lexed = request_in_any_spelling(&known, most, &mut found)?;
    Ok(lexed.map(|(line, length)| {
        fields.clear();
        fields.extend(found.iter().map(|it| it.moved(&known, bytes)));
        let method = moved(line.method, &known, bytes);
        let target = moved(line.target, &known, bytes);
        (RequestLine { method, target, plain: line.plain, http11: line.http11 }, length)
    }))
}

/// The same of a response.
#[cold]
fn response_of_later_version<'a>(
    bytes: &'a [u8],
    most: usize,
    fields: &mut Fields<'a>,
) -> Lexed<StatusLine> {
    let known = with_known_version(bytes, <[u8]>::first_chunk);
    let (known, mut found) = (known.ok_or(Error::Version)?, Fields::new());
    let lexed = response_in_any_spelling(&known, most, &mut found)?;
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

/// The same piece of `to` as `piece` is of `from`, which is as long.
fn moved<'a>(piece: &[u8], from: &[u8], to: &'a [u8]) -> &'a [u8] {
    if piece.is_empty() {
        return b"";
    }
    let start = piece.as_ptr() as usize - from.as_ptr() as usize;
    &to[start..start + piece.len()]
}

impl Field<'_> {
    fn moved<'a>(&self, from: &[u8], to: &'a [u8]) -> Field<'a> {
        let (name, value) = (moved(self.name, from, to), moved(self.value, from, to));
        Field { name, value, usual: false }
    }
}

fn take_over<'a>(found: &[httparse::Header<'a>], fields: &mut Fields<'a>) {
    fields.clear();
    let field = |it: &httparse::Header<'a>| Field {
        name: it.name.as_bytes(),
        value: it.value,
        usual: false,
    };
    fields.extend(found.iter().map(field));
}

/// RFC 9110 §5.6.2.
const TOKEN: [bool; 256] = letters_digits_and(b"!#$%&'*+-.^_`|~");

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
    use proptest::{prelude::*, sample::select};

    const MOST: usize = 8;

    fn unmarked<'a>(fields: &Fields<'a>) -> Fields<'a> {
        fields.iter().map(|field| Field { usual: false, ..*field }).collect()
    }

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
            assert_eq!((other, &theirs), (Ok(Some((line, length))), &unmarked(&ours)));
            read = true;
        }
        ours.clear();
        if let Some((line, rest)) = status_line(bytes)
            && let Some(rest) = lines(rest, MOST, &mut ours)
        {
            let length = bytes.len() - rest.len();
            let other = response_in_any_spelling(bytes, MOST, &mut theirs);
            assert_eq!((other, &theirs), (Ok(Some((line, length))), &unmarked(&ours)));
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
            let (mut later, mut expected) = (Fields::new(), Fields::new());
            let read = request_in_any_spelling(head.as_bytes(), MOST, &mut later);
            let same = request_in_any_spelling(known.as_bytes(), MOST, &mut expected);
            assert_eq!((read, &later), (same, &expected), "{head:?}");
        }
        let (mut fields, answer) = (Fields::new(), b"HTTP/1.3 204 \r\nA : b\r\n\r\n");
        let read = response(answer, MOST, &mut fields);
        assert_eq!(read, Ok(Some((StatusLine { status: 204, http11: true }, answer.len()))));
        assert_eq!((fields[0].name, fields[0].value), (&b"A"[..], &b"b"[..]));
        for other in ["GET / HTTP/2.0", "GET / HTTP/1.22", "GET / HTTP/0.9", "HTTP/1.2", "\r\n"] {
            let head = format!("{other}\r\n\r\n");
            let read = request(head.as_bytes(), MOST, &mut Fields::new());
            assert!(!matches!(read, Ok(Some(_))), "{head:?}: {read:?}");
        }
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

    #[test]
    fn plain_names_end_at_the_first_other_character() {
        for end in 0..20 {
            for other in (0..=255u8).filter(|it| !it.is_ascii_alphanumeric() && *it != b'-') {
                let mut bytes = *b"abyz-ABYZ-0189-azAZ0";
                bytes[end] = other;
                bytes[end + 1..].reverse();
                assert_eq!(plain_name_end(&bytes), end, "{other:#x}");
            }
        }
        let mut fields = Fields::new();
        assert!(request(b"GET / HTTP/1.1\r\nX-1: b\r\na_b: c\r\n\r\n", 9, &mut fields).is_ok());
        assert_eq!(fields.iter().map(|it| it.usual).collect::<Vec<_>>(), [true, false]);
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
