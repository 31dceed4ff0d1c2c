//! What a response can be purged by: its URL, host and tags, and when its fetch began.
//!
//! Owns: one block with all of it, of 4 bytes a name and the URL's text. May touch: nothing outside
//! this room.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{key, kind, seq::Seq};

/// The most tags of a response.
pub const MOST_TAGS: usize = 128;

/// The longest tag.
pub const LONGEST_TAG: usize = 256;

/// The bit of `alive_at` for what was purged softly. Purges are never so many.
const STALE: u64 = 1 << 63;

/// The names of a response.
#[derive(Debug)]
pub struct Label {
    /// The last purge before the fetch, or a later one that left it alive; and whether one was soft.
    alive_at: AtomicU64,
    /// How many tags; the marks of the URL, the host and each tag; the URL.
    block: Box<[u8]>,
}

impl Label {
    /// The names of a response whose fetch began at `begun`. The URL is the one that purges name:
    /// scheme, host, path and query, without what only chooses a variant.
    ///
    /// [`None`] if there are more than [`MOST_TAGS`] tags or one is longer than [`LONGEST_TAG`]:
    /// such a response must not be stored, as a purge might miss it.
    pub fn new<'a>(
        begun: Seq,
        url: &[u8],
        host: &[u8],
        tags: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut block = Self::marked(url, host);
        for tag in tags {
            if tag.len() > LONGEST_TAG || usize::from(block[0]) == MOST_TAGS {
                return None;
            }
            block[0] += 1;
            block.extend_from_slice(&key::mark(kind::TAG, tag).to_ne_bytes());
        }
        block.extend_from_slice(url);
        // Copied, as an allocator may leave a block that shrinks where it is, with its old size.
        Some(Self { alive_at: AtomicU64::new(begun.0), block: block[..].into() })
    }

    /// The same for a fetch whose response, and so its tags, is not there yet.
    pub fn untagged(begun: Seq, url: &[u8], host: &[u8]) -> Self {
        let mut block = Self::marked(url, host);
        block.extend_from_slice(url);
        Self { alive_at: AtomicU64::new(begun.0), block: block.into() }
    }

    fn marked(url: &[u8], host: &[u8]) -> Vec<u8> {
        let mut block = vec![0];
        block.extend_from_slice(&key::mark(kind::URL, url).to_ne_bytes());
        block.extend_from_slice(&key::mark(kind::HOST, host).to_ne_bytes());
        block
    }

    /// The same names, for a response that was fetched or validated again.
    #[must_use]
    pub fn renewed(&self, begun: Seq) -> Self {
        Self { alive_at: AtomicU64::new(begun.0), block: self.block.clone() }
    }

    /// The same names, known to have been purged softly.
    #[must_use]
    pub fn staled(self) -> Self {
        self.checked(self.alive_at(), true);
        self
    }

    /// When the fetch began, or later: the last purge that is known not to have killed it.
    pub fn alive_at(&self) -> Seq {
        Seq(self.alive_at.load(Relaxed) & !STALE)
    }

    /// Whether it is known to have been purged softly.
    pub(super) fn is_stale(&self) -> bool {
        self.alive_at.load(Relaxed) & STALE != 0
    }

    /// Remembers what the purges up to `now` mean for it. What others remember is never undone: the
    /// bit is the highest.
    pub(super) fn checked(&self, now: Seq, stale: bool) {
        self.alive_at.fetch_max(now.0 | if stale { STALE } else { 0 }, Relaxed);
    }

    /// The URL.
    pub fn url(&self) -> &[u8] {
        &self.block[self.marks_end()..]
    }

    /// How many tags it has.
    pub fn tags(&self) -> usize {
        usize::from(self.block[0])
    }

    /// The bytes it has on the heap.
    pub(super) fn weight(&self) -> u64 {
        self.block.len() as u64
    }

    pub(super) fn url_mark(&self) -> u32 {
        self.marks().next().unwrap_or_default()
    }

    /// Of the host and the tags.
    pub(super) fn name_marks(&self) -> impl Iterator<Item = u32> {
        self.marks().skip(1)
    }

    fn marks(&self) -> impl Iterator<Item = u32> {
        let marks = self.block[1..self.marks_end()].as_chunks().0;
        marks.iter().map(|mark| u32::from_ne_bytes(*mark))
    }

    fn marks_end(&self) -> usize {
        1 + 4 * (2 + self.tags())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_its_parts() {
        let label = Label::new(Seq(7), b"http://a/b", b"a", [&b"x"[..], b"y"]).unwrap();
        assert_eq!((label.url(), label.tags(), label.alive_at()), (&b"http://a/b"[..], 2, Seq(7)));
        assert_eq!(label.url_mark(), key::mark(kind::URL, b"http://a/b"));
        let names: Vec<u32> = label.name_marks().collect();
        assert_eq!(names[0], key::mark(kind::HOST, b"a"));
        assert_eq!(names[2], key::mark(kind::TAG, b"y"));
        label.checked(Seq(9), true);
        label.checked(Seq(10), false);
        label.checked(Seq(8), true);
        assert_eq!((label.alive_at(), label.is_stale()), (Seq(9), true));
    }

    #[test]
    fn what_could_not_be_purged_has_no_label() {
        let long = [b'x'; LONGEST_TAG + 1];
        assert!(Label::new(Seq(0), b"u", b"h", [&long[..]]).is_none());
        assert!(Label::new(Seq(0), b"u", b"h", vec![&b"t"[..]; MOST_TAGS + 1]).is_none());
        assert!(Label::new(Seq(0), b"u", b"h", vec![&b"t"[..]; MOST_TAGS]).is_some());
    }
}
