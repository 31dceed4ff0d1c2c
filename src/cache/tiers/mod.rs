//! Where responses are kept beside memory: in a Redis that instances share, and on disk.
//!
//! Owns: the order in which they are asked, told and purged. May touch: [`crate::settings`]. Memory
//! is asked first, then Redis, then the disk. What is found goes into memory; what is fetched goes
//! into all of them, behind the answer.

pub mod disk;
pub mod key;
pub mod purge;
pub mod record;
pub mod redis;
pub mod trip;

use self::{disk::Disk, purge::Purge, redis::SharedTier};
use crate::settings::{DiskSettings, RedisSettings};
use std::sync::Arc;

/// The tiers of a cache beside memory: one at least.
#[derive(Debug)]
pub struct Tiers {
    /// The one that instances share.
    pub redis: Option<Arc<SharedTier>>,
    /// The one that survives a restart.
    pub disk: Option<Arc<Disk>>,
}

impl Tiers {
    /// As a config says, with those of the config before that are the same; `None` if it wants none.
    pub fn new(
        cache: &str,
        redis: Option<&RedisSettings>,
        disk: Option<&DiskSettings>,
        before: Option<&Self>,
    ) -> Option<Self> {
        let redis = redis.map(|wanted| {
            let known = before.and_then(|it| it.redis.as_ref());
            let known = known.filter(|it| it.settings() == wanted);
            known.map_or_else(|| SharedTier::new(cache, wanted.clone()), Arc::clone)
        });
        let disk = disk.map(|wanted| {
            let known = before.and_then(|it| it.disk.as_ref());
            match known.filter(|it| it.settings().path == wanted.path) {
                Some(known) => {
                    known.set_max_size(wanted.max_size);
                    Arc::clone(known)
                }
                None => Disk::open(cache, wanted.clone()),
            }
        });
        (redis.is_some() || disk.is_some()).then_some(Self { redis, disk })
    }

    /// Purges in all of them. False: Redis has not heard of it yet; it will as soon as it is back.
    pub async fn purge(&self, purge: Purge) -> bool {
        if let Some(disk) = &self.disk {
            disk.purge(purge.clone()).await;
        }
        match &self.redis {
            Some(redis) => redis.purge(purge).await,
            None => true,
        }
    }
}
