//! Sees `Content-Length` beside `Transfer-Encoding`, which hyper hides.
//!
//! Owns: the one question. May touch: nothing of ours. hyper removes a `Content-Length` that stands
//! beside `Transfer-Encoding`; RFC 9112 §6.1 wants such a request treated as an attack. GET and HEAD
//! are not looked at: with `Transfer-Encoding` they count as unseen, and the connection ends after.

const NAME: &[u8] = b"content-length:";

/// Reads a head's bytes as they arrive.
#[derive(Debug, Default)]
pub struct HeadSniffer {
    /// The beginning of the current line.
    line: [u8; NAME.len()],
    length: usize,
    started: bool,
    skipped: bool,
    seen: bool,
}

impl HeadSniffer {
    /// Takes the next bytes; at the head's end says whether there was a `Content-Length`.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Option<bool> {
        if !self.started && self.length == 0 && matches!(bytes.first(), Some(b'G' | b'H')) {
            self.skipped = true;
        }
        while !self.skipped && !bytes.is_empty() {
            let end = memchr::memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let take = part.len().min(NAME.len() - self.length);
            self.line[self.length..self.length + take].copy_from_slice(&part[..take]);
            self.length += take;
            let end = end?;
            bytes = &bytes[end + 1..];
            if matches!(&self.line[..self.length], b"" | b"\r") {
                if self.started {
                    self.skipped = true;
                    return Some(self.seen);
                }
            } else {
                // Empty lines before the request line are none of the head's (RFC 9112 §2.2).
                self.started = true;
                self.seen |= self.line.eq_ignore_ascii_case(NAME);
            }
            self.length = 0;
            self.line = [0; NAME.len()];
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniff(head: &[u8], piece: usize) -> Option<bool> {
        let mut sniffer = HeadSniffer::default();
        head.chunks(piece).find_map(|bytes| sniffer.feed(bytes))
    }

    #[test]
    fn the_field_is_seen_however_it_arrives() {
        let with = b"\r\nPOST / HTTP/1.1\r\nhost: a\r\ncOntent-length: 3\r\nx: y\r\n\r\nabc";
        let without =
            b"POST / HTTP/1.1\r\nhost: a\r\nx-content-length: 3\r\n\r\ncontent-length: 3\r\n\r\n";
        for piece in 1..60 {
            assert_eq!(sniff(with, piece), Some(true), "{piece}");
            assert_eq!(sniff(without, piece), Some(false), "{piece}");
        }
        assert_eq!(sniff(b"POST / HTTP/1.1\ncontent-length: 3\n\n", 7), Some(true));
        assert_eq!(sniff(b"GET / HTTP/1.1\r\ncontent-length: 3\r\n\r\n", 7), None);
        assert_eq!(sniff(b"POST / HTTP/1.1\r\ncontent-length: 3\r\n", 7), None);
    }
}
