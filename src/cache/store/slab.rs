//! The places of a shelf, and the queues they stand in.
//!
//! Owns: places, linked by their numbers; free ones are used again. They are in blocks, as one
//! vector would be copied, and have twice the room, whenever it grows. May touch: nothing outside
//! this room.

use std::sync::atomic::AtomicU8;

use super::key::StoreKey;

/// No place.
pub(super) const NONE: u32 = u32::MAX;

/// Places in a block: 10 KB.
const BLOCK: usize = 256;

/// Which queue a place stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InQueue {
    /// Newcomers.
    Small,
    /// Those that were asked for again.
    Main,
}

/// One place. Taken if it has a value.
#[derive(Debug)]
pub(super) struct Slot<V> {
    pub(super) key: StoreKey,
    pub(super) value: Option<V>,
    prev: u32,
    /// The next in the queue, or the next free place.
    next: u32,
    pub(super) units: u32,
    /// How often it was asked for, up to 3.
    pub(super) heat: AtomicU8,
    pub(super) rank: InQueue,
}

/// All places of a shelf.
#[derive(Debug)]
pub(super) struct Slab<V> {
    blocks: Vec<Vec<Slot<V>>>,
    len: u32,
    free: u32,
}

/// A queue: the oldest at the head.
#[derive(Debug)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
    pub(super) units: u64,
}

impl<V> Slab<V> {
    pub(super) fn new() -> Self {
        Self { blocks: Vec::new(), len: 0, free: NONE }
    }

    /// Places, free ones among them.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn place(&self, at: u32) -> &Slot<V> {
        &self.blocks[at as usize / BLOCK][at as usize % BLOCK]
    }

    pub(super) fn place_mut(&mut self, at: u32) -> &mut Slot<V> {
        &mut self.blocks[at as usize / BLOCK][at as usize % BLOCK]
    }

    /// Takes a place. [`None`] when there are no more numbers.
    pub(super) fn take(
        &mut self,
        key: StoreKey,
        value: V,
        units: u32,
        rank: InQueue,
    ) -> Option<u32> {
        let heat = AtomicU8::new(0);
        let place = Slot { key, value: Some(value), prev: NONE, next: NONE, units, heat, rank };
        let at = self.free;
        if at == NONE {
            return self.add(place);
        }
        self.free = self.place(at).next;
        *self.place_mut(at) = place;
        Some(at)
    }

    fn add(&mut self, place: Slot<V>) -> Option<u32> {
        let new = self.len;
        self.len = new.checked_add(1)?;
        if (new as usize).is_multiple_of(BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        self.blocks.last_mut()?.push(place);
        Some(new)
    }

    /// Frees a place that stands in no queue, and returns what was there.
    pub(super) fn free(&mut self, at: u32) -> Option<V> {
        let free = std::mem::replace(&mut self.free, at);
        let place = self.place_mut(at);
        place.next = free;
        place.value.take()
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self { head: NONE, tail: NONE, units: 0 }
    }

    /// The oldest, if there is one.
    pub(super) fn oldest(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    /// Puts a place at the end.
    pub(super) fn push<V>(&mut self, slab: &mut Slab<V>, at: u32) {
        let place = slab.place_mut(at);
        (place.prev, place.next) = (self.tail, NONE);
        self.units += u64::from(place.units);
        if self.tail == NONE {
            self.head = at;
        } else {
            slab.place_mut(self.tail).next = at;
        }
        self.tail = at;
    }

    /// Takes a place out, wherever it stands.
    pub(super) fn unlink<V>(&mut self, slab: &mut Slab<V>, at: u32) {
        let place = slab.place(at);
        let (prev, next, units) = (place.prev, place.next, place.units);
        self.units -= u64::from(units);
        if prev == NONE {
            self.head = next;
        } else {
            slab.place_mut(prev).next = next;
        }
        if next == NONE {
            self.tail = prev;
        } else {
            slab.place_mut(next).prev = prev;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<Slot<std::sync::Arc<u64>>>(), 40);
    }

    #[test]
    fn a_queue_keeps_its_order_when_one_leaves() {
        let (mut slab, mut queue) = (Slab::new(), Queue::new());
        let places: Vec<u32> = (0..4)
            .filter_map(|n| slab.take(StoreKey::from_u128(n), n, n as u32, InQueue::Small))
            .collect();
        for &at in &places {
            queue.push(&mut slab, at);
        }
        queue.unlink(&mut slab, places[1]);
        assert_eq!(slab.free(places[1]), Some(1));
        assert_eq!(queue.units, 5);
        let mut order = Vec::new();
        while let Some(at) = queue.oldest() {
            queue.unlink(&mut slab, at);
            order.extend(slab.free(at));
        }
        assert_eq!(order, [0, 2, 3]);
        assert_eq!(slab.take(StoreKey::from_u128(9), 9, 1, InQueue::Small), Some(places[3]));
        assert_eq!(slab.len(), 4);
    }
}
