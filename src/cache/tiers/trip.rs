//! One fetch's use of the tiers: what they have of its response, and what they get.
//!
//! Owns: the two steps by URL and variant. May touch: nothing outside this room.

use super::{
    Tiers,
    key::TierKey,
    record::{KeptRecord, TierRecord},
};
use crate::cache::{
    policy::Freshness,
    store::{StoredBody, StoredHead},
};
use bytes::Bytes;
use http::HeaderName;
use std::{sync::Arc, time::Duration};

/// One fetch's use of the tiers.
#[derive(Debug)]
pub struct TierTrip {
    tiers: Arc<Tiers>,
    key: TierKey,
    /// What purges name.
    url: String,
    /// The last purge that Redis knew before the fetch, and the disk.
    begun: (u64, u64),
}

/// The tiers, in the order in which they are asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TierKind {
    Redis,
    Disk,
}

impl TierKind {
    /// As `Cache-Status` and metrics have it.
    fn word(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Disk => "disk",
        }
    }
}

/// What a tier has.
struct TierHit {
    record: TierRecord,
    content: Bytes,
    stale: bool,
}

/// A response that a tier had.
#[derive(Debug)]
pub struct FoundInTier {
    /// Which.
    pub tier: &'static str,
    /// Its status and fields.
    pub head: StoredHead,
    /// How long it is fresh.
    pub fresh: Freshness,
    /// The content.
    pub content: Bytes,
    /// It was purged softly.
    pub stale: bool,
    /// The fields that choose between this and other responses of its URL, sorted.
    pub names: Box<[HeaderName]>,
    /// What it can be purged by, beside its URL.
    pub tags: Vec<Vec<u8>>,
}

/// A response to be kept.
#[derive(Clone, Copy)]
pub struct ForTiers<'a> {
    /// Status and fields.
    pub head: &'a StoredHead,
    /// How long it is fresh.
    pub fresh: &'a Freshness,
    /// The content.
    pub content: &'a StoredBody,
    /// The fields that choose between this and other responses of its URL, sorted.
    pub names: &'a [HeaderName],
    /// What it can be purged by, beside its URL.
    pub tags: &'a [Vec<u8>],
}

impl TierTrip {
    /// To be made before the fetch begins.
    pub fn new(tiers: Arc<Tiers>, key: TierKey, url: String) -> Self {
        let begun = (
            tiers.redis.as_ref().map_or(0, |it| it.now()),
            tiers.disk.as_ref().map_or(0, |it| it.now()),
        );
        Self { tiers, key, url, begun }
    }

    /// The response for a request that has these values in the fields of these names.
    pub async fn find(&self, values: impl Fn(&[HeaderName]) -> Vec<u8>) -> Option<FoundInTier> {
        for tier in [TierKind::Redis, TierKind::Disk] {
            let Some(hit) = self.get(tier, &self.key).await else { continue };
            let KeptRecord::Variants(names) = &hit.record.kept else {
                return found(tier, hit, Box::default());
            };
            let names: Result<Box<[_]>, _> = names.iter().map(|it| it.parse()).collect();
            let Ok(names) = names else { continue };
            let variant = self.key.variant(&values(&names));
            if let Some(hit) = self.get(tier, &variant).await {
                return found(tier, hit, names);
            }
        }
        None
    }

    async fn get(&self, tier: TierKind, key: &TierKey) -> Option<TierHit> {
        let Tiers { redis, disk } = &*self.tiers;
        if tier == TierKind::Redis {
            let hit = redis.as_ref()?.get(key).await?;
            return Some(TierHit { record: hit.record, content: hit.content, stale: hit.stale });
        }
        // Other instances may have purged it while this one did not run. Redis knows.
        if redis.as_ref().is_some_and(|it| it.now() == 0) {
            return None;
        }
        let hit = disk.as_ref()?.get(key).await?;
        let since = redis.as_ref().map_or(Some(false), |it| it.is_stale(&hit.record))?;
        Some(TierHit { record: hit.record, content: hit.content, stale: hit.stale || since })
    }

    /// Keeps a response in all of them, behind the answer. `values` are those of its request in the
    /// fields of its names.
    pub fn put(&self, response: ForTiers<'_>, values: &[u8], now: u64) {
        let ForTiers { head, fresh, content, names, tags } = response;
        let time = Duration::from_secs(fresh.useful_for(now).into());
        let mut key = &self.key;
        let variant;
        if !names.is_empty() {
            let names = names.iter().map(|it| it.as_str().to_owned()).collect();
            let none = StoredBody::packed(&[]);
            self.put_under(key, (KeptRecord::Variants(names), &[]), &none, time);
            variant = key.variant(values);
            key = &variant;
        }
        let fields = head.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let kept = KeptRecord::Response { status: head.status(), fields, fresh: *fresh };
        self.put_under(key, (kept, tags), content, time);
    }

    fn put_under(
        &self,
        key: &TierKey,
        (kept, tags): (KeptRecord, &[Vec<u8>]),
        content: &StoredBody,
        time: Duration,
    ) {
        let (shared, disk_begun) = self.begun;
        let record = TierRecord {
            key: key.parts().to_vec(),
            url: self.url.clone(),
            tags: tags.to_vec(),
            begun: shared,
            shared,
            kept,
        };
        if let Some(redis) = &self.tiers.redis {
            redis.put(key, record.clone(), content.clone(), time);
        }
        if let Some(disk) = &self.tiers.disk {
            disk.put(key, TierRecord { begun: disk_begun, ..record }, content.clone());
        }
    }

    /// Takes out the response to requests with these values.
    pub fn remove(&self, names: &[HeaderName], values: &[u8]) {
        let variant;
        let key = if names.is_empty() {
            &self.key
        } else {
            variant = self.key.variant(values);
            &variant
        };
        if let Some(redis) = &self.tiers.redis {
            redis.remove(key);
        }
        if let Some(disk) = &self.tiers.disk {
            disk.remove(key);
        }
    }
}

fn found(tier: TierKind, hit: TierHit, names: Box<[HeaderName]>) -> Option<FoundInTier> {
    let KeptRecord::Response { status, fields, fresh } = &hit.record.kept else { return None };
    let fields = fields.iter().map(|(name, value)| (&name[..], &value[..]));
    let head = StoredHead::new(*status, fields)?;
    let (content, stale) = (hit.content, hit.stale);
    let tier = tier.word();
    Some(FoundInTier { tier, head, fresh: *fresh, content, stale, names, tags: hit.record.tags })
}
