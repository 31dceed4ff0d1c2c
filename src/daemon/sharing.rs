//! The connections to Redis of the caches that share what they have.
//!
//! Owns: a task for each. May touch: [`crate::cache`], [`crate::snapshot`], [`crate::task`]. Runs on
//! the control thread.

use crate::{
    cache::{Cache, tiers::redis::SharedTier},
    snapshot::Live,
    task,
};
use std::{sync::Arc, time::Duration};
use tokio::{task::AbortHandle, time::sleep};

/// The time between two looks at the config.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps the connections that the config wants, for ever.
pub(super) async fn keep(live: Arc<Live>) {
    let mut kept: Vec<(Arc<SharedTier>, AbortHandle)> = Vec::new();
    loop {
        let caches = live.load().caches.clone();
        let tier = |cache: &Arc<Cache>| cache.tiers().and_then(|it| it.redis.clone());
        let wanted: Vec<_> = caches.iter().filter_map(|it| Some((it, tier(it)?))).collect();
        kept.retain(|(tier, task)| {
            let stays = wanted.iter().any(|(_, it)| Arc::ptr_eq(it, tier));
            if !stays {
                task.abort();
            }
            stays
        });
        for (cache, tier) in wanted {
            if kept.iter().any(|(it, _)| Arc::ptr_eq(it, &tier)) {
                continue;
            }
            let hearing = Arc::clone(cache);
            let task = task::spawn(Arc::clone(&tier).keep(move |purge| hearing.heard(purge)));
            kept.push((tier, task.abort_handle()));
        }
        sleep(PAUSE).await;
    }
}
