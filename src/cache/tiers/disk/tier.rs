//! What the callers of a disk tier and its thread share.
//!
//! Owns: the index while there is one, the order of purges, the counts. May touch: nothing outside
//! this room.

use super::{
    object::DiskObject,
    queue::DiskQueue,
    reading::DiskRead,
    stats::{DiskCounts, DiskState},
};
use crate::cache::{
    store::{Store, StoreKey},
    tiers::{purge::Purge, record::Unreadable},
};
use arc_swap::ArcSwapOption;
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc::SyncSender,
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Failures are told of once in this time.
const TOLD_EACH: Duration = Duration::from_secs(60);

/// The parts of a disk tier that threads share.
#[derive(Debug)]
pub(super) struct DiskTier {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) max_size: AtomicU64,
    pub(super) queue: Arc<DiskQueue>,
    pub(super) open: ArcSwapOption<OpenDisk>,
    pub(super) counts: DiskCounts,
    pub(super) progress: watch::Sender<DiskProgress>,
    /// For one purge at a time, so that they are queued in the order of their numbers.
    purging: Mutex<()>,
    /// The last purge before the directory was last shut.
    floor: AtomicU64,
    told: Mutex<Option<Instant>>,
}

/// A directory that is used.
#[derive(Debug)]
pub(super) struct OpenDisk {
    pub(super) store: Store<DiskObject>,
    /// All that was purged up to this number was so before this process opened the directory.
    pub(super) start: u64,
    /// The last purge that this process knew before.
    pub(super) floor: u64,
    /// Which opening it is.
    pub(super) opening: u32,
    /// Whether files of earlier processes are still being found.
    pub(super) finding: AtomicBool,
    pub(super) reads: SyncSender<DiskRead>,
}

/// How far the disk thread has come: the tickets of what it has done last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DiskProgress {
    pub(super) state: DiskState,
    pub(super) puts: u64,
    pub(super) purges: u64,
}

impl DiskTier {
    pub(super) fn new(name: &str, path: PathBuf, max_size: u64) -> Self {
        Self {
            name: name.to_owned(),
            path,
            max_size: AtomicU64::new(max_size),
            queue: Arc::default(),
            open: ArcSwapOption::empty(),
            counts: DiskCounts::default(),
            progress: watch::Sender::default(),
            purging: Mutex::default(),
            floor: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    /// The last purge.
    pub(super) fn now(&self) -> u64 {
        let open = self.open.load();
        open.as_ref().map_or_else(|| self.floor.load(SeqCst), |open| open.store.now().number())
    }

    /// Purges, and queues it to be written down. Returns its ticket.
    pub(super) fn purge(&self, purge: Purge) -> u64 {
        let _one = self.purging();
        let number = self.open.load().as_ref().map_or(0, |open| open.purge(&purge));
        self.queue.purge(number, purge)
    }

    /// Begins to use a directory. Purges that wait hit all that is in it.
    pub(super) fn begin(&self, open: &Arc<OpenDisk>) {
        let _one = self.purging();
        self.queue.renumber(|purge| open.purge(purge));
        self.open.store(Some(Arc::clone(open)));
        open.store.set_capacity(self.max_size.load(SeqCst));
        self.set_state(DiskState::Opening);
    }

    /// Uses no directory any more.
    pub(super) fn shut(&self) {
        let _one = self.purging();
        self.floor.store(self.now(), SeqCst);
        let open = self.open.swap(None);
        let dropped = self.queue.shut();
        self.counts.dropped.fetch_add(dropped, Relaxed);
        if let Some(open) = open {
            let stats = open.store.stats();
            self.counts.evictions.fetch_add(stats.evictions, Relaxed);
            self.counts.purged.fetch_add(stats.purged, Relaxed);
        }
        let puts = self.queue.tickets().puts;
        self.progress.send_modify(|progress| {
            (progress.state, progress.puts) = (DiskState::Unusable, puts);
        });
    }

    pub(super) fn set_state(&self, state: DiskState) {
        self.progress.send_modify(|progress| progress.state = state);
    }

    /// Takes out a response, and those under its key that wait to be written.
    pub(super) fn remove(&self, key: StoreKey) {
        self.queue.forget(key);
        if let Some(open) = self.open.load_full() {
            open.store.remove(key);
        }
    }

    /// A file is not what was written.
    pub(super) fn damaged(&self, number: u64, why: Unreadable) {
        self.counts.damaged.fetch_add(1, Relaxed);
        tracing::debug!(cache = self.name, file = %format_args!("{number:x}"), ?why, "damaged");
    }

    /// Something failed: it is counted, and told of now and then.
    pub(super) fn failed(&self, what: &str, error: &io::Error) {
        self.counts.failures.fetch_add(1, Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= TOLD_EACH) {
            *told = Some(Instant::now());
            drop(told);
            let (cache, path) = (&self.name, self.path.display());
            tracing::warn!(cache, %path, %error, "the disk of a cache: {what}");
        }
    }

    fn purging(&self) -> MutexGuard<'_, ()> {
        self.purging.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenDisk {
    fn purge(&self, purge: &Purge) -> u64 {
        let (target, soft) = (purge.target(), purge.soft);
        // A sweep would forget prefixes before they have hit what is found later.
        let seq = if self.finding.load(SeqCst) {
            self.store.purge_unswept(&target, soft)
        } else {
            self.store.purge(&target, soft)
        };
        seq.number()
    }
}
