//! What a disk tier has done, and how it is.
//!
//! Owns: the counts. May touch: nothing outside this room.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How a disk tier is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskState {
    /// It looks at what is in its directory. What it has found can be served.
    #[default]
    Opening,
    /// It knows all that is in its directory.
    Ready,
    /// Its directory can't be used now.
    Unusable,
}

impl DiskState {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Ready => "ready",
            Self::Unusable => "unusable",
        }
    }
}

/// What a disk tier has done and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Responses held. Those that were purged count until they go.
    pub objects: u64,
    /// What they take on disk, in bytes.
    pub bytes: u64,
    /// The most they may take, in bytes.
    pub capacity: u64,
    /// Lookups that were answered.
    pub hits: u64,
    /// Lookups that weren't.
    pub misses: u64,
    /// Responses written.
    pub writes: u64,
    /// Responses not written: too many waited, they were too large, or were purged meanwhile.
    pub dropped: u64,
    /// Responses that had to make room.
    pub evictions: u64,
    /// Responses that went because they were purged.
    pub purged: u64,
    /// Files found torn or changed.
    pub damaged: u64,
    /// Reads and writes that failed.
    pub failures: u64,
    /// How it is.
    pub state: DiskState,
}

/// The counts that no index has.
#[derive(Debug, Default)]
pub(super) struct DiskCounts {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) dropped: AtomicU64,
    /// By indexes that are gone.
    pub(super) evictions: AtomicU64,
    /// The same.
    pub(super) purged: AtomicU64,
    pub(super) damaged: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl DiskCounts {
    pub(super) fn stats(&self) -> DiskStats {
        DiskStats {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            writes: self.writes.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            purged: self.purged.load(Relaxed),
            damaged: self.damaged.load(Relaxed),
            failures: self.failures.load(Relaxed),
            ..DiskStats::default()
        }
    }
}
