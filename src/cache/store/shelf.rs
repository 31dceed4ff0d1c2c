//! One part of a store: what it holds, and what goes when there is no room.
//!
//! Owns: S3-FIFO (Yang et al., SOSP 2023), by weight. May touch: nothing outside this room.
//!
//! Newcomers stand in a small queue, a tenth of the whole. Who has been asked for twice when at its
//! head moves to the main queue, who has not goes and is remembered; if it comes back, it goes to
//! the main queue at once, as do newcomers while the shelf fills for the first time. So a scan
//! passes through the small queue and pushes out nothing else. In the main queue, who was asked for
//! since the last time goes to the end again. A hit only raises a counter, so that many can read at
//! once.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use hashbrown::HashTable;

use super::{
    ghosts::Ghosts,
    key::StoreKey,
    slab::{InQueue, Queue, Slab},
};

/// Hits up to here count.
const HOTTEST: u8 = 3;

/// Hits that lead from the small queue to the main one.
const WANTED: u8 = 2;

/// So many in the main queue get another round before one goes all the same: bounds the time for
/// which others wait.
const ROUNDS: u32 = 1_024;

/// A part of a store, with room for a weight. Its unit is the caller's.
#[derive(Debug)]
pub struct Shelf<V> {
    table: HashTable<u32>,
    slab: Slab<V>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    capacity: u64,
    /// Whether something had to go already.
    filled: bool,
}

/// What an insertion led to.
#[derive(Debug)]
pub struct Inserted<V> {
    /// Whether it is kept: it isn't if it alone is more than the capacity.
    pub kept: bool,
    /// What was there under the same key.
    pub replaced: Option<V>,
    /// What had to go. To be dropped when no lock is held.
    pub evicted: Vec<V>,
}

impl<V> Shelf<V> {
    /// An empty one.
    pub fn new(capacity: u64) -> Self {
        Self {
            table: HashTable::new(),
            slab: Slab::new(),
            small: Queue::new(),
            main: Queue::new(),
            ghosts: Ghosts::new(remembered(capacity)),
            capacity,
            filled: false,
        }
    }

    /// Values held.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The weight held.
    pub fn units(&self) -> u64 {
        self.small.units + self.main.units
    }

    /// The most it holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The value of a key. Counts as asking for it.
    pub fn find(&self, key: StoreKey) -> Option<&V> {
        let place = self.slab.place(self.at(key)?);
        warm(&place.heat);
        place.value.as_ref()
    }

    /// The value of a key. Doesn't count.
    pub fn peek(&self, key: StoreKey) -> Option<&V> {
        self.slab.place(self.at(key)?).value.as_ref()
    }

    /// Keeps a value, in the place of the one that the key may have had.
    pub fn insert(&mut self, key: StoreKey, value: V, units: u32) -> Inserted<V> {
        let mut inserted = Inserted { kept: false, replaced: None, evicted: Vec::new() };
        if u64::from(units) > self.capacity {
            inserted.replaced = self.remove(key);
            return inserted;
        }
        let (rank, heat) = match self.at(key).map(|at| (at, self.slab.place_mut(at))) {
            Some((at, place)) if units <= place.units => {
                inserted.kept = true;
                inserted.replaced = self.replace(at, value, units);
                return inserted;
            }
            // It needs more room, for which it mustn't go itself.
            Some((at, place)) => {
                let (rank, heat) = (place.rank, *place.heat.get_mut());
                inserted.replaced = self.take_out(at);
                (rank, heat)
            }
            None => (self.rank_for(key), 0),
        };
        self.shed(u64::from(units), &mut inserted.evicted);
        let Some(at) = self.slab.take(key, value, units, rank) else {
            return inserted;
        };
        *self.slab.place_mut(at).heat.get_mut() = heat;
        self.queue(rank, |queue, slab| queue.push(slab, at));
        let slab = &self.slab;
        self.table.insert_unique(key.table(), at, |&other| slab.place(other).key.table());
        inserted.kept = true;
        inserted
    }

    /// Takes out the value of a key.
    pub fn remove(&mut self, key: StoreKey) -> Option<V> {
        let at = self.at(key)?;
        self.take_out(at)
    }

    /// Holds less or more from now on. Returns what had to go.
    pub fn set_capacity(&mut self, capacity: u64) -> Vec<V> {
        self.filled &= capacity <= self.capacity;
        self.capacity = capacity;
        self.ghosts.set_capacity(remembered(capacity));
        let mut evicted = Vec::new();
        self.shed(0, &mut evicted);
        evicted
    }

    /// Shows the values in up to `steps` places from `from` on. Returns where to go on, or [`None`]
    /// at the end. A value that is there from the first step to the last is shown once.
    pub fn walk(&self, from: u32, steps: u32, mut show: impl FnMut(StoreKey, &V)) -> Option<u32> {
        let end = from.saturating_add(steps).min(self.slab.len());
        for at in from..end {
            let place = self.slab.place(at);
            if let Some(value) = &place.value {
                show(place.key, value);
            }
        }
        (end < self.slab.len()).then_some(end)
    }

    /// Where a newcomer stands.
    fn rank_for(&mut self, key: StoreKey) -> InQueue {
        let room = !self.filled && self.small.units >= self.capacity / 10;
        if self.ghosts.take(key.trace()) || room { InQueue::Main } else { InQueue::Small }
    }

    fn at(&self, key: StoreKey) -> Option<u32> {
        self.table.find(key.table(), |&at| self.slab.place(at).key == key).copied()
    }

    fn queue(&mut self, rank: InQueue, change: impl FnOnce(&mut Queue, &mut Slab<V>)) {
        let queue = match rank {
            InQueue::Small => &mut self.small,
            InQueue::Main => &mut self.main,
        };
        change(queue, &mut self.slab);
    }

    /// The new value, no heavier, keeps the place, as it is for the same thing.
    fn replace(&mut self, at: u32, value: V, units: u32) -> Option<V> {
        let place = self.slab.place_mut(at);
        let before = std::mem::replace(&mut place.units, units);
        let (replaced, rank) = (place.value.replace(value), place.rank);
        self.queue(rank, |queue, _| {
            queue.units = queue.units - u64::from(before) + u64::from(units);
        });
        replaced
    }

    fn take_out(&mut self, at: u32) -> Option<V> {
        let place = self.slab.place(at);
        let (key, rank) = (place.key, place.rank);
        if let Ok(found) = self.table.find_entry(key.table(), |&other| other == at) {
            found.remove();
        }
        self.queue(rank, |queue, slab| queue.unlink(slab, at));
        self.slab.free(at)
    }

    /// Evicts until there is room for so much more.
    fn shed(&mut self, more: u64, evicted: &mut Vec<V>) {
        while self.units() + more > self.capacity {
            self.filled = true;
            let small = self.small.oldest();
            let full = self.main.units > self.capacity - self.capacity / 10;
            match (small, self.main.oldest()) {
                (_, Some(oldest)) if full || small.is_none() => {
                    evicted.extend(self.shed_main(oldest));
                }
                (Some(oldest), _) => evicted.extend(self.shed_small(oldest)),
                (None, _) => return,
            }
        }
    }

    /// The oldest newcomer goes, or moves to the main queue.
    fn shed_small(&mut self, at: u32) -> Option<V> {
        let place = self.slab.place_mut(at);
        if *place.heat.get_mut() >= WANTED {
            *place.heat.get_mut() = 0;
            place.rank = InQueue::Main;
            self.small.unlink(&mut self.slab, at);
            self.main.push(&mut self.slab, at);
            return None;
        }
        self.ghosts.push(place.key.trace(), place.units);
        self.take_out(at)
    }

    /// The oldest that nobody asked for since its last round goes.
    fn shed_main(&mut self, oldest: u32) -> Option<V> {
        let mut at = oldest;
        for _ in 0..ROUNDS {
            let heat = self.slab.place_mut(at).heat.get_mut();
            if *heat == 0 {
                break;
            }
            *heat -= 1;
            self.main.unlink(&mut self.slab, at);
            self.main.push(&mut self.slab, at);
            at = self.main.oldest()?;
        }
        self.take_out(at)
    }
}

/// A count may be lost when two raise it at once: it is only a hint, and so the line it is in is
/// written at most three times.
fn warm(heat: &AtomicU8) {
    let now = heat.load(Relaxed);
    if now < HOTTEST {
        heat.store(now + 1, Relaxed);
    }
}

/// The weight of the ghosts.
fn remembered(capacity: u64) -> u64 {
    capacity / 10 * 9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> StoreKey {
        StoreKey::of(&[&number.to_ne_bytes()])
    }

    /// A full shelf of a hundred, all asked for twice.
    fn full() -> Shelf<u64> {
        let mut shelf = Shelf::new(100);
        for number in 0..100 {
            assert!(shelf.insert(key(number), number, 1).kept);
        }
        for _ in 0..WANTED {
            assert!((0..100).all(|number| shelf.find(key(number)) == Some(&number)));
        }
        shelf
    }

    #[test]
    fn a_scan_pushes_out_nothing_that_is_wanted() {
        let mut shelf = full();
        let evicted: usize =
            (1_000..10_000).map(|number| shelf.insert(key(number), number, 1).evicted.len()).sum();
        assert_eq!((evicted, shelf.len(), shelf.units()), (9_000, 100, 100));
        let left = (0..100).filter(|number| shelf.peek(key(*number)).is_some()).count();
        assert!(left >= 88, "{left}");
    }

    #[test]
    fn what_comes_back_is_believed() {
        let mut shelf = full();
        for number in [200, 300, 200] {
            for other in 0..12 {
                shelf.insert(key(number + other), number, 1);
            }
        }
        let at = shelf.at(key(211)).unwrap();
        assert_eq!(shelf.slab.place(at).rank, InQueue::Main);
    }

    #[test]
    fn what_is_too_large_replaces_nothing_and_leaves_nothing() {
        let mut shelf = full();
        let inserted = shelf.insert(key(7), 7, 101);
        assert_eq!((inserted.kept, inserted.replaced, shelf.units()), (false, Some(7), 99));
        assert!(shelf.insert(key(8), 8, 100).kept);
        assert_eq!((shelf.len(), shelf.units()), (1, 100));
    }
}
