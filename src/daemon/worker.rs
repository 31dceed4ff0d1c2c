//! Worker threads: one runtime each, on one core each. No other file knows about cores.
//!
//! Owns: the threads, and their replacement when one dies. May touch: [`crate::client`],
//! [`crate::http1`], [`crate::message`], [`crate::origin`], [`crate::proxy`],
//! [`crate::snapshot`], [`crate::task`]. The listening sockets belong to the listeners, not to the
//! threads.

use super::lag;
use crate::{
    client::{accept::accept, listener::Listener},
    http1::{buffers, date::Date},
    message::request_id::RequestIds,
    origin::pool::Pool,
    proxy::Proxy,
    snapshot::Live,
    task,
};
use std::{io, sync::Arc, thread, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    task::JoinSet,
    time::interval,
};

/// At most this many threads of a worker wait for disks. With tokio's limit of 512, clients that
/// ask for many files at once could cause 512 threads of some 80 KiB each.
const DISK_THREADS: usize = 64;

/// What the workers are told.
#[derive(Clone)]
pub struct Orders {
    /// The listeners to accept on. A worker that starts later, as a replacement, sees them all.
    pub listeners: watch::Receiver<Vec<Arc<Listener>>>,
    /// Set when the workers must end as soon as their connections have ended.
    pub stop: watch::Receiver<bool>,
}

/// How a worker ended.
#[derive(Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// It stopped as it was told.
    Stopped(usize),
    /// It panicked.
    Died(usize),
}

/// Starts the worker `index`. `ended` receives how it has ended.
///
/// It has its descriptors before any client can use up the last of them.
pub fn start(
    index: usize,
    live: Arc<Live>,
    orders: Orders,
    ended: mpsc::UnboundedSender<WorkerEnd>,
) -> io::Result<()> {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(DISK_THREADS).build()?;
    let runtime = OwnRuntime(Some(runtime));
    spawn(index, ended, move || {
        let counts = live.metrics.worker(index);
        let Some(own) = &runtime.0 else { return };
        counts.runs_on(own.metrics());
        let proxy = Arc::new(Proxy {
            pool: Arc::new(Pool::heeding(live.shortages.clone())),
            live,
            counts,
            ids: RequestIds::new(),
            cached_date: Date::default(),
            worker: index,
        });
        own.block_on(work(proxy, orders));
    })
}

/// Ends without waiting: a file read that hangs must not delay the end, and the control thread, which
/// has it if there is no thread for it, must not wait at all.
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs `work` on a thread that reports how it ended, even after a panic.
fn spawn(
    index: usize,
    ended: mpsc::UnboundedSender<WorkerEnd>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let watched = Watched { index, ended };
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let watched = watched;
        work();
        drop(watched);
    })?;
    Ok(())
}

struct Watched {
    index: usize,
    ended: mpsc::UnboundedSender<WorkerEnd>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let ended = if thread::panicking() {
            WorkerEnd::Died(self.index)
        } else {
            WorkerEnd::Stopped(self.index)
        };
        // Fails only when the process ends.
        let _ = self.ended.send(ended);
    }
}

fn sweep(proxy: &Proxy) {
    let idle = proxy.pool.sweep(proxy.live.clock.now(), &proxy.live.load().servers());
    proxy.counts.set_idle(idle);
}

async fn work(proxy: Arc<Proxy>, mut orders: Orders) {
    let (alive, mut all_ended) = mpsc::channel(1);
    let sweeping = Arc::clone(&proxy);
    task::spawn(async move {
        let mut tick = interval(Duration::from_secs(1));
        loop {
            tick.tick().await;
            sweep(&sweeping);
            buffers::trim();
        }
    });
    task::spawn(lag::measure(Arc::clone(&proxy.counts), proxy.live.clock));
    let mut serving: Vec<Arc<Listener>> = Vec::new();
    let mut accepting = JoinSet::new();
    loop {
        // After every reload, connections to servers that are gone are closed at once.
        sweep(&proxy);
        let wanted = orders.listeners.borrow_and_update().clone();
        let is_among = |all: &[Arc<Listener>], it: &Arc<Listener>| {
            all.iter().any(|other| Arc::ptr_eq(other, it))
        };
        serving.retain(|it| is_among(&wanted, it));
        for listener in wanted {
            if !is_among(&serving, &listener) {
                serving.push(Arc::clone(&listener));
                accepting.spawn(accept(listener, Arc::clone(&proxy), alive.clone()));
            }
        }
        tokio::select! {
            changed = orders.listeners.changed() => if changed.is_err() { return },
            _ = orders.stop.wait_for(|stop| *stop) => break,
            Some(Err(error)) = accepting.join_next() => {
                // A worker that accepts on only some listeners is worse than a new worker, so end
                // this one.
                if error.is_panic() {
                    std::panic::resume_unwind(error.into_panic());
                }
            }
        }
    }
    drop(alive);
    // Ready when every connection, and every accept loop, has ended.
    all_ended.recv().await;
}
