//! `CDN-Cache-Control` (RFC 9213): a dictionary of structured fields (RFC 8941 §3.2).
//!
//! Owns: its strict grammar. May touch: nothing outside this room. One mistake, and the whole field
//! counts as missing (RFC 9213 §2.1): it must never be read as `Cache-Control` is.

use http::{HeaderMap, HeaderName};

use super::list::{Argument, is_token_byte};

/// The field that is meant for caches like this one.
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Calls `take` with every member in turn, and tells whether the field is valid and not empty. A
/// member of a type that its directive does not have comes as malformed. Of a member that is there
/// twice, the last one counts (RFC 8941 §3.2).
pub(super) fn visit(response: &HeaderMap, take: &mut dyn FnMut(&[u8], Argument<'_>)) -> bool {
    let mut lines = response.get_all(CDN_CACHE_CONTROL).iter().peekable();
    lines.peek().is_some() && lines.all(|it| dictionary(it.as_bytes(), take).is_some())
}

/// RFC 8941 §4.2.2. An empty line breaks the list of lines, as an empty member does.
fn dictionary(line: &[u8], take: &mut dyn FnMut(&[u8], Argument<'_>)) -> Option<()> {
    let mut reader = Reader { rest: line.trim_ascii() };
    loop {
        let key = reader.key()?;
        let value = if !reader.eat(b'=') {
            Argument::Absent
        } else if reader.eat(b'(') {
            reader.inner_list()?;
            Argument::Malformed
        } else {
            reader.bare_item()?
        };
        reader.parameters()?;
        take(key, value);
        reader.skip(|it| matches!(it, b' ' | b'\t'));
        if reader.rest.is_empty() {
            return Some(());
        }
        if !reader.eat(b',') {
            return None;
        }
        reader.skip(|it| matches!(it, b' ' | b'\t'));
    }
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
        }
        is_next
    }

    /// The bytes at the front for which the test holds.
    fn skip(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|it| !test(*it)).unwrap_or(self.rest.len());
        let (found, rest) = self.rest.split_at(end);
        self.rest = rest;
        found
    }

    /// §4.2.3.3.
    fn key(&mut self) -> Option<&'a [u8]> {
        if !matches!(self.rest.first()?, b'a'..=b'z' | b'*') {
            return None;
        }
        let is_in = |it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
        Some(self.skip(is_in))
    }

    /// §4.2.3.1.
    fn bare_item(&mut self) -> Option<Argument<'a>> {
        let argument = match self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number()?,
            b'"' => Argument::Names(self.string()?),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                Argument::Names(self.skip(|it| is_token_byte(it) || matches!(it, b':' | b'/')))
            }
            b':' => self.bytes()?,
            b'?' => {
                self.rest = &self.rest[1..];
                if self.eat(b'0') {
                    return Some(Argument::False);
                }
                self.eat(b'1').then_some(Argument::Absent)?
            }
            _ => return None,
        };
        Some(argument)
    }

    /// §4.2.4. No time is negative or has a fraction.
    fn number(&mut self) -> Option<Argument<'a>> {
        let is_negative = self.eat(b'-');
        let whole = self.skip(|it| it.is_ascii_digit());
        if self.eat(b'.') {
            let fraction = self.skip(|it| it.is_ascii_digit());
            let fits = matches!((whole.len(), fraction.len()), (1..=12, 1..=3));
            return fits.then_some(Argument::Malformed);
        }
        if is_negative || whole.is_empty() || whole.len() > 15 {
            let fits = is_negative && matches!(whole.len(), 1..=15);
            return fits.then_some(Argument::Malformed);
        }
        super::list::seconds(whole).map(Argument::Seconds)
    }

    /// §4.2.5; escapes are left as they are.
    fn string(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.get(1..)?;
        let mut at = 0;
        loop {
            match text.get(at)? {
                b'"' => break,
                b'\\' if matches!(text.get(at + 1)?, b'"' | b'\\') => at += 2,
                b' '..=b'~' if text[at] != b'\\' => at += 1,
                _ => return None,
            }
        }
        self.rest = &text[at + 1..];
        Some(&text[..at])
    }

    /// §4.2.7: a byte sequence, which no directive has.
    fn bytes(&mut self) -> Option<Argument<'a>> {
        self.rest = &self.rest[1..];
        self.skip(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'/' | b'='));
        self.eat(b':').then_some(Argument::Malformed)
    }

    /// §4.2.1.2, behind its bracket.
    fn inner_list(&mut self) -> Option<()> {
        loop {
            self.skip(|it| it == b' ');
            if self.eat(b')') {
                return Some(());
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.rest.first()?, b' ' | b')') {
                return None;
            }
        }
    }

    /// §4.2.3.2. They mean nothing here (RFC 9213 §2.1).
    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.skip(|it| it == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }
}
