//! Frees what purges have left in the caches.
//!
//! Owns: how far each cache has been swept. May touch: [`crate::cache`], [`crate::snapshot`]. Runs
//! on the control thread, a few steps at a time.

use crate::{cache::store::Sweep, snapshot::Live};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::sleep;

/// The time between two rounds of steps. Ten thousand steps take some five milliseconds.
const PAUSE: Duration = Duration::from_secs(1);
const STEPS: u32 = 10_000;

/// Sweeps all caches, for ever.
pub(super) async fn sweep(live: Arc<Live>) {
    let mut under_way: HashMap<Arc<str>, [Sweep; 2]> = HashMap::new();
    loop {
        sleep(PAUSE).await;
        let snapshot = live.load();
        for cache in &snapshot.caches {
            let [memory, on_disk] = under_way.entry(Arc::clone(&cache.name)).or_default();
            cache.store.sweep(memory, STEPS);
            if let Some(disk) = cache.tiers().and_then(|it| it.disk.clone()) {
                disk.sweep(on_disk, STEPS);
            }
        }
        under_way.retain(|name, _| snapshot.caches.iter().any(|it| it.name == *name));
    }
}
