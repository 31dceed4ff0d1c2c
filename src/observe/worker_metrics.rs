//! What is counted of each worker, as `sheave_worker_*`.
//!
//! Owns: those counts. May touch: nothing outside this room. Each worker has its own part of the
//! processor's cache, so that counting a request there costs nearly nothing. Busy time comes from
//! the worker's runtime. A worker that takes another's place goes on with its counts.

use super::{
    durations::Durations,
    maker::{counter, family, gauge, label},
};
use prometheus::{
    core::{Collector, Desc},
    proto::{Metric, MetricFamily, MetricType},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::runtime::RuntimeMetrics;

/// What is counted of one worker.
#[derive(Default)]
#[repr(align(128))]
pub struct WorkerMetrics {
    requests: AtomicU64,
    connections: AtomicUsize,
    /// Connections to servers that wait for a request.
    idle: AtomicUsize,
    /// How late the worker's timer fired.
    pub(super) lag: Durations,
    /// The longest lag in nanoseconds since it was last asked for.
    lag_max: AtomicU64,
    /// When the timer last fired; 0 before the first time.
    beat: AtomicU64,
    runtime: Mutex<WorkerRuntime>,
}

#[derive(Default)]
struct WorkerRuntime {
    metrics: Option<RuntimeMetrics>,
    /// Of runtimes that the worker had before.
    before: Duration,
}

impl WorkerRuntime {
    fn busy(&self) -> Duration {
        self.before + self.metrics.as_ref().map_or(Duration::ZERO, busy)
    }
}

fn busy(runtime: &RuntimeMetrics) -> Duration {
    runtime.worker_total_busy_duration(0)
}

impl WorkerMetrics {
    /// Counts a request that has ended.
    #[inline]
    pub fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Counts one more connection to a client.
    pub fn opened(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    /// One of them has closed.
    pub fn closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// Sets how many connections to servers wait for a request.
    pub fn set_idle(&self, connections: usize) {
        self.idle.store(connections, Relaxed);
    }

    /// The worker runs on this runtime now.
    pub fn runs_on(&self, metrics: RuntimeMetrics) {
        let mut runtime = self.runtime();
        runtime.before = runtime.busy();
        runtime.metrics = Some(metrics);
    }

    /// Its timer has fired, so late, at `now` on the process's clock.
    pub fn note_lag(&self, late: Duration, now: u64) {
        self.lag.observe(late);
        self.lag_max.fetch_max(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.beat.store(now, Relaxed);
    }

    /// The longest lag since the last call.
    pub(super) fn take_lag_max(&self) -> Duration {
        Duration::from_nanos(self.lag_max.swap(0, Relaxed))
    }

    /// When its timer last fired; 0 before the first time.
    pub(super) fn beat(&self) -> u64 {
        self.beat.load(Relaxed)
    }

    /// Requests that have ended.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Connections to clients now.
    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Connections to servers that wait for a request; at most a second old.
    pub fn idle(&self) -> usize {
        self.idle.load(Relaxed)
    }

    /// How long it has worked.
    pub fn busy(&self) -> Duration {
        self.runtime().busy()
    }

    /// Tasks that other threads have woken and that wait for their turn.
    pub fn queue(&self) -> usize {
        self.runtime().metrics.as_ref().map_or(0, RuntimeMetrics::global_queue_depth)
    }

    /// Tasks that have not ended.
    pub fn tasks(&self) -> usize {
        self.runtime().metrics.as_ref().map_or(0, RuntimeMetrics::num_alive_tasks)
    }

    fn runtime(&self) -> MutexGuard<'_, WorkerRuntime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All workers.
#[derive(Clone)]
pub(super) struct Workers(Arc<AllWorkers>);

struct AllWorkers {
    descs: Vec<Desc>,
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
}

/// A metric: its name, type and help, and how a worker tells it.
type WorkerMetric = (&'static str, MetricType, &'static str, fn(&WorkerMetrics, &mut Metric));

const TOLD: [WorkerMetric; 5] = [
    (
        "sheave_worker_busy_seconds_total",
        MetricType::COUNTER,
        "Time that a worker was busy; its rate is the part of the time, 0 to 1.",
        |it, metric| metric.set_counter(counter(it.busy().as_secs_f64())),
    ),
    (
        "sheave_worker_lag_seconds",
        MetricType::HISTOGRAM,
        "How late a worker's timer fired, four times a second: what a ready request waits for.",
        |it, metric| metric.set_histogram(it.lag.collect()),
    ),
    (
        "sheave_worker_connections",
        MetricType::GAUGE,
        "Client connections of a worker.",
        |it, metric| metric.set_gauge(gauge(it.connections() as f64)),
    ),
    (
        "sheave_worker_requests_total",
        MetricType::COUNTER,
        "Requests that a worker has answered.",
        |it, metric| metric.set_counter(counter(it.requests() as f64)),
    ),
    (
        "sheave_worker_tasks",
        MetricType::GAUGE,
        "Tasks of a worker: connections, requests over HTTP/2, and some of its own.",
        |it, metric| metric.set_gauge(gauge(it.tasks() as f64)),
    ),
];

impl Workers {
    /// Starts without workers.
    pub(super) fn new() -> prometheus::Result<Self> {
        let labels = || vec!["worker".to_owned()];
        let descs = TOLD.iter().map(|&(name, _, help, _)| {
            Desc::new(name.to_owned(), help.to_owned(), labels(), HashMap::new())
        });
        let descs = descs.collect::<prometheus::Result<_>>()?;
        Ok(Self(Arc::new(AllWorkers { descs, workers: Mutex::default() })))
    }

    /// The counts of the worker `index`.
    pub(super) fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        let mut workers = self.lock();
        while workers.len() <= index {
            workers.push(Arc::default());
        }
        Arc::clone(&workers[index])
    }

    /// The counts of all workers, in their order.
    pub(super) fn all(&self) -> Vec<Arc<WorkerMetrics>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<WorkerMetrics>>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Workers {
    fn desc(&self) -> Vec<&Desc> {
        self.0.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let workers = self.all();
        let told = |(name, kind, help, tell): WorkerMetric| {
            let metrics = workers.iter().enumerate().map(|(index, worker)| {
                let mut metric = Metric::from_label(vec![label(("worker", index.to_string()))]);
                tell(worker, &mut metric);
                metric
            });
            family(name, help, kind, metrics.collect())
        };
        TOLD.map(told).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_in_anothers_place_goes_on_with_its_counts() {
        let workers = Workers::new().unwrap();
        let worker = workers.worker(1);
        let runtime = || tokio::runtime::Handle::current().metrics();
        worker.runs_on(runtime());
        worker.count_request();
        let before = worker.busy();
        workers.worker(1).runs_on(runtime());
        assert!(worker.busy() >= before);
        assert_eq!((workers.all().len(), workers.worker(1).requests()), (2, 1));
        worker.note_lag(Duration::from_millis(3), 5);
        worker.note_lag(Duration::from_millis(1), 9);
        assert_eq!((worker.take_lag_max(), worker.beat()), (Duration::from_millis(3), 9));
        assert_eq!(worker.take_lag_max(), Duration::ZERO);
    }
}
