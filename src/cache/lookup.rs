//! Finding the stored response for a request.
//!
//! Owns: the two keys, that of the URL and that of its variant (RFC 9111 §4.1). May touch:
//! [`crate::http1`].

use super::{
    Cache,
    kept::{CacheEntry, StoredResponse},
    policy::{Freshness, vary::write_variant},
    store::{StoreHit, StoreKey, StoredEntry},
    url::codings,
};
use crate::http1::request::RequestFields;
use http::{HeaderName, header::ACCEPT_ENCODING};
use std::sync::Arc;

/// What was found.
pub struct LookedUp {
    /// The key that fits the request as far as it is known: of the URL, or of the variant.
    pub key: StoreKey,
    /// What is there.
    pub kept: Option<FoundKept>,
}

/// What is there.
pub enum FoundKept {
    /// A response, and how fresh it is: less than it was stored with if it was purged softly.
    Response(Arc<StoredEntry<CacheEntry>>, Freshness),
    /// Its last response could not be stored.
    Passed,
    /// Other variants, but not this one.
    OtherVariants,
}

/// The response of an entry that has one.
pub fn response(entry: &StoredEntry<CacheEntry>) -> Option<&StoredResponse> {
    match entry.value() {
        CacheEntry::Response(response) => Some(response),
        CacheEntry::Variants(_) | CacheEntry::Passed(..) => None,
    }
}

impl Cache {
    /// Looks a URL up for a request with these fields, at `now` (Unix time).
    pub fn look_up(&self, url: StoreKey, fields: &RequestFields, now: u64) -> LookedUp {
        Self::found(|key| self.store.get(key), url, fields, now)
    }

    /// The same without counting, and without being a reason to keep it longer.
    pub fn peek(&self, url: StoreKey, fields: &RequestFields, now: u64) -> LookedUp {
        Self::found(|key| self.store.peek(key), url, fields, now)
    }

    #[inline]
    fn found(
        look: impl Fn(StoreKey) -> Option<StoreHit<CacheEntry>>,
        url: StoreKey,
        fields: &RequestFields,
        now: u64,
    ) -> LookedUp {
        let Some(hit) = look(url) else { return LookedUp { key: url, kept: None } };
        let CacheEntry::Variants(names) = hit.entry.value() else {
            return LookedUp { key: url, kept: Self::kept(hit, now) };
        };
        let key = variant_key(url, names, fields);
        let kept = look(key).and_then(|hit| Self::kept(hit, now));
        LookedUp { key, kept: Some(kept.unwrap_or(FoundKept::OtherVariants)) }
    }

    /// Whether requests by this key do not wait for each other.
    pub fn is_passed(&self, key: StoreKey, now: u64) -> bool {
        let found = self.store.peek(key).and_then(|hit| Self::kept(hit, now));
        matches!(found, Some(FoundKept::Passed))
    }

    fn kept(hit: StoreHit<CacheEntry>, now: u64) -> Option<FoundKept> {
        match hit.entry.value() {
            CacheEntry::Response(response) => {
                let fresh = if hit.stale { response.fresh.staled(now) } else { response.fresh };
                Some(FoundKept::Response(hit.entry, fresh))
            }
            CacheEntry::Passed(until, _) if *until > now => Some(FoundKept::Passed),
            CacheEntry::Passed(..) | CacheEntry::Variants(_) => None,
        }
    }
}

/// The key of a URL, with the cookies that are part of it and the host that a trusted proxy names.
pub fn url_key(url: &str, cookies: &[u8], told_host: &[u8]) -> StoreKey {
    StoreKey::of(&[url.as_bytes(), cookies, told_host])
}

/// The key of the variant that a request with these fields gets.
pub fn variant_key(url: StoreKey, names: &[HeaderName], fields: &RequestFields) -> StoreKey {
    if names.is_empty() {
        return url;
    }
    StoreKey::of(&[&url.to_u128().to_be_bytes(), &variant_values(names, fields)])
}

/// What a request has in the fields that choose between responses.
pub fn variant_values(names: &[HeaderName], fields: &RequestFields) -> Vec<u8> {
    let codings =
        names.contains(&ACCEPT_ENCODING).then(|| codings(fields.values(&ACCEPT_ENCODING)));
    let mut variant = Vec::with_capacity(128);
    write_variant(&mut variant, names, fields, codings);
    variant
}
