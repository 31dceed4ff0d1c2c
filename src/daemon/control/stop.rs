//! How the daemon stops.
//!
//! Owns: the order of a stop, and its time limit. May touch: [`crate::snapshot`]. Called by
//! [`Control::serve`](super::Control::serve) when it has been told to stop.

use super::{Control, SignalAsk, Signals, reopen_logs};
use crate::snapshot::live::Phase;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// At a stop, so long responses may be written to the disk that still wait for it.
const FLUSHING: Duration = Duration::from_secs(5);

impl Control {
    /// Stops: first the load balancer in front is told (`/ready`), then no new connections are
    /// taken, then the existing ones end. A second signal ends everything at once.
    pub(super) async fn drain(mut self, mut signals: Signals) {
        let config = Arc::clone(&self.live.load().config);
        self.live.set_phase(Phase::Draining);
        let (delay, limit) = (config.drain_delay, config.shutdown_timeout);
        tracing::info!(?delay, ?limit, "stopping");
        // A reload that is asked for, or under way, is answered with "draining".
        self.reloading = None;
        self.reloads.close();
        while self.reloads.try_recv().is_ok() {}
        let live = Arc::clone(&self.live);
        let second_signal = async {
            loop {
                match signals.next().await {
                    SignalAsk::Stop => return,
                    SignalAsk::ReopenLogs => reopen_logs(&live),
                    SignalAsk::Reload => tracing::warn!("stopping: not reloaded"),
                }
            }
        };
        tokio::select! {
            () = self.finish(delay, limit) => {}
            () = second_signal => tracing::warn!("a second signal: ending at once"),
        }
        for cache in &self.live.load().caches {
            if let Some(disk) = cache.tiers().and_then(|it| it.disk.clone()) {
                disk.flush(FLUSHING).await;
            }
        }
        self.exporting.finish().await;
        // Drain all listeners, so that no socket file is left.
        self.publish(Vec::new());
        for log in self.live.load().access_logs.writers() {
            log.finish();
        }
        tracing::info!("stopped");
    }

    async fn finish(&mut self, delay: Duration, limit: Duration) {
        let closing = Instant::now() + delay;
        while let Ok(Some(ended)) = timeout_at(closing, self.ended.recv()).await {
            self.replace(&ended);
        }
        self.publish(Vec::new());
        self.stop.send_replace(true);
        let mut running = self.resources.workers;
        while running > 0 {
            if timeout_at(closing + limit, self.ended.recv()).await.is_err() {
                // The connections that are left may belong to silent clients.
                match self.live.metrics.in_flight.get() {
                    0 => tracing::warn!("shutdown_timeout is over; idle connections were left"),
                    open => {
                        tracing::warn!(open, "shutdown_timeout is over; requests were cut short");
                    }
                }
                return;
            }
            running -= 1;
        }
    }
}
