//! Listening sockets.
//!
//! Owns: a listener's sockets, one per worker (but one for all as a file), for as long as the
//! config has it. If a worker dies, the next one takes over its socket with the connections queued
//! on it. May touch: [`crate::config`], [`crate::observe`], [`crate::snapshot`]. Next:
//! [`super::accept`].

use super::{
    backlog,
    sockets::{SocketFile, bind_file, bind_ip, bound_by, let_nobody_in, local_address},
};
use crate::{
    config::{ListenAddress, clash},
    observe::{metrics::Metrics, rarely::Rarely, worker_metrics::WorkerMetrics},
    snapshot::{
        Snapshot,
        seats::{Seat, Seats},
    },
};
use arc_swap::ArcSwapOption;
use prometheus::{IntCounter, IntGauge};
use socket2::SockRef;
use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 4096;

/// A socket that we accept on, in every worker.
pub struct Listener {
    /// Its number for the life of the process.
    pub id: usize,
    /// Its name.
    pub name: Arc<str>,
    /// Its address in the config.
    pub wanted: ListenAddress,
    /// The address where it is bound: the same, except for port 0.
    pub address: ListenAddress,
    /// The last snapshot that had it, once it is drained.
    pub last: ArcSwapOption<Snapshot>,
    /// `sheave_connections_open`.
    pub open_gauge: IntGauge,
    /// `sheave_connections_total`.
    pub accepted: IntCounter,
    /// Limits the reports of failed handshakes, by reason.
    pub failures: Rarely<&'static str>,
    bound: Mutex<OwnSockets>,
    /// Set once its connections are to end; `drain` tells those that wait.
    draining: AtomicBool,
    drain: Notify,
    open: AtomicUsize,
    closed: Notify,
    metrics: Arc<Metrics>,
}

/// The system's sockets that a listener holds. Shared while one listener follows another.
#[derive(Clone, Debug, Default)]
pub struct OwnSockets {
    sockets: Arc<Vec<OwnedFd>>,
    /// The file of a Unix socket.
    file: Option<Arc<SocketFile>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.metrics.remove_listener(&self.name);
    }
}

impl Listener {
    /// Binds `wanted` once per worker, beside the `current` listeners of this process. Clients come
    /// only after [`Listener::listen`].
    pub fn bind(
        id: usize,
        name: &str,
        wanted: &ListenAddress,
        workers: usize,
        current: &[Arc<Self>],
        metrics: &Arc<Metrics>,
    ) -> io::Result<Arc<Self>> {
        let address = match wanted {
            ListenAddress::Unix(path) => {
                let (socket, file) = bind_file(path)?;
                let bound = OwnSockets { sockets: vec![socket].into(), file: Some(Arc::new(file)) };
                return Ok(Self::new(id, name, wanted, wanted, bound, metrics));
            }
            ListenAddress::Ip(address) => *address,
        };
        // With SO_REUSEPORT a second daemon could share the address unnoticed: a plain bind fails
        // then. It can't be tried if we have the address ourselves, for a listener that is about to
        // go or to move.
        if !current.iter().any(|it| clash(&it.address, wanted)) {
            drop(bound_by(address, |address| bind_ip(address, false))?);
        }
        let first = bound_by(address, |address| bind_ip(address, true))?;
        let found = local_address(&first)?;
        let mut sockets = vec![first];
        if let ListenAddress::Ip(address) = found {
            for _ in 1..workers {
                sockets.push(bind_ip(address, true)?);
            }
        }
        let bound = OwnSockets { sockets: sockets.into(), file: None };
        Ok(Self::new(id, name, wanted, &found, bound, metrics))
    }

    /// The same sockets, as a listener with another name.
    pub fn renamed(&self, id: usize, name: &str, metrics: &Arc<Metrics>) -> Arc<Self> {
        let bound = self.bound().clone();
        Self::new(id, name, &self.address, &self.address, bound, metrics)
    }

    /// A listener with the sockets that are `bound` to `address`; the config says `wanted`.
    pub fn new(
        id: usize,
        name: &str,
        wanted: &ListenAddress,
        address: &ListenAddress,
        bound: OwnSockets,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let (open_gauge, accepted) = metrics.add_listener(name);
        Arc::new(Self {
            id,
            name: name.into(),
            wanted: wanted.clone(),
            address: address.clone(),
            last: ArcSwapOption::empty(),
            open_gauge,
            accepted,
            metrics: Arc::clone(metrics),
            failures: Rarely::default(),
            bound: Mutex::new(bound),
            draining: AtomicBool::new(false),
            drain: Notify::new(),
            open: AtomicUsize::new(0),
            closed: Notify::new(),
        })
    }

    /// Lets clients in. Only when workers are about to accept them: while another listener still
    /// has the address, the kernel would send some clients here, and they would wait or be lost.
    pub fn listen(&self) -> io::Result<()> {
        self.bound().sockets.iter().try_for_each(|socket| SockRef::from(socket).listen(BACKLOG))
    }

    /// The socket of one worker; `None` once it is drained.
    pub fn socket(&self, worker: usize) -> io::Result<Option<OwnedFd>> {
        let sockets = &self.bound().sockets;
        if self.is_draining() {
            return Ok(None);
        }
        // A Unix socket is one for all workers.
        sockets[worker.min(sockets.len().saturating_sub(1))].try_clone().map(Some)
    }

    /// Sets whether a connection is given out only once its client has sent something.
    pub fn defer(&self, defer: bool) {
        self.bound().sockets.iter().for_each(|socket| backlog::defer(socket, defer));
    }

    /// Sets who may connect to a Unix socket.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.bound().file.as_ref().map_or(Ok(()), |file| file.set_mode(mode))
    }

    /// Lets no more connections in and tells the existing ones to end. These may take long, but the
    /// address is free at once.
    pub fn drain(&self) {
        let mut bound = self.bound();
        // A client that connects after a worker's last look at its socket would be reset when the
        // socket is closed. To prevent that, the kernel is told first, and the workers afterwards.
        // But if another listener has the same sockets now, they stay open for it.
        bound.file = None;
        if let Some(sockets) = Arc::get_mut(&mut bound.sockets) {
            sockets.iter().for_each(let_nobody_in);
        }
        self.draining.store(true, Ordering::Release);
        *bound = OwnSockets::default();
        drop(bound);
        self.drain.notify_waiters();
    }

    /// Whether its connections should end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Waits until its connections should end.
    pub async fn drained(&self) {
        // Made before the check, so that a notice in between is not missed.
        let told = self.drain.notified();
        if !self.is_draining() {
            told.await;
        }
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until one has closed.
    pub async fn closed(&self) {
        self.closed.notified().await;
    }

    fn bound(&self) -> MutexGuard<'_, OwnSockets> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a connection while it lives.
pub struct OpenConnection {
    listener: Arc<Listener>,
    worker: Arc<WorkerMetrics>,
    _seat: Seat,
}

impl OpenConnection {
    /// Counts one more, in a worker.
    pub fn new(listener: &Arc<Listener>, worker: &Arc<WorkerMetrics>, seats: &Arc<Seats>) -> Self {
        worker.opened();
        listener.accepted.inc();
        listener.open_gauge.inc();
        listener.open.fetch_add(1, Ordering::Relaxed);
        Self { listener: Arc::clone(listener), worker: Arc::clone(worker), _seat: seats.take() }
    }

    /// The listener.
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.worker.closed();
        self.listener.open_gauge.dec();
        self.listener.open.fetch_sub(1, Ordering::Relaxed);
        self.listener.closed.notify_one();
    }
}
