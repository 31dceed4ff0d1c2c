//! The store itself: its shelves, each under its own lock.
//!
//! Owns: the locks and the counts. May touch: nothing outside this room.

use super::{
    entry::{StoredEntry, Weighed},
    generations::Generations,
    key::StoreKey,
    seq::{PurgeState, Seq},
    shelf::Shelf,
    stats::{Counters, StoreStats, count},
};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Weights are counted in units of so many bytes, so that 32 bits are enough for one.
pub(super) const UNIT: u64 = 16;

/// A shelf has room for so many of the largest objects at least.
const LARGEST_PER_SHELF: u64 = 4;

/// And has so many bytes at least: evicting among few is guessing.
const SMALLEST_SHELF: u64 = 1024 * 1024;

/// More shelves than this don't make waiting rarer.
const MOST_SHELVES: u64 = 64;

/// Responses in memory.
#[derive(Debug)]
pub struct Store<V> {
    pub(super) shards: Box<[Shard<V>]>,
    pub(super) generations: Generations,
}

/// A shelf with its lock and counts, apart from the others in the processor's caches.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard<V> {
    shelf: RwLock<Shelf<Arc<StoredEntry<V>>>>,
    counters: Counters,
}

/// What was found.
#[derive(Debug)]
pub struct StoreHit<V> {
    /// The entry.
    pub entry: Arc<StoredEntry<V>>,
    /// Whether it was purged softly: then it is served only as what is stale may be.
    pub stale: bool,
}

impl<V: Weighed> Store<V> {
    /// A store of this many bytes, with room for objects that weigh up to `largest`.
    pub fn new(capacity: u64, largest: u64) -> Self {
        let smallest = largest.saturating_mul(LARGEST_PER_SHELF).max(SMALLEST_SHELF);
        let fitting = (capacity / smallest).clamp(1, MOST_SHELVES);
        let shards = 1 << fitting.ilog2();
        let shelf = || RwLock::new(Shelf::new(capacity / shards / UNIT));
        let shard = |_| Shard { shelf: shelf(), counters: Counters::default() };
        Self { shards: (0..shards).map(shard).collect(), generations: Generations::default() }
    }

    /// The same, whose first purge has the number after `last`. For an empty one.
    #[must_use]
    pub fn starting_at(self, last: Seq) -> Self {
        Self { generations: Generations::starting_at(last), ..self }
    }

    /// What is stored under a key, unless it was purged. Counts a hit or a miss.
    pub fn get(&self, key: StoreKey) -> Option<StoreHit<V>> {
        let shard = self.shard(key);
        let found = shard.read().find(key).cloned();
        let found = found.and_then(|entry| self.alive(key, shard, entry));
        let counters = &shard.counters;
        count(if found.is_some() { &counters.hits } else { &counters.misses }, 1);
        found
    }

    /// The same without counting, and without being a reason to keep it longer.
    pub fn peek(&self, key: StoreKey) -> Option<StoreHit<V>> {
        let shard = self.shard(key);
        let found = shard.read().peek(key).cloned();
        found.and_then(|entry| self.alive(key, shard, entry))
    }

    /// Keeps an entry, in the place of the one that the key may have had. Returns whether it is
    /// kept: not if it is too large, or was purged since its fetch began.
    pub fn insert(&self, key: StoreKey, entry: StoredEntry<V>) -> bool {
        self.insert_if(key, Arc::new(entry), |_| true)
    }

    /// The same for an entry that somebody uses already.
    pub fn insert_shared(&self, key: StoreKey, entry: &Arc<StoredEntry<V>>) -> bool {
        self.insert_if(key, Arc::clone(entry), |_| true)
    }

    /// Keeps an entry if `old` is still what is stored under the key: for one that was made from
    /// it, as by a 304.
    pub fn refresh(&self, key: StoreKey, old: &Arc<StoredEntry<V>>, entry: StoredEntry<V>) -> bool {
        self.insert_if(key, Arc::new(entry), |now| now.is_some_and(|now| Arc::ptr_eq(now, old)))
    }

    /// Takes out what is stored under a key.
    pub fn remove(&self, key: StoreKey) -> Option<Arc<StoredEntry<V>>> {
        self.shard(key).write().remove(key)
    }

    /// Takes out `old` if it is still what is stored under the key. Returns whether it was.
    pub fn remove_if(&self, key: StoreKey, old: &Arc<StoredEntry<V>>) -> bool {
        self.shard(key).remove_same(key, old)
    }

    /// The number to be taken when a fetch begins, before its request is sent.
    pub fn now(&self) -> Seq {
        self.generations.now()
    }

    /// The purges.
    pub fn generations(&self) -> &Generations {
        &self.generations
    }

    /// Holds more or less from now on; what is held stays, as far as there is room. The largest
    /// object is bounded by [`Store::largest`] then.
    pub fn set_capacity(&self, capacity: u64) {
        let each = capacity / self.shards.len() as u64 / UNIT;
        for shard in &self.shards {
            let evicted = shard.write().set_capacity(each);
            count(&shard.counters.evictions, evicted.len());
        }
    }

    /// The heaviest entry that can be kept.
    pub fn largest(&self) -> u64 {
        self.shards.first().map_or(0, |shard| shard.read().capacity() * UNIT)
    }

    /// What was counted, and what is held.
    pub fn stats(&self) -> StoreStats {
        let mut stats = StoreStats::default();
        for shard in &self.shards {
            shard.counters.add_to(&mut stats);
            let held = shard.read();
            stats.objects += held.len() as u64;
            stats.bytes += held.units() * UNIT;
            stats.capacity += held.capacity() * UNIT;
        }
        stats
    }

    fn insert_if(
        &self,
        key: StoreKey,
        entry: Arc<StoredEntry<V>>,
        replaces: impl FnOnce(Option<&Arc<StoredEntry<V>>>) -> bool,
    ) -> bool {
        let units = u32::try_from(entry.weight().div_ceil(UNIT)).unwrap_or(u32::MAX);
        let shard = self.shard(key);
        let mut held = shard.write();
        // Under the lock: a sweep that comes later sees the entry, and of one that has been here,
        // this sees all that it may forget.
        if !replaces(held.peek(key)) || !self.generations.admits(entry.label()) {
            return false;
        }
        let inserted = held.insert(key, entry, units);
        drop(held);
        count(&shard.counters.insertions, usize::from(inserted.kept));
        count(&shard.counters.evictions, inserted.evicted.len());
        inserted.kept
    }

    fn alive(
        &self,
        key: StoreKey,
        shard: &Shard<V>,
        entry: Arc<StoredEntry<V>>,
    ) -> Option<StoreHit<V>> {
        let state = self.generations.check(entry.label());
        if state == PurgeState::Dead {
            shard.remove_dead(key, &entry);
            return None;
        }
        Some(StoreHit { entry, stale: state == PurgeState::Stale })
    }

    fn shard(&self, key: StoreKey) -> &Shard<V> {
        &self.shards[key.shelf(self.shards.len())]
    }
}

impl<V> Shard<V> {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Shelf<Arc<StoredEntry<V>>>> {
        self.shelf.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelf<Arc<StoredEntry<V>>>> {
        self.shelf.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out an entry that was purged, if it is still there.
    pub(super) fn remove_dead(&self, key: StoreKey, dead: &Arc<StoredEntry<V>>) -> bool {
        let removed = self.remove_same(key, dead);
        count(&self.counters.purged, usize::from(removed));
        removed
    }

    fn remove_same(&self, key: StoreKey, old: &Arc<StoredEntry<V>>) -> bool {
        let mut held = self.write();
        let is_same = held.peek(key).is_some_and(|now| Arc::ptr_eq(now, old));
        // The caller has it, so nothing is freed under the lock.
        is_same && held.remove(key).is_some()
    }
}
