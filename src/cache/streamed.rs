//! The head of a response that is being stored.
//!
//! Owns: what its readers need to know before its end. May touch: nothing outside this room.

use super::{
    policy::Freshness,
    store::{StoreKey, StoredHead},
};
use http::HeaderName;

/// A response that is being stored.
#[derive(Debug)]
pub struct Streamed {
    /// Status and fields.
    pub head: StoredHead,
    /// How long it is fresh.
    pub fresh: Freshness,
    /// The length of the content, if it was announced.
    pub length: Option<u64>,
    /// The fields that choose between this and other responses of its URL, sorted.
    pub names: Box<[HeaderName]>,
    /// The key that it is stored under: of these fields as its request had them.
    pub key: StoreKey,
    /// What it can be purged by, beside its URL.
    pub tags: Vec<Vec<u8>>,
}
