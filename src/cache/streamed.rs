//! The head of a response that several requests read as it comes.
//!
//! Owns: what its readers need to know before its end. May touch: nothing outside this room.

use super::{
    policy::Freshness,
    store::{StoreKey, StoredHead},
};
use http::HeaderName;

/// A response that several requests read as it comes.
#[derive(Debug)]
pub struct Streamed {
    /// Status and fields.
    pub head: StoredHead,
    /// How long it is fresh; or why it is not stored, but only for those who wait.
    pub fresh: Result<Freshness, &'static str>,
    /// The length of the content, if it was announced.
    pub length: Option<u64>,
    /// The fields that choose between this and other responses of its URL, sorted.
    pub names: Box<[HeaderName]>,
    /// The key that it is stored under, or would be: of these fields as its request had them.
    pub key: StoreKey,
    /// What it can be purged by, beside its URL.
    pub tags: Vec<Vec<u8>>,
}
