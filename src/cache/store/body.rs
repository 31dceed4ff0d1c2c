//! The content of a stored response: parts that are shared, not copied.
//!
//! Owns: nothing but the parts. May touch: nothing outside this room.

use std::sync::Arc;

use bytes::Bytes;

/// The content, in one part or several.
#[derive(Clone, Debug)]
pub enum StoredBody {
    /// All of it. Not `Bytes`, which needs 32 bytes here and 32 more once it was cloned.
    Whole(Arc<[u8]>),
    /// In order.
    Parts(Arc<[Bytes]>),
}

/// The size of the parts that [`StoredBody::packed`] makes.
const PART: usize = 256 * 1024;

impl StoredBody {
    /// The content copied into memory of its own size. Parts as they come from a connection keep
    /// the whole buffer they were read into, which nobody would count.
    pub fn packed(parts: &[Bytes]) -> Self {
        let length: usize = parts.iter().map(Bytes::len).sum();
        match parts {
            [] => Self::Whole(Arc::new([])),
            [whole] if length <= PART => Self::Whole(Arc::from(&whole[..])),
            parts if length <= PART => Self::Whole(parts.concat().into()),
            parts => Self::Parts(cut(parts, length).into()),
        }
    }

    /// The parts as they are.
    pub fn shared(parts: Vec<Bytes>) -> Self {
        Self::Parts(parts.into())
    }

    /// All of it, if it is in one part: to be written without making `Bytes` of it.
    pub fn whole(&self) -> Option<&[u8]> {
        match self {
            Self::Whole(whole) => Some(whole),
            Self::Parts(parts) if parts.len() == 1 => Some(&parts[0]),
            Self::Parts(_) => None,
        }
    }

    /// The parts, in order, without copying.
    pub fn parts(&self) -> impl Iterator<Item = Bytes> {
        let (whole, parts) = match self {
            Self::Whole(whole) => (Some(Bytes::from_owner(Arc::clone(whole))), &[][..]),
            Self::Parts(parts) => (None, &parts[..]),
        };
        whole.into_iter().chain(parts.iter().cloned())
    }

    /// The length of the content.
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole(whole) => whole.len() as u64,
            Self::Parts(parts) => parts.iter().map(|part| part.len() as u64).sum(),
        }
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A stretch of the content, without copying. Beyond the end there is nothing.
    pub fn slice(&self, start: u64, end: u64) -> Vec<Bytes> {
        let (mut at, mut found) = (0, Vec::new());
        for part in self.parts() {
            let length = part.len() as u64;
            let from = start.clamp(at, at + length) - at;
            let to = end.clamp(at, at + length) - at;
            if from < to {
                found.push(part.slice(from as usize..to as usize));
            }
            at += length;
        }
        found
    }

    /// The bytes it has on the heap: the content, the counts, and what `Bytes` makes for each part
    /// once it was sent.
    pub fn weight(&self) -> u64 {
        let list = match self {
            Self::Whole(_) => 0,
            Self::Parts(parts) => size_of_val(&parts[..]) + 32 * parts.len(),
        };
        16 + self.len() + list as u64
    }
}

/// The content in parts of one size, but the last.
fn cut(parts: &[Bytes], mut left: usize) -> Vec<Bytes> {
    let (mut whole, mut part) = (Vec::new(), Vec::with_capacity(left.min(PART)));
    for mut bytes in parts.iter().map(|bytes| &bytes[..]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART - part.len()));
            part.extend_from_slice(now);
            (left, bytes) = (left - now.len(), later);
            if part.len() == PART || left == 0 {
                let next = Vec::with_capacity(left.min(PART));
                whole.push(Bytes::from(std::mem::replace(&mut part, next)));
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_small() {
        assert_eq!(size_of::<StoredBody>(), 24);
    }

    #[test]
    fn packing_keeps_the_content() {
        let all: Vec<Bytes> =
            [0, 1, 7, PART - 3, PART, 2 * PART + 1].map(|n| Bytes::from(vec![n as u8; n])).into();
        for some in 0..=all.len() {
            let body = StoredBody::packed(&all[..some]);
            assert_eq!(body.parts().collect::<Vec<_>>().concat(), all[..some].concat());
            assert_eq!(body.len() as usize, all[..some].concat().len());
            let parts: Vec<Bytes> = body.parts().collect();
            assert!(parts.iter().rev().skip(1).all(|part| part.len() == PART));
        }
        assert!(StoredBody::packed(&all[4..5]).whole().is_some());
    }

    #[test]
    fn a_slice_is_of_the_whole() {
        let parts = ["abc", "", "defg", "h"].map(|part| Bytes::from_static(part.as_bytes()));
        for body in [StoredBody::packed(&parts), StoredBody::shared(parts.into())] {
            for start in 0..10 {
                for end in 0..10 {
                    let expected: String = "abcdefgh".chars().take(end).skip(start).collect();
                    assert_eq!(body.slice(start as u64, end as u64).concat(), expected.as_bytes());
                }
            }
        }
    }
}
