//! A response as tiers keep it: bytes with lengths and checksums.
//!
//! Owns: the form. May touch: nothing outside this room. Both tiers have the same form:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `sheave`, and the version of the form |
//! | 4, 8 | the length of the head, and of the content |
//! | 4 | CRC-32 of those lengths and the head |
//! | 4 | CRC-32 of the content |
//! | … | the head ([`TierRecord`], as `postcard` writes it), then the content |
//!
//! What is torn, cut or changed is found; what another version wrote is not read.

use crate::cache::{
    policy::Freshness,
    store::{Label, Seq, StoredBody},
    url::host_of,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The last byte is the version: raise it when [`TierRecord`] or anything in it changes.
const MAGIC: [u8; 8] = *b"sheave\x00\x01";

/// The bytes before the head.
pub const PREFIX: usize = 28;

/// A longer head was not written by us.
const LONGEST_HEAD: u32 = 16 * 1024 * 1024;

/// What is known of a stored response, beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRecord {
    /// The parts of its key.
    pub key: Vec<u8>,
    /// The URL that purges name.
    pub url: String,
    /// What it can be purged by, beside its URL.
    pub tags: Vec<Vec<u8>>,
    /// The tier's last purge before its fetch began.
    pub begun: u64,
    /// The same of Redis, in a record on disk: 0 where there is none.
    pub shared: u64,
    /// What it is.
    pub kept: KeptRecord,
}

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeptRecord {
    /// A response.
    Response {
        /// Its status.
        status: u16,
        /// Its fields: names and values.
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        /// How long it is fresh.
        fresh: Freshness,
    },
    /// The names of the fields that choose between the responses of this URL, sorted.
    Variants(Vec<String>),
}

/// The lengths and checksums before a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSizes {
    /// Of the head, in bytes.
    pub head: u32,
    /// Of the content, in bytes.
    pub content: u64,
    head_sum: u32,
    content_sum: u32,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Another version wrote it, or somebody else.
    Foreign,
    /// It is shorter or longer than it says.
    Cut,
    /// A checksum does not fit.
    Changed,
}

impl TierRecord {
    /// What it can be purged by, if its fetch began after this purge; `None` if it has too many tags.
    pub fn label(&self, begun: Seq) -> Option<Label> {
        let tags = self.tags.iter().map(|tag| &tag[..]);
        Label::new(begun, self.url.as_bytes(), host_of(&self.url).as_bytes(), tags)
    }

    /// The record with its content.
    pub fn write(&self, content: &StoredBody) -> Vec<u8> {
        let head = postcard::to_allocvec(self).unwrap_or_default();
        let mut content_sum = crc32fast::Hasher::new();
        content.parts().for_each(|part| content_sum.update(&part));
        let length = content.len();
        let mut out = Vec::with_capacity(PREFIX + head.len() + length as usize);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&(head.len() as u32).to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&head_sum(&out[8..20], &head).to_le_bytes());
        out.extend_from_slice(&content_sum.finalize().to_le_bytes());
        out.extend_from_slice(&head);
        content.parts().for_each(|part| out.extend_from_slice(&part));
        out
    }

    /// What [`TierRecord::write`] wrote, with its content, which is not copied.
    pub fn read(bytes: &Bytes) -> Result<(Self, Bytes), Unreadable> {
        let (prefix, rest) = bytes.split_at_checked(PREFIX).ok_or(Unreadable::Cut)?;
        let sizes = RecordSizes::read(prefix)?;
        let (head, _) = rest.split_at_checked(sizes.head as usize).ok_or(Unreadable::Cut)?;
        let record = Self::read_head(prefix, head)?;
        let content = bytes.slice(PREFIX + head.len()..);
        if content.len() as u64 != sizes.content {
            return Err(Unreadable::Cut);
        }
        if crc32fast::hash(&content) != sizes.content_sum {
            return Err(Unreadable::Changed);
        }
        Ok((record, content))
    }

    /// Only what is before the content: the first [`PREFIX`] bytes, and the head behind them.
    pub fn read_head(prefix: &[u8], head: &[u8]) -> Result<Self, Unreadable> {
        let sizes = RecordSizes::read(prefix)?;
        if head.len() != sizes.head as usize {
            return Err(Unreadable::Cut);
        }
        if head_sum(&prefix[8..20], head) != sizes.head_sum {
            return Err(Unreadable::Changed);
        }
        postcard::from_bytes(head).map_err(|_| Unreadable::Foreign)
    }
}

impl RecordSizes {
    /// From the first [`PREFIX`] bytes.
    pub fn read(prefix: &[u8]) -> Result<Self, Unreadable> {
        let (magic, rest) = prefix.split_first_chunk().ok_or(Unreadable::Cut)?;
        if *magic != MAGIC {
            return Err(Unreadable::Foreign);
        }
        let (head, rest) = rest.split_first_chunk().ok_or(Unreadable::Cut)?;
        let (content, rest) = rest.split_first_chunk().ok_or(Unreadable::Cut)?;
        let (head_sum, rest) = rest.split_first_chunk().ok_or(Unreadable::Cut)?;
        let content_sum = rest.first_chunk().ok_or(Unreadable::Cut)?;
        let sizes = Self {
            head: u32::from_le_bytes(*head),
            content: u64::from_le_bytes(*content),
            head_sum: u32::from_le_bytes(*head_sum),
            content_sum: u32::from_le_bytes(*content_sum),
        };
        if sizes.head > LONGEST_HEAD { Err(Unreadable::Changed) } else { Ok(sizes) }
    }
}

fn head_sum(lengths: &[u8], head: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(lengths);
    sum.update(head);
    sum.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> TierRecord {
        TierRecord {
            key: b"key".to_vec(),
            url: "http://a/b".into(),
            tags: vec![b"x".to_vec(), b"y".to_vec()],
            begun: 7,
            shared: 8,
            kept: KeptRecord::Variants(vec!["accept".into()]),
        }
    }

    /// If this fails, the form has changed: raise the version.
    #[test]
    fn the_form_is_the_same_as_ever() {
        let bytes = sample().write(&StoredBody::packed(&[Bytes::from_static(b"content")]));
        let form = r"sheave\x00\x01\x1f\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\xc2\np\xac\xa90\xc5\xfe\x03key\nhttp://a/b\x02\x01x\x01y\x07\x08\x01\x01\x06acceptcontent";
        assert_eq!(bytes.escape_ascii().to_string(), form);
        let fresh: Freshness = postcard::from_bytes(&[1, 2, 3, 4, 5, 1, 0, 1, 0, 2, 1]).unwrap();
        let expected = "Freshness { received: 1, initial_age: 2, lifetime: 3, while_revalidate: 4, \
                        if_error: 5, no_cache: true, must_revalidate: false, \
                        immutable: true, has_validator: false, source: SMaxage, staled: true }";
        assert_eq!(format!("{fresh:?}"), expected);
    }

    #[test]
    fn a_record_comes_back() {
        let content = Bytes::from_static(b"content");
        let bytes = sample().write(&StoredBody::packed(std::slice::from_ref(&content)));
        assert_eq!(TierRecord::read(&bytes.into()), Ok((sample(), content)));
    }

    proptest! {
        #[test]
        fn what_was_changed_is_not_read(at: prop::sample::Index, with in 1_u8..) {
            let mut bytes = sample().write(&StoredBody::packed(&[Bytes::from_static(b"content")]));
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            prop_assert!(TierRecord::read(&bytes.into()).is_err());
        }

        #[test]
        fn what_was_cut_is_not_read(at: prop::sample::Index) {
            let bytes = sample().write(&StoredBody::packed(&[Bytes::from_static(b"content")]));
            let cut = Bytes::copy_from_slice(&bytes[..at.index(bytes.len())]);
            prop_assert!(TierRecord::read(&cut).is_err());
        }

        #[test]
        fn anything_can_be_read(bytes: Vec<u8>) {
            let _ = TierRecord::read(&bytes.into());
        }
    }
}
