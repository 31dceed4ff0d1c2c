//! The exports of traces and metrics to a collector.
//!
//! Owns: their tasks, which outlive snapshots. May touch: [`crate::admin`], [`crate::otlp`],
//! [`crate::snapshot`], [`crate::task`], [`crate::upstream`]. Runs on the control
//! thread. Without `[otlp]` there is no task.

use crate::{
    admin,
    otlp::{Collector, ExportOrders, ExportTerms, export_metrics, export_spans},
    snapshot::Live,
    task,
    upstream::{Server, resolve},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
    time::timeout,
};

/// At a stop, what waits is sent for so long.
const LAST_EXPORTS: Duration = Duration::from_secs(3);

/// How often the collector's name is looked up.
const LOOK_UPS: Duration = Duration::from_secs(30);

/// The exports.
pub(super) struct Exporting {
    live: Arc<Live>,
    orders: watch::Sender<ExportOrders>,
    /// Empty until there is a collector.
    tasks: Vec<JoinHandle<()>>,
    /// The look-ups of a server's name, by its id.
    looking_up: Option<(u64, AbortHandle)>,
}

impl Exporting {
    /// Without a collector.
    pub(super) fn new(live: &Arc<Live>) -> Self {
        Self {
            live: Arc::clone(live),
            orders: watch::channel(ExportOrders::default()).0,
            tasks: Vec::new(),
            looking_up: None,
        }
    }

    /// From now on, exports go by `terms`. What waits is kept.
    pub(super) fn update(&mut self, terms: Option<&Arc<ExportTerms>>) {
        self.live.spans.set_limit(terms.map_or(0, |it| it.buffer));
        let server = terms.map(|it| &it.server).filter(|it| resolve::has_name(it));
        let same = self.looking_up.as_ref().map(|it| it.0) == server.map(|it| it.id());
        if !same {
            if let Some((_, look_ups)) = self.looking_up.take() {
                look_ups.abort();
            }
            self.looking_up = server.map(|server| {
                let look_ups = look_up(Arc::clone(server));
                (server.id(), task::spawn(look_ups).abort_handle())
            });
        }
        if terms.is_some() && self.tasks.is_empty() {
            self.start();
        }
        self.orders.send_replace(ExportOrders { terms: terms.cloned(), ending: false });
    }

    fn start(&mut self) {
        let metrics = Arc::clone(&self.live.metrics);
        let collector = Arc::new(Collector::new(self.live.clock, metrics));
        let spans = Arc::clone(&self.live.spans);
        let spans = export_spans(Arc::clone(&collector), spans, self.orders.subscribe());
        let live = Arc::clone(&self.live);
        let gather = move || admin::gather(&live);
        let metrics = export_metrics(collector, gather, self.orders.subscribe());
        self.tasks = vec![task::spawn(spans), task::spawn(metrics)];
    }

    /// Sends what waits, for a short time.
    pub(super) async fn finish(&mut self) {
        self.orders.send_modify(|orders| orders.ending = true);
        let ended = async {
            for task in &mut self.tasks {
                // A task that panicked has been logged by the panic hook.
                let _ = task.await;
            }
        };
        if timeout(LAST_EXPORTS, ended).await.is_err() {
            tracing::warn!("the collector does not answer: the last exports are lost");
        }
    }
}

async fn look_up(server: Arc<Server>) {
    resolve::resolve(&server).await;
    resolve::watch(server, LOOK_UPS).await;
}
