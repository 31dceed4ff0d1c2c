//! Takes spans out of the queue and sends them.
//!
//! Owns: batches, and sending them again. May touch: [`crate::observe`], [`crate::protobuf`]. Run
//! on the control thread for the life of the process.

use super::{
    Collector, ExportOrders, ExportTerms, answer::ExportVerdict, collector::Signal, envelope::wrap,
    pause::Pause,
};
use crate::{
    observe::span_queue::{SpanQueue, TakenSpans},
    protobuf::{fields, whole_fields},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Spans are gathered for this long, unless there are many.
const GATHER: Duration = Duration::from_secs(1);

/// About so many bytes are sent at once. Collectors take a few MiB.
const BATCH: usize = 1 << 20;

/// Exports spans until told to end.
pub async fn export_spans(
    collector: Arc<Collector>,
    queue: Arc<SpanQueue>,
    mut orders: watch::Receiver<ExportOrders>,
) {
    let (mut taken, mut pause) = (TakenSpans::default(), Pause::default());
    loop {
        let ExportOrders { terms, ending } = orders.borrow_and_update().clone();
        let terms = terms.filter(|it| it.traces);
        if let Some(terms) = &terms {
            if !ending {
                tokio::select! {
                    changed = orders.changed() => if changed.is_ok() { continue } else { return },
                    () = sleep(GATHER) => {}
                    () = queue.hurried() => {}
                }
            }
            queue.take_into(&mut taken);
            match deliver(&collector, &queue, terms, &mut taken).await {
                Ok(()) => pause.reset(),
                Err(_) if ending => {}
                Err(after) => {
                    let wait = pause.next(after);
                    // Another collector, or the end, need not wait.
                    tokio::select! {
                        changed = orders.changed() => if changed.is_err() { return },
                        () = sleep(wait) => {}
                    }
                    continue;
                }
            }
        }
        if ending {
            give_up(&collector, &queue, &mut taken);
            return;
        }
        if terms.is_none() {
            // The config has no traces any more: what waited for their collector is given up.
            queue.take_into(&mut taken);
            give_up(&collector, &queue, &mut taken);
            if orders.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Drops and counts what was taken.
fn give_up(collector: &Collector, queue: &SpanQueue, taken: &mut TakenSpans) {
    let spans = fields(&taken.bytes).count() as u64;
    if spans > 0 {
        tracing::warn!(spans, "the last spans were not delivered and are lost");
        collector.metrics.otlp.dropped_spans.inc_by(spans);
    }
    queue.release(taken, usize::MAX);
}

/// Sends what was taken, batch by batch. What is not to be sent later is released.
async fn deliver(
    collector: &Collector,
    queue: &SpanQueue,
    terms: &ExportTerms,
    taken: &mut TakenSpans,
) -> Result<(), Option<Duration>> {
    let counters = &collector.metrics.otlp;
    while !taken.bytes.is_empty() {
        let length = whole_fields(&taken.bytes, BATCH);
        let batch = &taken.bytes[..length];
        if batch.is_empty() {
            // No field: a mistake of ours, and nothing that a collector could read.
            tracing::error!(bytes = taken.bytes.len(), "spans were coded wrongly and are dropped");
            queue.release(taken, usize::MAX);
            break;
        }
        let spans = fields(batch).count() as u64;
        match collector.export(terms, Signal::Traces, wrap(&terms.resource, batch)).await {
            ExportVerdict::Taken { rejected, .. } => {
                let rejected = rejected.min(spans);
                counters.exported_spans.inc_by(spans - rejected);
                counters.dropped_spans.inc_by(rejected);
            }
            ExportVerdict::Refused(_) => counters.dropped_spans.inc_by(spans),
            ExportVerdict::Later { after, .. } => return Err(after),
        }
        queue.release(taken, length);
    }
    Ok(())
}
