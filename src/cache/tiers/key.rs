//! The name of a stored response outside this process.
//!
//! Owns: its parts and their hash. May touch: nothing outside this room. [`StoreKey`] is a hash
//! under the process's secret, so it means nothing to another process. Here the hash is one that
//! anybody can compute, and a tier keeps the parts beside it and compares them.
//!
//! [`StoreKey`]: crate::cache::store::StoreKey

use aws_lc_rs::digest::{SHA256, digest};

/// The parts that tell one response from another, and their hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierKey {
    parts: Vec<u8>,
    name: u128,
}

impl TierKey {
    /// Of a URL, with the cookies that are part of it and the host that a trusted proxy names.
    pub fn of_url(url: &str, cookies: &[u8], told_host: &[u8]) -> Self {
        Self::of(&[url.as_bytes(), cookies, told_host])
    }

    /// Of the variant of this URL for requests with these values.
    #[must_use]
    pub fn variant(&self, values: &[u8]) -> Self {
        Self::of(&[&self.parts, values])
    }

    fn of(all: &[&[u8]]) -> Self {
        let mut parts = Vec::with_capacity(all.iter().map(|it| it.len() + 8).sum());
        for part in all {
            parts.extend_from_slice(&(part.len() as u64).to_be_bytes());
            parts.extend_from_slice(part);
        }
        let name = Self::name_of(&parts);
        Self { parts, name }
    }

    /// The hash of the parts of a key.
    pub fn name_of(parts: &[u8]) -> u128 {
        let hash = digest(&SHA256, parts);
        hash.as_ref().first_chunk().map_or(0, |it| u128::from_be_bytes(*it))
    }

    /// The hash: 128 bits of SHA-256.
    pub fn name(&self) -> u128 {
        self.name
    }

    /// The hash as text of 32 characters.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.name)
    }

    /// The parts, to be compared with those that a tier has.
    pub fn parts(&self) -> &[u8] {
        &self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_every_process() {
        let key = TierKey::of_url("http://a/b", b"", b"");
        assert_eq!(key.hex(), "a56a23f0589cab54d734a7a8b38af6e1");
    }

    #[test]
    fn where_a_part_ends_counts() {
        assert_ne!(TierKey::of_url("ab", b"c", b""), TierKey::of_url("a", b"bc", b""));
        let url = TierKey::of_url("ab", b"", b"");
        assert_ne!(url.variant(b"x").name(), url.name());
        assert_ne!(url.variant(b"x"), url.variant(b"y"));
    }
}
