//! Small files, kept in memory.
//!
//! Owns: what is kept, how much, and when it is compared with the disk again. May touch: nothing
//! outside this room. Shared by all workers.
//!
//! A hit costs a hash, a short read lock and three reference counts. When a file's interval is
//! over, the next request gets the [`Check`] and looks at the disk. Others are meanwhile served the
//! kept file, so that a slow disk delays one request, not all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::time::Instant;

use super::{CacheSettings, document::Document};

/// What a file costs beside its name and content: its headers, its place in the table.
const OVERHEAD: u64 = 512;

/// The size of a file if the others are as usual; only sizes the table.
const USUAL: u64 = 16 * 1024;

/// Files kept in memory.
#[derive(Debug)]
pub(super) struct Memory {
    cache: Cache<Box<str>, Arc<KeptFile>, Weight>,
    max_file: u64,
    check_interval: u64,
    started: Instant,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// One file.
#[derive(Debug)]
pub(super) struct KeptFile {
    pub(super) document: Document,
    /// Nanoseconds from the start of the memory to when it was last known to be current.
    checked: AtomicU64,
    checking: AtomicBool,
}

/// What the memory has for a path.
#[derive(Debug)]
pub(super) enum KeptLookup {
    /// Known to be current.
    Fresh(Arc<KeptFile>),
    /// The holder of this must compare it with the disk.
    Due(Check),
    /// Nothing.
    Absent,
}

/// The task to compare a file with the disk. If it is dropped, the next request gets it.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) kept: Arc<KeptFile>,
}

impl Drop for Check {
    fn drop(&mut self) {
        self.kept.checking.store(false, Relaxed);
    }
}

impl Memory {
    pub(super) fn new(settings: &CacheSettings) -> Self {
        // Every shard must have room for some of the largest files, or they would never be kept.
        let fitting = settings.max_size / settings.max_file.saturating_mul(4).max(1);
        let shards = fitting.clamp(1, 16).next_power_of_two();
        // A file that a shard would never keep (the library reserves 3 % for new entries) need not
        // be read whole.
        let largest = (settings.max_size / shards / 100 * 97).saturating_sub(OVERHEAD);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .estimated_items_capacity(
                (settings.max_size / USUAL).clamp(32 * shards, 65_536) as usize
            )
            // Each shard's part is rounded up, so the whole is rounded down first.
            .weight_capacity(settings.max_size / shards * shards)
            .build();
        let cache = match options {
            Ok(options) => Cache::with_options(
                options,
                Weight,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            Err(_) => Cache::with_weighter(32, settings.max_size, Weight),
        };
        Self {
            cache,
            max_file: settings.max_file.min(largest),
            check_interval: nanos(settings.check_interval),
            started: Instant::now(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The largest file that is kept.
    pub(super) fn max_file(&self) -> u64 {
        self.max_file
    }

    /// Requests answered from here.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Relaxed)
    }

    /// Requests that had to read the disk.
    pub(super) fn misses(&self) -> u64 {
        self.misses.load(Relaxed)
    }

    /// What is kept in all, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.cache.weight()
    }

    /// What is known of a path. Counts a hit or a miss unless the answer is [`KeptLookup::Due`].
    pub(super) fn look_up(&self, path: &str) -> KeptLookup {
        let Some(kept) = self.cache.get(path) else {
            self.misses.fetch_add(1, Relaxed);
            return KeptLookup::Absent;
        };
        let age = self.now().saturating_sub(kept.checked.load(Relaxed));
        if age >= self.check_interval && !kept.checking.swap(true, Relaxed) {
            return KeptLookup::Due(Check { kept });
        }
        self.hits.fetch_add(1, Relaxed);
        KeptLookup::Fresh(kept)
    }

    /// Keeps a document that was read, if it is one to keep, and returns it.
    pub(super) fn keep(&self, path: &str, document: Document, read_at: u64) -> Arc<KeptFile> {
        let held = document.held().is_some();
        let kept = Arc::new(KeptFile {
            document,
            checked: AtomicU64::new(read_at),
            checking: AtomicBool::new(false),
        });
        if held {
            self.cache.insert(path.into(), Arc::clone(&kept));
        } else {
            self.cache.remove(path);
        }
        kept
    }

    /// The comparison found no change, as of `looked_at`.
    pub(super) fn unchanged(&self, check: &Check, looked_at: u64) {
        self.hits.fetch_add(1, Relaxed);
        check.kept.checked.store(looked_at, Relaxed);
    }

    /// The comparison found a change.
    pub(super) fn changed(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    /// There is no longer a file at this path.
    pub(super) fn forget(&self, path: &str) {
        self.cache.remove(path);
    }

    /// The time, for `read_at` and `looked_at`: to be taken before the disk is looked at.
    pub(super) fn now(&self) -> u64 {
        nanos(self.started.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

/// Weighs in bytes.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<str>, Arc<KeptFile>> for Weight {
    fn weight(&self, path: &Box<str>, kept: &Arc<KeptFile>) -> u64 {
        let forms = 1 + kept.document.encoded.len() as u64;
        kept.document.held().unwrap_or(0) + path.len() as u64 + OVERHEAD * forms
    }
}
