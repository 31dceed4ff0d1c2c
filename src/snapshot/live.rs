//! The one place where the running snapshot is swapped, and what outlives every snapshot.
//!
//! Owns: the process's [`ArcSwap`], metrics, clock, TLS tickets and listener ids. May touch:
//! [`crate::clock`], [`crate::observe`], [`crate::origin`], [`crate::tls`]. A request loads it once;
//! only the control thread stores.

use super::{Snapshot, reload_history::ReloadHistory, seats::Seats};
use crate::{
    clock::Clock,
    observe::{
        leak_watch::LeakWatch, metrics::Metrics, recent_failures::RecentFailures,
        sampler::StatsSampler, span_queue::SpanQueue,
    },
    origin::pool::Shortages,
    tls::to_server::SystemRoots,
};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::server::ProducesTickets;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

/// What the process is doing, for `/ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all listeners are served yet.
    Starting,
    /// Serving.
    Running,
    /// Stopping.
    Draining,
}

/// What outlives every snapshot.
pub struct Live {
    current: ArcSwap<Snapshot>,
    /// Every counter.
    pub metrics: Arc<Metrics>,
    /// The process's time.
    pub clock: Clock,
    /// The places for client connections.
    pub seats: Arc<Seats>,
    /// Spans that wait for the collector.
    pub spans: Arc<SpanQueue>,
    /// The last requests that failed.
    pub failures: RecentFailures,
    /// The last reloads.
    pub reloads: ReloadHistory,
    /// What the workers' pools give descriptors back by.
    pub shortages: Shortages,
    started: Instant,
    phase: AtomicU8,
    sampler: Mutex<StatsSampler>,
    leaks: Mutex<LeakWatch>,
    generations: Arc<()>,
}

impl Live {
    /// Starts with `snapshot`.
    pub fn new(snapshot: Snapshot, resources: &Resources) -> Arc<Self> {
        let seats = Seats::by_limit(resources.workers, snapshot.config.listeners.len());
        resources.metrics.connections_max.set(seats.most() as i64);
        Arc::new(Self {
            current: ArcSwap::from_pointee(snapshot),
            metrics: Arc::clone(&resources.metrics),
            clock: resources.clock,
            seats,
            spans: Arc::clone(&resources.spans),
            failures: RecentFailures::default(),
            reloads: ReloadHistory::default(),
            shortages: Shortages::default(),
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Starting as u8),
            sampler: Mutex::default(),
            leaks: Mutex::default(),
            generations: Arc::clone(&resources.generations),
        })
    }

    /// The snapshot that is current now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The snapshot for a listener's clients: the current one, or the `last` one that had the
    /// listener if the current one does not.
    pub fn load_for(&self, listener: usize, last: &ArcSwapOption<Snapshot>) -> Arc<Snapshot> {
        let current = self.load();
        if current.listener(listener).is_none()
            && let Some(last) = last.load_full()
        {
            return last;
        }
        current
    }

    /// Makes `snapshot` current for all later requests. Returns the previous one.
    pub fn store(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        self.current.swap(Arc::new(snapshot))
    }

    /// What has happened in the last seconds and minutes. Only the control thread asks.
    pub fn sampler(&self) -> MutexGuard<'_, StatsSampler> {
        self.sampler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The leak watch. Only the control thread asks.
    pub fn leaks(&self) -> MutexGuard<'_, LeakWatch> {
        self.leaks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many snapshots there are: the current one, and those with requests or connections that
    /// have not ended.
    pub fn generations(&self) -> usize {
        // This one and that of the resources are no snapshots.
        Arc::strong_count(&self.generations).saturating_sub(2)
    }

    /// The time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What the process is doing.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Draining,
        }
    }

    /// Sets what the process is doing from now on.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }
}

/// What every build needs.
pub struct Resources {
    /// Every counter.
    pub metrics: Arc<Metrics>,
    /// The process's time.
    pub clock: Clock,
    /// One ticket producer for the whole process, so that a client's ticket is good after a reload.
    pub tickets: Arc<dyn ProducesTickets>,
    /// The system's authorities, for TLS to servers.
    pub roots: SystemRoots,
    /// Threads that serve requests.
    pub workers: usize,
    /// Every snapshot holds it, so that they can be counted.
    pub generations: Arc<()>,
    /// Spans that wait for the collector.
    pub spans: Arc<SpanQueue>,
    ids: Mutex<HashMap<String, usize>>,
}

impl Resources {
    /// The resources of one process.
    pub fn new(workers: usize) -> Result<Self, rustls::Error> {
        let metrics = Metrics::new();
        let dropped = metrics.otlp.dropped_spans.clone();
        Ok(Self {
            spans: Arc::new(SpanQueue::new(workers, dropped)),
            metrics,
            clock: Clock::start(),
            tickets: rustls::crypto::aws_lc_rs::Ticketer::new()?,
            roots: SystemRoots::default(),
            workers,
            generations: Arc::default(),
            ids: Mutex::default(),
        })
    }

    /// The id of the listener `name`: the same for the life of the process.
    pub fn listener_id(&self, name: &str) -> usize {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ids.len();
        *ids.entry(name.to_owned()).or_insert(next)
    }
}
