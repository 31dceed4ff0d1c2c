//! The name of a stored response: 128 bits made from its parts under a secret.
//!
//! Owns: the hash and the process's secret. May touch: nothing outside this room.
//!
//! Two different requests with one key would be served each other's bodies, so the hash is one that
//! was made to stand against who chooses the input: SipHash-2-4 with 128 bits. Without the secret a
//! collision can't be computed, and to find one by trying, with n objects stored and q requests,
//! has a chance of n·q / 2^128: 10^-17 for a million objects and 10^15 requests. So a lookup
//! compares keys and nothing else.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::OnceLock,
};

use siphasher::sip128::{Hasher128, SipHasher24};

/// The name of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreKey {
    low: u64,
    high: u64,
}

impl StoreKey {
    /// The key of these parts, for this process only. Where one part ends and the next begins
    /// counts: `["ab", "c"]` isn't `["a", "bc"]`.
    pub fn of(parts: &[&[u8]]) -> Self {
        Self::hash(*secret(), parts)
    }

    /// The same under a given secret, for a store that several processes share.
    pub fn with_secret(secret: &[u8; 16], parts: &[&[u8]]) -> Self {
        Self::hash(SipHasher24::new_with_key(secret), parts)
    }

    fn hash(mut hasher: SipHasher24, parts: &[&[u8]]) -> Self {
        for part in parts {
            hasher.write_u64(part.len() as u64);
            hasher.write(part);
        }
        let hash = hasher.finish128();
        Self { low: hash.h1, high: hash.h2 }
    }

    /// From the number that [`StoreKey::to_u128`] gave.
    pub fn from_u128(number: u128) -> Self {
        Self { low: number as u64, high: (number >> 64) as u64 }
    }

    /// As a number, to be written down.
    pub fn to_u128(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// For the table of a shelf.
    pub(super) fn table(self) -> u64 {
        self.low
    }

    /// Which of a power of two of shelves.
    pub(super) fn shelf(self, shelves: usize) -> usize {
        self.high as usize & (shelves - 1)
    }

    /// What is remembered of a key that was evicted.
    pub(super) fn trace(self) -> u32 {
        (self.high >> 32) as u32
    }
}

/// The process's hash of something short, of which 32 bits are kept: for marks.
pub(super) fn mark(kind: u8, name: &[u8]) -> u32 {
    let mut hasher = *secret();
    // No key starts so: there the first byte is a length's lowest, and seven more follow.
    hasher.write(&[kind]);
    hasher.write(name);
    hasher.finish128().h1 as u32
}

/// A hasher that has taken in the process's secret.
fn secret() -> &'static SipHasher24 {
    static SECRET: OnceLock<SipHasher24> = OnceLock::new();
    SECRET.get_or_init(|| {
        // The standard library's keys come from the system. Two outputs under one of them are as
        // good as two random numbers.
        let random = RandomState::new();
        SipHasher24::new_with_keys(random.hash_one("low"), random.hash_one("high"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_where_parts_end() {
        assert_eq!(StoreKey::of(&[b"ab", b"c"]), StoreKey::of(&[b"ab", b"c"]));
        assert_ne!(StoreKey::of(&[b"ab", b"c"]), StoreKey::of(&[b"a", b"bc"]));
        assert_ne!(StoreKey::of(&[b"ab", b""]), StoreKey::of(&[b"ab"]));
    }

    #[test]
    fn a_secret_changes_the_key() {
        let (one, other) = ([1; 16], [2; 16]);
        assert_eq!(StoreKey::with_secret(&one, &[b"a"]), StoreKey::with_secret(&one, &[b"a"]));
        assert_ne!(StoreKey::with_secret(&one, &[b"a"]), StoreKey::with_secret(&other, &[b"a"]));
        assert_ne!(StoreKey::with_secret(&one, &[b"a"]), StoreKey::of(&[b"a"]));
    }

    #[test]
    fn a_key_is_the_number_it_was() {
        let key = StoreKey::of(&[b"a"]);
        assert_eq!(StoreKey::from_u128(key.to_u128()), key);
    }

    #[test]
    fn kinds_have_their_own_marks() {
        assert_ne!(mark(1, b"a"), mark(2, b"a"));
    }
}
