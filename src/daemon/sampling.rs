//! Looks once a second at all counts.
//!
//! Owns: the second. May touch: [`crate::snapshot`]. Runs on the control thread, as those do who
//! read the windows.

use crate::snapshot::Live;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Samples for ever.
pub(super) async fn sample(live: Arc<Live>) {
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once.
    tick.tick().await;
    let mut last = Instant::now();
    loop {
        tick.tick().await;
        let elapsed = last.elapsed();
        last += elapsed;
        live.sampler().sample(&live.metrics, elapsed, live.clock.now());
    }
}
