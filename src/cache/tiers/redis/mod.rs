//! The tier in Redis or Valkey, which several instances share.
//!
//! Owns: what the rest of the cache may do with it. May touch: [`crate::settings`].
//!
//! A purge holds on all instances, whatever is lost. Redis has a number for each purge, its
//! generation, and a log of the last ones. An object says at which generation its fetch began. Who
//! reads an object asks for the generation too, and reads the log if it is new to him, before he
//! judges the object. So what Redis has never depends on a message; the news on a channel, and a
//! question each second, are for what instances have in memory.
//!
//! If entries of the log were lost before an instance read them, it purges everything in memory. If
//! Redis was wiped (a new epoch), nobody does; but each tells again what it purged in the last ten
//! minutes.

mod applied;
mod behind;
mod checkpoints;
mod keeper;
mod ledger;
mod link;
#[cfg(test)]
mod tests;
mod tier;
mod untold;

pub use tier::SharedTier;

use self::{
    behind::{Behind, BehindObject},
    untold::OwnPurge,
};
use crate::{
    cache::{
        store::StoredBody,
        tiers::{key::TierKey, purge::Purge, record::TierRecord},
    },
    settings::RedisSettings,
};
use bytes::Bytes;
use futures_util::future::try_join;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// What Redis had.
#[derive(Clone, Debug)]
pub struct SharedHit {
    /// What is known of it.
    pub record: TierRecord,
    /// Its content.
    pub content: Bytes,
    /// It was purged softly.
    pub stale: bool,
}

/// What became of what was asked and told, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedStats {
    /// Found.
    pub hits: u64,
    /// Not found, or dead.
    pub misses: u64,
    /// Written or removed.
    pub writes: u64,
    /// Not written: no room in the queue, no Redis, or purged meanwhile.
    pub dropped: u64,
    /// Errors, but timeouts.
    pub failures: u64,
    /// Commands that took too long.
    pub timeouts: u64,
    /// Purges that others told, as they were heard.
    pub purges_heard: u64,
    /// Purges that Redis is to be told of.
    pub purges_waiting: u64,
    /// It is there.
    pub connected: bool,
}

impl SharedTier {
    /// Connects nothing: [`SharedTier::keep`] does.
    pub fn new(cache: &str, settings: RedisSettings) -> Arc<Self> {
        Arc::new(Self::unlinked(cache, settings))
    }

    /// As it was made.
    pub fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    /// Keeps the connection and the subscription, for ever: a task for the control thread. `hear` is
    /// called, in order, for each purge of others since this process began. A second call ends at
    /// once.
    pub async fn keep(self: Arc<Self>, hear: impl Fn(&Purge) + Send + 'static) {
        keeper::keep(&self, hear).await;
    }

    /// To be taken when a fetch begins, before its request is sent, for [`TierRecord::begun`].
    pub fn now(&self) -> u64 {
        self.applied.now()
    }

    /// What is under a key; from any thread. None if nothing is, if it is dead, or if Redis is gone
    /// or does not answer within the timeout.
    pub async fn get(&self, key: &TierKey) -> Option<SharedHit> {
        let link = self.link_to_read()?;
        let asking = async {
            let wire = link.reads();
            let mut get = redis::cmd("GET");
            get.arg(self.ledger.object(key));
            let got = wire.ask::<Option<Vec<u8>>>(&get);
            let (told, object) = try_join(self.ledger.ask(wire), got).await?;
            let (Some(epoch), Some(generation)) = told else {
                // It was wiped.
                self.stir.notify_one();
                return Ok(None);
            };
            if self.applied.epoch() != Some(epoch) {
                self.stir.notify_one();
                return Ok(None);
            }
            let Some(object) = object else { return Ok(None) };
            self.catch_up(&link, generation).await?;
            Ok(Some((epoch, Bytes::from(object))))
        };
        let found = self.answer(&link, asking).await?;
        let hit = found.and_then(|(epoch, object)| self.judge(epoch, key, &object));
        let count = if hit.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Relaxed);
        hit
    }

    fn judge(&self, epoch: u64, key: &TierKey, object: &Bytes) -> Option<SharedHit> {
        let Ok((record, content)) = TierRecord::read(object) else {
            self.counts.failures.fetch_add(1, Relaxed);
            return None;
        };
        let is_same = record.key == key.parts();
        let stale = self.applied.is_stale(epoch, &record).filter(|_| is_same)?;
        Some(SharedHit { record, content, stale })
    }

    /// Whether the record of another tier was purged softly since its fetch; None if it is dead.
    pub fn is_stale(&self, record: &TierRecord) -> Option<bool> {
        self.applied.is_stale_since(record.shared, record)
    }

    /// Writes it, later. Dropped if too much waits, or Redis is gone. `ttl` is in milliseconds there.
    pub fn put(&self, key: &TierKey, record: TierRecord, content: StoredBody, ttl: Duration) {
        if ttl.as_millis() > 0 {
            self.write(key, Some(BehindObject { record, content, ttl }));
        }
    }

    /// Removes what is under a key, later. If Redis is gone, it stays.
    pub fn remove(&self, key: &TierKey) {
        self.write(key, None);
    }

    fn write(&self, key: &TierKey, object: Option<BehindObject>) {
        let behind = Behind { key: self.ledger.object(key), object };
        if self.link().is_none() || !self.behind.push(behind) {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Purges it. True when Redis has it. False when Redis is gone or slow: then it is told as soon
    /// as it is back, and we read nothing from it before. Dropping the future does not undo it.
    pub async fn purge(&self, purge: Purge) -> bool {
        self.applied.own(&purge);
        let mut own = Telling { tier: self, own: Some(self.untold.made(purge)) };
        let (Some(link), Some(telling)) = (self.link_to_read(), &own.own) else { return false };
        let told = async {
            let highest = self.applied.highest();
            self.ledger.tell(link.reads(), highest, Some(&telling.purge)).await
        };
        let Some((epoch, generation)) = self.answer(&link, told).await else { return false };
        if let Some(told) = own.own.take() {
            self.untold.told(&told);
        }
        // What is fetched from now on is not taken for older. Others would tell us soon, too.
        if self.applied.epoch() == Some(epoch) {
            let _ = self.answer(&link, self.catch_up(&link, generation)).await;
        } else {
            self.stir.notify_one();
        }
        true
    }

    /// The counts.
    pub fn stats(&self) -> SharedStats {
        let counts = &self.counts;
        SharedStats {
            hits: counts.hits.load(Relaxed),
            misses: counts.misses.load(Relaxed),
            writes: counts.writes.load(Relaxed),
            dropped: counts.dropped.load(Relaxed),
            failures: counts.failures.load(Relaxed),
            timeouts: counts.timeouts.load(Relaxed),
            purges_heard: counts.heard.load(Relaxed),
            purges_waiting: self.untold.waiting() as u64,
            connected: self.link().is_some(),
        }
    }
}

/// A purge that waits if it is dropped untold.
struct Telling<'a> {
    tier: &'a SharedTier,
    own: Option<OwnPurge>,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            self.tier.untold.wait(own);
            self.tier.stir.notify_one();
        }
    }
}
