//! Sends all metrics, now and then.
//!
//! Owns: when. May touch: nothing outside this room. An export that fails is not sent again: the
//! next one has newer sums. Run on the control thread for the life of the process.

use super::{
    Collector, ExportOrders, answer::ExportVerdict, collector::Signal, envelope::wrap,
    metric_points::metrics,
};
use prometheus::proto::MetricFamily;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Exports what `gather` gives, until told to end; then once more.
pub async fn export_metrics(
    collector: Arc<Collector>,
    gather: impl Fn() -> Vec<MetricFamily> + Send + Sync,
    mut orders: watch::Receiver<ExportOrders>,
) {
    let begun = SystemTime::now();
    let mut last = Instant::now();
    // What the collector has asked for.
    let mut not_before = last;
    loop {
        let ExportOrders { terms, ending } = orders.borrow_and_update().clone();
        let interval = terms.as_ref().and_then(|it| it.metrics_interval);
        let Some((terms, interval)) = terms.zip(interval) else {
            if ending || orders.changed().await.is_err() {
                return;
            }
            continue;
        };
        if !ending {
            tokio::select! {
                changed = orders.changed() => if changed.is_ok() { continue } else { return },
                () = sleep_until((last + interval).max(not_before)) => {}
            }
        }
        // If we are late, the next one is not early.
        last = Instant::now();
        let items = metrics(&gather(), begun, SystemTime::now());
        let request = wrap(&terms.resource, &items);
        match collector.export(&terms, Signal::Metrics, request).await {
            ExportVerdict::Taken { rejected, .. } => {
                collector.metrics.otlp.dropped_points.inc_by(rejected);
            }
            ExportVerdict::Later { after, .. } => {
                not_before = Instant::now() + after.unwrap_or(Duration::ZERO);
            }
            ExportVerdict::Refused(_) => {}
        }
        if ending {
            return;
        }
    }
}
