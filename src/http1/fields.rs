//! The fields of a response on their way: as the text that they came as, or as a map.
//!
//! Owns: the change from one to the other. May touch: nothing of ours. Most responses pass through
//! unchanged, and for those a map would be made only to be written out again: it was a fifth of what
//! a small request cost in user space. Whoever wants to look or edit asks for the map.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Fields that can be read back from text; a server's head has fewer.
pub const MOST_FIELDS: usize = 200;

/// The fields of a response, but for those that are for one connection only.
#[derive(Clone, Debug)]
pub enum Fields {
    /// Lines, each with its end.
    Text(Text),
    /// By name.
    Map(HeaderMap),
}

/// Fields as lines.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// `Name: value`, CR LF, and so on; without framing fields.
    pub lines: Bytes,
    /// Whether `Date` is among them.
    pub dated: bool,
    /// `Content-Length`, which HEAD and 304 pass on as it is.
    pub length: Option<u64>,
}

impl Default for Fields {
    fn default() -> Self {
        Self::Text(Text::default())
    }
}

impl Fields {
    /// The fields by name, to be looked at and edited.
    pub fn map(&mut self) -> &mut HeaderMap {
        if let Self::Text(text) = self {
            *self = Self::Map(text.to_map());
        }
        match self {
            Self::Map(map) => map,
            Self::Text(_) => unreachable!("it has just been made a map"),
        }
    }

    /// Writes the lines: all but framing fields. With `length`, `Content-Length` as it came is one
    /// of them. Says whether `Date` was among them.
    pub fn write(&self, out: &mut Vec<u8>, length: bool) -> bool {
        match self {
            Self::Text(text) => {
                out.extend_from_slice(&text.lines);
                if let Some(length) = text.length.filter(|_| length) {
                    let mut digits = itoa::Buffer::new();
                    write_field(out, b"content-length", digits.format(length).as_bytes());
                }
                text.dated
            }
            Self::Map(map) => {
                let mut dated = false;
                for (name, value) in map {
                    let skipped = *name == header::CONTENT_LENGTH && !length
                        || *name == header::TRANSFER_ENCODING
                        || *name == header::CONNECTION;
                    if !skipped {
                        dated |= *name == header::DATE;
                        write_field(out, name.as_str().as_bytes(), value.as_bytes());
                    }
                }
                dated
            }
        }
    }
}

impl Text {
    fn to_map(&self) -> HeaderMap {
        let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
        // The lexer wants the empty line that ends a head.
        let lines = Bytes::from([&self.lines[..], b"\r\n"].concat());
        let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(&lines, &mut room)
        else {
            unreachable!("the lines were read from a head, or made of names and values")
        };
        let mut map = HeaderMap::with_capacity(fields.len() + 2);
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_maybe_shared(lines.slice_ref(field.value));
            if let (Ok(name), Ok(value)) = (name, value) {
                map.append(name, value);
            }
        }
        if let Some(length) = self.length {
            map.insert(header::CONTENT_LENGTH, length.into());
        }
        map
    }
}

/// One line.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    // One look at the capacity for all four pieces.
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_map_say_the_same() {
        let text = Text {
            lines: Bytes::from("Server: x\r\nset-cookie: a\r\nDate: then\r\nSet-Cookie: b\r\n"),
            dated: true,
            length: Some(7),
        };
        let mut fields = Fields::Text(text);
        let mut out = Vec::new();
        assert!(fields.write(&mut out, true));
        assert!(out.starts_with(b"Server: x\r\n") && out.ends_with(b"content-length: 7\r\n"));
        let cookies: Vec<_> = fields.map().get_all("set-cookie").iter().cloned().collect();
        assert_eq!(cookies, ["a", "b"]);
        fields.map().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("gzip"));
        out.clear();
        assert!(fields.write(&mut out, false));
        let lines: Vec<_> = out.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 5, "server, date, two cookies, and nothing after the last end");
    }
}
