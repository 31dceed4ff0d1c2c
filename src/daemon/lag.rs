//! How late a worker's timers fire.
//!
//! Owns: the timer that measures it, one in each worker. May touch: [`crate::clock`],
//! [`crate::observe`]. A worker that is busy with one task for long, or has many tasks that are
//! ready, comes late to its timer by as much as a request that is ready waits there. A timer counts
//! whole milliseconds, so an idle worker's is late by up to one.

use crate::{
    clock::Clock,
    observe::{sampler::BEAT, worker_metrics::WorkerMetrics},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Measures for ever.
pub(super) async fn measure(counts: Arc<WorkerMetrics>, clock: Clock) {
    loop {
        let due = Instant::now() + Duration::from_millis(BEAT);
        sleep_until(due).await;
        counts.note_lag(due.elapsed(), clock.now());
    }
}
