//! Follows the frames of an HTTP/2 client (RFC 9113 §4.1).
//!
//! Owns: whether a frame or field block has begun that is not whole yet. May touch: nothing outside
//! this room. [`super::io`] shows it the bytes that come. h2 reads the frames themselves, but does
//! not report one that is not whole.

/// A client's first bytes (RFC 9113 §3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows a client's frames.
#[derive(Debug)]
pub struct ClientFrames {
    /// The frame's head, and how much of it has come; before its first byte it is the previous one.
    head: [u8; HEAD],
    have: usize,
    /// Bytes to come of the frame, or of the preface.
    left: usize,
    /// Whether a field block has begun, so that CONTINUATION has to follow.
    in_block: bool,
}

/// What the received bytes have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Something other than DATA has begun and is not whole. DATA belongs to a request, which has
    /// timeouts of its own.
    pub is_within: bool,
    /// Something was whole in between.
    pub was_whole: bool,
    /// How many requests were given up.
    pub resets: u32,
}

impl Default for ClientFrames {
    /// Nothing has come yet.
    fn default() -> Self {
        Self { head: [u8::MAX; HEAD], have: 0, left: PREFACE, in_block: false }
    }
}

impl ClientFrames {
    /// Follows the next `bytes`.
    pub fn follow(&mut self, mut bytes: &[u8]) -> Shown {
        let (mut was_whole, mut resets) = (false, 0);
        loop {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            was_whole |= self.left == 0 && self.have == 0 && !self.in_block;
            if bytes.is_empty() {
                break;
            }
            let more = bytes.len().min(HEAD - self.have);
            self.head[self.have..self.have + more].copy_from_slice(&bytes[..more]);
            self.have += more;
            bytes = &bytes[more..];
            if self.have == HEAD {
                self.have = 0;
                self.begin();
                resets += u32::from(self.head[3] == RST_STREAM);
            }
        }
        let is_within = self.in_block || (self.left > 0 || self.have > 0) && self.head[3] != DATA;
        Shown { is_within, was_whole, resets }
    }

    /// A frame begins: its head is there.
    fn begin(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_block = flags & END_HEADERS == 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + usize::from(length), b'x');
        frame
    }

    #[test]
    fn what_is_not_whole_is_seen_wherever_it_is_cut() {
        let preface = vec![b'P'; PREFACE];
        let all = [
            (preface, true),
            (frame(4, 0, 6), true),
            (frame(HEADERS, END_HEADERS, 20), true),
            (frame(DATA, 0, 20), false),
            (frame(HEADERS, 0, 20), true),
            (frame(CONTINUATION, 0, 0), true),
            (frame(CONTINUATION, END_HEADERS, 3), true),
            (frame(6, 0, 8), true),
        ];
        for step in [1, 2, 7, 1000] {
            let mut frames = ClientFrames::default();
            let mut open = false;
            for (bytes, within) in &all {
                open = *within
                    && match bytes[3] {
                        HEADERS | CONTINUATION => bytes[4] & END_HEADERS == 0,
                        _ => false,
                    };
                let mut come = 0;
                for part in bytes.chunks(step) {
                    let shown = frames.follow(part);
                    come += part.len();
                    let cut = come < bytes.len();
                    // Until its type is known, a frame counts as one of the type before.
                    if !cut || come > 3 {
                        assert_eq!(shown.is_within, open || cut && *within, "{bytes:?} at {come}");
                    }
                    assert!(cut || open || shown.was_whole, "{bytes:?}");
                }
            }
            assert!(!open);
        }
    }

    #[test]
    fn resets_are_counted_once_each() {
        let mut frames = ClientFrames::default();
        frames.follow(&[b'P'; PREFACE]);
        let bytes = frame(RST_STREAM, 0, 4).repeat(3);
        let counted: u32 = bytes.chunks(5).map(|part| frames.follow(part).resets).sum();
        assert_eq!(counted, 3);
    }

    #[test]
    fn whole_frames_and_a_cut_one_come_at_once() {
        let mut frames = ClientFrames::default();
        let mut bytes = vec![b'P'; PREFACE];
        bytes.extend(frame(HEADERS, END_HEADERS, 20));
        bytes.extend(&frame(HEADERS, END_HEADERS, 20)[..12]);
        assert_eq!(frames.follow(&bytes), Shown { is_within: true, was_whole: true, resets: 0 });
        assert_eq!(frames.follow(b"x"), Shown { is_within: true, was_whole: false, resets: 0 });
        assert_eq!(
            frames.follow(&[b'x'; 16]),
            Shown { is_within: false, was_whole: true, resets: 0 }
        );
    }
}
