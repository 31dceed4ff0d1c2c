//! The fields of a response: as the text that was received, or as a map.
//!
//! Owns: the change from text to map, and the lines, which requests have, too ([`super::request`]).
//! May touch: nothing outside this room. Most responses pass unchanged. For them, a map would be
//! made only to be written out again, which was a fifth of what a small request cost in user space.
//! Code that edits fields asks for the map.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The fields of a response, except those that are for one connection only.
#[derive(Clone, Debug)]
pub enum Fields {
    /// Lines, each with its end.
    Text(FieldText),
    /// By name. Boxed, so that fields that stay text are small to move.
    Map(Box<HeaderMap>),
}

/// Fields as lines.
#[derive(Clone, Debug, Default)]
pub struct FieldText {
    /// `Name: value` and CR LF for each field, without framing fields; but see `sized`.
    pub lines: Bytes,
    /// Whether `Date` is among them.
    pub dated: bool,
    /// `Content-Length` as it came.
    pub length: Option<u64>,
    /// Whether `Content-Length` is among the lines, once.
    pub sized: bool,
}

/// Which `Content-Length` a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentLength {
    /// None: the body is framed in another way, or there can't be one.
    Absent,
    /// As received, if there was one. In answers to HEAD and in a 304 it describes a body that
    /// isn't sent.
    AsItCame,
    /// This many bytes.
    Exact(u64),
}

impl Default for Fields {
    fn default() -> Self {
        Self::Text(FieldText::default())
    }
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Self {
        Self::Map(Box::new(map))
    }
}

impl Fields {
    /// The fields by name, to be looked at and edited.
    pub fn map(&mut self) -> &mut HeaderMap {
        if let Self::Text(text) = self {
            *self = Self::Map(Box::new(text.to_map()));
        }
        match self {
            Self::Map(map) => map,
            Self::Text(_) => unreachable!("it has just been made a map"),
        }
    }

    /// The first value of a field.
    pub fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        match self {
            Self::Text(text) => {
                let named = |(other, _): &(&[u8], &[u8])| {
                    other.eq_ignore_ascii_case(name.as_str().as_bytes())
                };
                split(&text.lines).find(named).map(|(_, value)| value)
            }
            Self::Map(map) => map.get(name).map(HeaderValue::as_bytes),
        }
    }

    /// `Content-Length` as it came. In an answer to HEAD it is about a body that isn't sent.
    pub fn told_length(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.length,
            Self::Map(map) => map.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok(),
        }
    }

    /// Writes the lines, and `Content-Length` as the argument says. Returns whether `Date` was
    /// among the lines.
    pub fn write(&self, out: &mut Vec<u8>, length: ContentLength) -> bool {
        match self {
            Self::Text(text) => {
                text.write(out, length);
                text.dated
            }
            Self::Map(map) => {
                let mut dated = false;
                for (name, value) in &**map {
                    let skipped = *name == header::CONTENT_LENGTH
                        && length != ContentLength::AsItCame
                        || *name == header::TRANSFER_ENCODING
                        || *name == header::CONNECTION;
                    if !skipped {
                        dated |= *name == header::DATE;
                        write_field(out, name.as_str().as_bytes(), value.as_bytes());
                    }
                }
                if let ContentLength::Exact(length) = length {
                    write_length(out, length);
                }
                dated
            }
        }
    }
}

impl FieldText {
    fn write(&self, out: &mut Vec<u8>, length: ContentLength) {
        let length = match length {
            ContentLength::Absent => None,
            ContentLength::AsItCame => self.length,
            ContentLength::Exact(length) => Some(length),
        };
        if self.sized && length != self.length {
            self.write_unsized(out);
        } else {
            out.extend_from_slice(&self.lines);
            if self.sized {
                return;
            }
        }
        if let Some(length) = length {
            write_length(out, length);
        }
    }

    /// All lines but `Content-Length`.
    #[cold]
    fn write_unsized(&self, out: &mut Vec<u8>) {
        let mut others = self.clone();
        others.drop_length();
        out.extend_from_slice(&others.lines);
    }

    /// Leaves `Content-Length` out.
    pub fn drop_length(&mut self) {
        if self.sized {
            self.retain(|name| !name.eq_ignore_ascii_case(b"content-length"));
        }
        (self.length, self.sized) = (None, false);
    }

    /// Leaves out the fields whose names are not to stay.
    #[cold]
    pub fn retain(&mut self, stays: impl Fn(&[u8]) -> bool) {
        let mut lines = Vec::with_capacity(self.lines.len());
        for (name, value) in split(&self.lines).filter(|(name, _)| stays(name)) {
            write_field(&mut lines, name, value);
        }
        self.lines = lines.into();
        self.dated &= stays(b"date");
    }

    fn to_map(&self) -> HeaderMap {
        let mut map = to_map(&self.lines);
        if let Some(length) = self.length {
            map.insert(header::CONTENT_LENGTH, length.into());
        }
        map
    }
}

/// The names and values of lines that were read from a head, or made of names and values.
pub fn split(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        (name, value.strip_prefix(b":").unwrap_or_default().trim_ascii())
    })
}

/// Lines by name.
pub fn to_map(lines: &Bytes) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(16);
    append_lines(&mut map, lines);
    map
}

/// Appends lines, by name, to those in the map.
pub fn append_lines(map: &mut HeaderMap, lines: &Bytes) {
    for (name, value) in split(lines) {
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_maybe_shared(lines.slice_ref(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
}

/// `Content-Length`.
pub fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One line whose name the compiler knows: it ends with a colon and a space.
#[inline]
pub fn write_known<const N: usize>(out: &mut Vec<u8>, name: &[u8; N], value: &[u8]) {
    out.reserve(N + value.len() + 2);
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// One line.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // Reserve once for all four pieces.
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields, length: ContentLength) -> String {
        let mut out = Vec::new();
        assert!(fields.write(&mut out, length), "dated");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_and_map_say_the_same() {
        let text = FieldText {
            lines: Bytes::from("Server: x\r\nset-cookie: a\r\nDate: then\r\nSet-Cookie: b\r\n"),
            dated: true,
            length: Some(7),
            sized: false,
        };
        let mut fields = Fields::Text(text);
        let out = written(&fields, ContentLength::AsItCame);
        assert!(out.starts_with("Server: x\r\n") && out.ends_with("content-length: 7\r\n"));
        let cookies: Vec<_> = fields.map().get_all("set-cookie").iter().cloned().collect();
        assert_eq!(cookies, ["a", "b"]);
        assert_eq!(
            written(&fields, ContentLength::AsItCame).matches("content-length: 7").count(),
            1
        );
        fields.map().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("gzip"));
        let out = written(&fields, ContentLength::Absent);
        assert_eq!(out.lines().count(), 4, "server, date and two cookies");
    }

    #[test]
    fn a_length_among_the_lines_is_told_once_or_not_at_all() {
        let text = FieldText {
            lines: Bytes::from("Date: then\r\nContent-Length: 7\r\nx: content-length: 1\r\n"),
            dated: true,
            length: Some(7),
            sized: true,
        };
        let mut fields = Fields::Text(text);
        for map in [false, true] {
            for (length, told) in [
                (ContentLength::AsItCame, Some("7")),
                (ContentLength::Exact(7), Some("7")),
                (ContentLength::Exact(3), Some("3")),
                (ContentLength::Absent, None),
            ] {
                let out = written(&fields, length);
                let lengths = out.lines().filter_map(|line| {
                    let (name, value) = line.split_once(": ")?;
                    name.eq_ignore_ascii_case("content-length").then_some(value)
                });
                assert_eq!(lengths.collect::<Vec<_>>(), Vec::from_iter(told), "{length:?} {map}");
                assert!(out.contains("x: content-length: 1\r\n"));
            }
            fields.map();
        }
    }
}
