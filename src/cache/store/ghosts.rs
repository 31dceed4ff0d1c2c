//! What was evicted before it was asked for twice: who comes back gets a better place.
//!
//! Owns: 32 bits of each key, with its weight, for as much weight as the shelf may remember. May
//! touch: nothing outside this room. Two keys with the same 32 bits cost a misplaced object, once
//! in some 50,000 evictions of a full shelf.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// Keys that were evicted of late.
#[derive(Debug)]
pub(super) struct Ghosts {
    /// In the order of eviction.
    order: VecDeque<Ghost>,
    /// Each one's trace and number.
    table: HashTable<(u32, u32)>,
    /// The number of the first in `order`. Numbers wrap.
    first: u32,
    units: u64,
    capacity: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ghost {
    trace: u32,
    units: u32,
}

impl Ghosts {
    pub(super) fn new(capacity: u64) -> Self {
        Self { order: VecDeque::new(), table: HashTable::new(), first: 0, units: 0, capacity }
    }

    /// Remembers one, and forgets the oldest beyond the capacity.
    pub(super) fn push(&mut self, trace: u32, units: u32) {
        self.take(trace);
        let number = self.first.wrapping_add(self.order.len() as u32);
        self.order.push_back(Ghost { trace, units });
        self.units += u64::from(units);
        self.table.insert_unique(spread(trace), (trace, number), |other| spread(other.0));
        self.trim();
    }

    /// Whether it is remembered; it no longer is then.
    pub(super) fn take(&mut self, trace: u32) -> bool {
        let Ok(found) = self.table.find_entry(spread(trace), |other| other.0 == trace) else {
            return false;
        };
        let ((_, number), _) = found.remove();
        let at = number.wrapping_sub(self.first) as usize;
        // It stays in the order with no weight.
        self.units -= u64::from(std::mem::take(&mut self.order[at].units));
        true
    }

    /// Remembers less or more from now on.
    pub(super) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.trim();
        self.order.shrink_to(self.order.len() * 2);
    }

    fn trim(&mut self) {
        // Those that came back are left out when they reach the front, or when they are many.
        while self.units > self.capacity || self.order.len() > self.table.len() * 2 + 64 {
            let Some(oldest) = self.order.pop_front() else { break };
            self.units -= u64::from(oldest.units);
            let gone = (oldest.trace, self.first);
            if let Ok(found) = self.table.find_entry(spread(oldest.trace), |other| *other == gone) {
                found.remove();
            }
            self.first = self.first.wrapping_add(1);
        }
    }
}

/// A trace is random, but the table wants its top bits so, too.
fn spread(trace: u32) -> u64 {
    u64::from(trace).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut ghosts = Ghosts::new(10);
        for trace in 0..4 {
            ghosts.push(trace, 3);
        }
        assert!(!ghosts.take(0));
        assert!(ghosts.take(1) && !ghosts.take(1));
        ghosts.push(2, 3);
        ghosts.push(4, 3);
        assert!(ghosts.take(3) && ghosts.take(2) && ghosts.take(4));
        assert_eq!(ghosts.units, 0);
    }

    #[test]
    fn what_came_back_does_not_pile_up() {
        let mut ghosts = Ghosts::new(1_000);
        for trace in 0..10_000 {
            ghosts.push(trace, 1);
            assert!(ghosts.take(trace));
        }
        assert!(ghosts.order.len() < 100, "{}", ghosts.order.len());
        ghosts.set_capacity(0);
        assert!(ghosts.table.is_empty());
    }
}
