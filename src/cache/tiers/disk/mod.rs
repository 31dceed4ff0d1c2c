//! The disk tier of a cache: responses in a directory, which survive a restart.
//!
//! Owns: the directory, its thread and the threads that read. May touch:
//! [`crate::settings`].
//!
//! The index is a [`Store`](crate::cache::store::Store) in memory: what goes when there is no room,
//! and what a purge means, is as it is there. All changes of the directory are made by one thread,
//! from a bounded queue; no caller ever waits for the disk, but who awaits a purge or a flush.
//!
//! A file is believed only if its checksums and its key are right, so nothing is synced but purges:
//! those are in a log, written down before they are told to be done. Files are written once and
//! never changed; each has its own number.

mod finding;
mod keeper;
mod object;
mod past;
mod place;
mod purge_log;
mod queue;
mod reading;
mod stats;
mod tier;
mod work;

#[cfg(test)]
mod tests;

pub use self::stats::{DiskState, DiskStats};

use self::{
    reading::{DiskRead, NotRead, is_lost},
    tier::DiskTier,
};
use crate::{
    cache::{
        store::{PurgeState, StoreKey, StoredBody, Sweep},
        tiers::{
            key::TierKey,
            purge::Purge,
            record::{TierRecord, Unreadable},
        },
    },
    settings::DiskSettings,
};
use bytes::Bytes;
use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// A read that takes longer is given up.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// A purge is waited for so long.
const PURGE_LIMIT: Duration = Duration::from_secs(10);

/// The disk tier of a cache. Its threads end when it is dropped; files stay.
#[derive(Debug)]
pub struct Disk {
    tier: Arc<DiskTier>,
    settings: DiskSettings,
    /// Which index was swept last, by its first purge.
    swept: AtomicU64,
}

/// What was found.
#[derive(Debug)]
pub struct DiskHit {
    /// What is known of the response.
    pub record: TierRecord,
    /// Its content.
    pub content: Bytes,
    /// Whether it was purged softly: then it is served only as what is stale may be.
    pub stale: bool,
}

impl Disk {
    /// Begins to use a directory, behind: the caller neither waits nor fails. Until it is open, [`get`]
    /// finds nothing, and what is [`put`] waits. A directory that can't be used is warned of, and
    /// tried again every 30 s.
    ///
    /// [`get`]: Self::get
    /// [`put`]: Self::put
    pub fn open(name: &str, settings: DiskSettings) -> Arc<Self> {
        let tier = Arc::new(DiskTier::new(name, settings.path.clone(), settings.max_size));
        let theirs = Arc::clone(&tier);
        let thread = thread::Builder::new().name(format!("disk-{name}"));
        if let Err(error) = thread.spawn(move || keeper::run(&theirs)) {
            tier.shut();
            tier.failed("there is no thread for it", &error);
        }
        Arc::new(Self { tier, settings, swept: AtomicU64::new(0) })
    }

    /// As it was opened.
    pub fn settings(&self) -> &DiskSettings {
        &self.settings
    }

    /// Holds up to so many bytes from now on. What is there stays, as far as there is room.
    pub fn set_max_size(&self, bytes: u64) {
        self.tier.max_size.store(bytes, SeqCst);
        if let Some(open) = self.tier.open.load_full() {
            open.store.set_capacity(bytes);
        }
    }

    /// The tier's last purge: to be taken when a fetch begins, for [`TierRecord::begun`].
    pub fn now(&self) -> u64 {
        self.tier.now()
    }

    /// What is kept under a key. [`None`] as well if the disk takes longer than a second, or too many
    /// wait for it.
    pub async fn get(&self, key: &TierKey) -> Option<DiskHit> {
        let found = self.find(key).await;
        let counts = &self.tier.counts;
        let counter = if found.is_some() { &counts.hits } else { &counts.misses };
        counter.fetch_add(1, Relaxed);
        found
    }

    async fn find(&self, key: &TierKey) -> Option<DiskHit> {
        let open = self.tier.open.load_full()?;
        let at = StoreKey::from_u128(key.name());
        let entry = open.store.get(at)?.entry;
        let (reply, read) = oneshot::channel();
        open.reads.try_send(DiskRead { entry: Arc::clone(&entry), reply }).ok()?;
        match timeout(READ_LIMIT, read).await.ok()?.ok()? {
            Ok((record, content)) if record.key == key.parts() => {
                // It may have been purged meanwhile.
                let purged = open.store.generations().state(entry.label());
                let stale = purged == PurgeState::Stale;
                return (purged != PurgeState::Dead).then_some(DiskHit { record, content, stale });
            }
            Ok(_) => self.tier.damaged(entry.value().number(), Unreadable::Foreign),
            Err(NotRead::Damaged(why)) => self.tier.damaged(entry.value().number(), why),
            Err(NotRead::Failed(error)) => {
                self.tier.failed("a response can't be read", &error);
                // Others say nothing of the file, such as too many open ones.
                if !is_lost(&error) {
                    return None;
                }
            }
        }
        open.store.remove_if(at, &entry);
        None
    }

    /// Keeps a response, behind. `record.key` is of the same key, and `record.begun` is from
    /// [`now`](Self::now). If too much waits already, it is dropped, and so is what it was to
    /// replace.
    pub fn put(&self, key: &TierKey, record: TierRecord, content: StoredBody) {
        debug_assert_eq!(record.key, key.parts());
        let key = StoreKey::from_u128(key.name());
        if !self.tier.queue.put(key, record, content) {
            self.tier.counts.dropped.fetch_add(1, Relaxed);
            self.tier.remove(key);
        }
    }

    /// Removes what is kept under a key, and what waits to be. Its file goes soon after: if the
    /// process is killed before, it is there again after a restart, unlike what was purged.
    pub fn remove(&self, key: &TierKey) {
        self.tier.remove(StoreKey::from_u128(key.name()));
    }

    /// Purges. It counts for every later [`get`](Self::get) when this returns, not when the future
    /// ends: that is when it is written down, so that it counts after any end of the process, too. Says
    /// whether it is: not if the directory can't be used, or the disk takes longer than 10 s. Such a
    /// purge is written down as soon as that can be, if the process lives that long.
    pub fn purge(&self, purge: Purge) -> impl Future<Output = bool> + Send + use<> {
        let ticket = self.tier.purge(purge);
        let mut progress = self.tier.progress.subscribe();
        async move {
            let done =
                progress.wait_for(|now| now.purges >= ticket || now.state == DiskState::Unusable);
            timeout(PURGE_LIMIT, done).await.is_ok_and(|it| it.is_ok_and(|it| it.purges >= ticket))
        }
    }

    /// What it has done and holds.
    pub fn stats(&self) -> DiskStats {
        let mut stats = self.tier.counts.stats();
        stats.state = self.tier.progress.borrow().state;
        stats.capacity = self.tier.max_size.load(SeqCst);
        if let Some(open) = self.tier.open.load_full() {
            let held = open.store.stats();
            stats.objects = held.objects;
            stats.bytes = self.tier.queue.kept().1;
            stats.evictions += held.evictions;
            stats.purged += held.purged;
        }
        stats
    }

    /// Frees what was purged, looking at about `steps` responses. For the control thread, every so
    /// often.
    pub fn sweep(&self, sweep: &mut Sweep, steps: u32) {
        let Some(open) = self.tier.open.load_full() else { return };
        // What is found later is still to be hit by prefixes that a sweep would forget.
        if open.finding.load(SeqCst) {
            return;
        }
        if self.swept.swap(open.start, SeqCst) != open.start {
            *sweep = Sweep::default();
        }
        open.store.sweep(sweep, steps);
    }

    /// For a graceful stop: waits until all that is queued now is written, at most `limit`.
    pub async fn flush(&self, limit: Duration) {
        let until = self.tier.queue.tickets();
        let mut progress = self.tier.progress.subscribe();
        let done = progress.wait_for(|now| {
            now.puts >= until.puts && now.purges >= until.purges || now.state == DiskState::Unusable
        });
        let _ = timeout(limit, done).await;
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.tier.queue.end();
    }
}
