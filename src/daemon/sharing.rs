//! The connections to Redis of the caches that share what they have.
//!
//! Owns: a task for each. May touch: [`crate::cache`], [`crate::task`]. A reload keeps those for
//! which nothing changed. Runs on the control thread.

use crate::{
    cache::{Cache, tiers::redis::SharedTier},
    task,
};
use std::sync::Arc;
use tokio::task::AbortHandle;

/// The tasks under way.
#[derive(Default)]
pub(super) struct Sharing(Vec<(Arc<SharedTier>, AbortHandle)>);

impl Sharing {
    /// Keeps the connections that `caches` want, and no others.
    pub(super) fn update(&mut self, caches: &[Arc<Cache>]) {
        let tier = |cache: &Arc<Cache>| cache.tiers().and_then(|it| it.redis.clone());
        let wanted: Vec<_> = caches.iter().filter_map(|it| Some((it, tier(it)?))).collect();
        self.0.retain(|(tier, task)| {
            let stays = wanted.iter().any(|(_, it)| Arc::ptr_eq(it, tier));
            if !stays {
                task.abort();
            }
            stays
        });
        for (cache, tier) in wanted {
            if self.0.iter().any(|(it, _)| Arc::ptr_eq(it, &tier)) {
                continue;
            }
            let hearing = Arc::clone(cache);
            let task = task::spawn(Arc::clone(&tier).keep(move |purge| hearing.heard(purge)));
            self.0.push((tier, task.abort_handle()));
        }
    }
}
