//! What is stored under a key.
//!
//! Owns: the kinds of it, and its weight. May touch: nothing outside this room.

use super::{
    policy::Freshness,
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
    /// each other.
    Passed(u64),
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

impl Weighed for CacheEntry {
    fn weight(&self) -> u64 {
        match self {
            Self::Response(it) => it.head.weight() + it.body.weight(),
            Self::Variants(names) => {
                size_of_val(&**names) as u64
                    + names.iter().map(|it| it.as_str().len() as u64).sum::<u64>()
            }
            Self::Passed(_) => 0,
        }
    }
}
