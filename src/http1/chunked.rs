//! Chunked framing, read strictly (RFC 9112 §7.1).
//!
//! Owns: the decoder's state. May touch: nothing outside this room. Bodies of requests
//! ([`super::request_body`]) and of responses ([`crate::origin::http1_body`]) go through it.

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest size line with its extensions.
const LONGEST_LINE: usize = 4 * 1024;
/// The longest trailer section.
const LONGEST_TRAILER: usize = 8 * 1024;
const MOST_TRAILERS: usize = 64;

/// Where the decoder stands.
#[derive(Debug, Default)]
pub enum Chunked {
    /// Before a size line.
    #[default]
    Size,
    /// In a chunk with this many bytes left.
    Data(u64),
    /// Before the line end after a chunk's data.
    DataEnd,
    /// After the last chunk.
    Trailer,
    /// After everything.
    Done,
}

/// What a step has produced.
#[derive(Debug)]
pub enum Step {
    /// More bytes are needed.
    More,
    /// Data.
    Data(Bytes),
    /// The end, with what the trailer section held.
    End(Option<HeaderMap>),
}

/// The framing is broken.
#[derive(Debug, PartialEq, Eq)]
pub struct BrokenFraming;

impl Chunked {
    /// Takes what it can from `unread`.
    pub fn step(&mut self, unread: &mut Bytes) -> Result<Step, BrokenFraming> {
        let step = self.take(unread);
        let_go(unread);
        step
    }

    fn take(&mut self, unread: &mut Bytes) -> Result<Step, BrokenFraming> {
        loop {
            match *self {
                Self::Size => {
                    let Some(line) = line(unread, LONGEST_LINE)? else { return Ok(Step::More) };
                    *self = match size(&line)? {
                        0 => Self::Trailer,
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    if unread.is_empty() {
                        return Ok(Step::More);
                    }
                    let take = left.min(unread.len() as u64);
                    *self = if take == left { Self::DataEnd } else { Self::Data(left - take) };
                    return Ok(Step::Data(unread.split_to(take as usize)));
                }
                Self::DataEnd => match unread.as_ref() {
                    [b'\r', b'\n', ..] => {
                        unread.advance(2);
                        *self = Self::Size;
                    }
                    [] | [b'\r'] => return Ok(Step::More),
                    _ => return Err(BrokenFraming),
                },
                Self::Trailer => {
                    let Some(trailers) = trailers(unread)? else { return Ok(Step::More) };
                    *self = Self::Done;
                    return Ok(Step::End(trailers));
                }
                Self::Done => return Ok(Step::End(None)),
            }
        }
    }

    /// Takes a line end and the next size line where they have arrived, so that the end of the body
    /// is seen together with its last data.
    pub fn is_at_end(&mut self, unread: &mut Bytes) -> bool {
        if matches!(self, Self::DataEnd) && unread.starts_with(b"\r\n0\r\n\r\n") {
            unread.advance(7);
            let_go(unread);
            *self = Self::Done;
        }
        matches!(self, Self::Done)
    }
}

/// An empty `Bytes` would still hold the block that it was read into, until more bytes come.
fn let_go(unread: &mut Bytes) {
    if unread.is_empty() {
        *unread = Bytes::new();
    }
}

/// A line without its CR LF; a bare LF or CR within is broken framing.
fn line(unread: &mut Bytes, longest: usize) -> Result<Option<Bytes>, BrokenFraming> {
    match memchr::memchr(b'\n', unread) {
        Some(end) if end <= longest && end > 0 && unread[end - 1] == b'\r' => {
            let mut line = unread.split_to(end + 1);
            line.truncate(end - 1);
            if memchr::memchr(b'\r', &line).is_some() { Err(BrokenFraming) } else { Ok(Some(line)) }
        }
        Some(_) => Err(BrokenFraming),
        None if unread.len() > longest => Err(BrokenFraming),
        None => Ok(None),
    }
}

/// The hexadecimal size; extensions are ignored (RFC 9112 §7.1.1).
fn size(line: &[u8]) -> Result<u64, BrokenFraming> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    // Bad white space (BWS) is SP and HTAB only, unlike in `trim_ascii`.
    let blank = line[digits..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let rest = &line[digits + blank..];
    if digits == 0 || digits > 15 || !(rest.is_empty() || rest[0] == b';') {
        return Err(BrokenFraming);
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| BrokenFraming)?;
    u64::from_str_radix(text, 16).map_err(|_| BrokenFraming)
}

/// The trailer section up to its empty line: `None` while incomplete.
#[allow(clippy::option_option)]
fn trailers(unread: &mut Bytes) -> Result<Option<Option<HeaderMap>>, BrokenFraming> {
    if unread.starts_with(b"\r\n") {
        unread.advance(2);
        return Ok(Some(None));
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let (end, map) = match httparse::parse_headers(unread, &mut fields) {
        Ok(httparse::Status::Complete((end, fields))) => {
            let mut map = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name =
                    HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BrokenFraming)?;
                map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| BrokenFraming)?);
            }
            (end, map)
        }
        Ok(httparse::Status::Partial) if unread.len() <= LONGEST_TRAILER => return Ok(None),
        _ => return Err(BrokenFraming),
    };
    // The lexer takes a bare LF for a line end. A server behind us may not, so a bare LF is refused
    // here.
    let mut lines = memchr::memchr_iter(b'\n', &unread[..end]);
    if lines.any(|at| at == 0 || unread[at - 1] != b'\r') {
        return Err(BrokenFraming);
    }
    unread.advance(end);
    Ok(Some(Some(map)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// All that comes out when `input` arrives in pieces of `piece` bytes.
    fn decode(
        input: &[u8],
        piece: usize,
    ) -> Result<(Vec<u8>, Option<HeaderMap>, usize), BrokenFraming> {
        let (mut chunked, mut unread, mut data) = (Chunked::default(), Bytes::new(), Vec::new());
        let mut pieces = input.chunks(piece.max(1));
        loop {
            match chunked.step(&mut unread)? {
                Step::Data(bytes) => data.extend_from_slice(&bytes),
                Step::End(trailers) => {
                    return Ok((data, trailers, unread.len() + pieces.flatten().count()));
                }
                Step::More => {
                    unread = [&unread[..], pieces.next().ok_or(BrokenFraming)?].concat().into();
                }
            }
        }
    }

    /// Bytes that show when nothing holds them any more.
    struct Held(&'static [u8], #[expect(dead_code, reason = "it is dropped")] Arc<()>);

    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            self.0
        }
    }

    #[test]
    fn what_has_been_read_to_its_end_is_held_no_more() {
        for input in [&b"1\r\nx\r\n"[..], b"1\r\nx\r\n0\r\n\r\n", b"0\r\na: b\r\n\r\n"] {
            let held = Arc::new(());
            let mut unread = Bytes::from_owner(Held(input, held.clone()));
            let mut chunked = Chunked::default();
            while !matches!(chunked.step(&mut unread), Ok(Step::More | Step::End(_))) {}
            assert_eq!(Arc::strong_count(&held), 1, "{input:?}");
        }
        let held = Arc::new(());
        let mut unread = Bytes::from_owner(Held(b"1\r\nx\r\n0\r\n\r\n", held.clone()));
        let mut chunked = Chunked::default();
        assert!(matches!(chunked.step(&mut unread), Ok(Step::Data(_))));
        assert!(chunked.is_at_end(&mut unread));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn data_extensions_and_trailers() {
        let (data, trailers, left) =
            decode(b"3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nx-t: 1\r\n\r\nnext", 1).unwrap();
        assert_eq!(data, b"abc0123456789");
        assert_eq!(trailers.unwrap()["x-t"], "1");
        assert_eq!(left, 4);
    }

    #[test]
    fn broken_framing_is_refused() {
        for input in [
            &b"3\nabc\r\n0\r\n\r\n"[..],
            b"x\r\n",
            b"\r\n",
            b"-1\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"3 x\r\nabc\r\n0\r\n\r\n",
            b"3;a\rb\r\nabc\r\n0\r\n\r\n",
            b"0\r\nbad trailer\r\n\r\n",
            b"1\x0c\r\na\r\n0\r\n\r\n",
            b"0\r\n\n",
            b"0\r\nx: y\n\r\n",
            b"0\r\nx: y\r\n\n",
        ] {
            assert!(decode(input, 100).is_err(), "{}", String::from_utf8_lossy(input));
        }
        assert!(decode(&[b'0'; 5000], 100).is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20),
            piece in 1usize..64,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let (data, _, left) = decode(&wire, piece).unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(left, 0);
        }

        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..400), piece in 1usize..64) {
            let _ = decode(&noise, piece);
        }
    }
}
