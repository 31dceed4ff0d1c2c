//! What is stored under a key.
//!
//! Owns: the kinds of it, and its weight. May touch: nothing outside this room.

use super::{
    policy::{Freshness, NotStored},
    store::{StoredBody, StoredHead, Weighed},
};
use http::HeaderName;

/// What is stored under a key.
#[derive(Debug)]
pub enum CacheEntry {
    /// A response.
    Response(StoredResponse),
    /// The fields that choose between the responses of this URL (RFC 9111 §4.1), sorted.
    Variants(Box<[HeaderName]>),
    /// Its last response could not be stored. Until this second (Unix time), requests do not wait for
    /// each other. And why.
    Passed(u64, NotKept),
}

/// A stored response.
#[derive(Debug)]
pub struct StoredResponse {
    /// Status and fields.
    pub head: StoredHead,
    /// How long it is fresh.
    pub fresh: Freshness,
    /// The content.
    pub body: StoredBody,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// By the rules of RFC 9111.
    ByRule(NotStored),
    /// By its size.
    TooLarge,
    /// By its `Vary`.
    VaryClient,
}

impl NotKept {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ByRule(rule) => rule.word(),
            Self::TooLarge => "too_large",
            Self::VaryClient => "vary_client",
        }
    }

    /// In a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ByRule(rule) => rule.sentence(),
            Self::VaryClient => "`Vary` names a field that the proxy writes for each client alone",
            Self::TooLarge => "the content is larger than `max_object` of the cache",
        }
    }
}

impl Weighed for CacheEntry {
    fn weight(&self) -> u64 {
        match self {
            Self::Response(it) => it.head.weight() + it.body.weight(),
            Self::Variants(names) => {
                size_of_val(&**names) as u64
                    + names.iter().map(|it| it.as_str().len() as u64).sum::<u64>()
            }
            Self::Passed(..) => 0,
        }
    }
}
