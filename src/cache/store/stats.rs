//! The counts of a store.
//!
//! Owns: the counters of one shelf. May touch: nothing outside this room.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a store has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Entries held. Those that were purged count until they go.
    pub objects: u64,
    /// What they weigh, in bytes.
    pub bytes: u64,
    /// The most they may weigh.
    pub capacity: u64,
    /// Lookups that found something.
    pub hits: u64,
    /// Lookups that didn't.
    pub misses: u64,
    /// Entries kept, those in the place of another among them.
    pub insertions: u64,
    /// Entries that had to make room.
    pub evictions: u64,
    /// Entries that went because they were purged. Others may have been evicted before it was
    /// noticed.
    pub purged: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) insertions: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) purged: AtomicU64,
}

impl Counters {
    pub(super) fn add_to(&self, stats: &mut StoreStats) {
        stats.hits += self.hits.load(Relaxed);
        stats.misses += self.misses.load(Relaxed);
        stats.insertions += self.insertions.load(Relaxed);
        stats.evictions += self.evictions.load(Relaxed);
        stats.purged += self.purged.load(Relaxed);
    }
}

pub(super) fn count(counter: &AtomicU64, more: usize) {
    if more > 0 {
        counter.fetch_add(more as u64, Relaxed);
    }
}
