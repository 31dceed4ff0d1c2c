//! Purges of all URLs that begin with something: a short list.
//!
//! Owns: the list. May touch: nothing outside this room.
//!
//! What was fetched since the last of them doesn't look at it. Once a sweep has looked at all that
//! is stored, what was purged before it is gone from the list. A fetch that began before such a
//! purge and ends after the sweep is then not kept, whatever its URL is.

use std::sync::{
    PoisonError, RwLock,
    atomic::{
        AtomicU64,
        Ordering::{Acquire, Release},
    },
};

use super::seq::PurgeState;

/// So many are looked at one after another.
const MOST: usize = 64;

/// Purges by prefix.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    list: RwLock<Vec<Purged>>,
    /// The last one in the list.
    last: AtomicU64,
    /// Those up to here were dropped after a sweep.
    swept: AtomicU64,
}

#[derive(Debug)]
struct Purged {
    prefix: Box<[u8]>,
    soft: bool,
    number: u64,
}

impl Prefixes {
    /// What the purges mean for a stored URL that was fetched from `begun` on.
    pub(super) fn state(&self, url: &[u8], begun: u64) -> PurgeState {
        if self.last.load(Acquire) <= begun {
            return PurgeState::Alive;
        }
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let hits = |purged: &&Purged| purged.number > begun && url.starts_with(&purged.prefix);
        let states = list.iter().filter(hits).map(|purged| PurgeState::purged(purged.soft));
        states.max().unwrap_or(PurgeState::Alive)
    }

    /// Whether a fetch began before a purge that is no longer in the list. To be asked after
    /// [`Prefixes::state`]: then a purge is either seen there or here.
    pub(super) fn forgot(&self, begun: u64) -> bool {
        self.swept.load(Acquire) > begun
    }

    /// Adds one. Those that it makes pointless go.
    pub(super) fn purge(&self, prefix: &[u8], soft: bool, number: u64) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.retain(|old| !(old.prefix.starts_with(prefix) && (old.soft || !soft)));
        list.push(Purged { prefix: prefix.into(), soft, number });
        self.last.store(number, Release);
    }

    /// Whether a sweep should come before the next one.
    pub(super) fn are_many(&self) -> bool {
        self.list.read().unwrap_or_else(PoisonError::into_inner).len() >= MOST
    }

    /// Drops the older half of more than `most`, as if all that is stored had been looked at.
    pub(super) fn bound(&self, most: usize) {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let middle = list.get(list.len() / 2).map(|purged| purged.number);
        let are_more = list.len() > most;
        drop(list);
        if let Some(middle) = middle.filter(|_| are_more) {
            self.swept(middle);
        }
    }

    /// All that is stored was looked at, beginning after the purge `number`.
    pub(super) fn swept(&self, number: u64) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let dropped = list.iter().map(|purged| purged.number).filter(|old| *old <= number).max();
        if let Some(dropped) = dropped {
            self.swept.fetch_max(dropped, Release);
            list.retain(|purged| purged.number > number);
        }
        if list.is_empty() {
            self.last.store(0, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_hits_what_is_older() {
        let prefixes = Prefixes::default();
        prefixes.purge(b"http://a/x", true, 2);
        prefixes.purge(b"http://a/x/y", false, 3);
        let state = |url: &str, begun| prefixes.state(url.as_bytes(), begun);
        assert_eq!(state("http://a/x/y/z", 0), PurgeState::Dead);
        assert_eq!(state("http://a/xx", 1), PurgeState::Stale);
        assert_eq!(state("http://a/xx", 2), PurgeState::Alive);
        assert_eq!(state("http://a/", 0), PurgeState::Alive);
        prefixes.purge(b"http://a/", false, 4);
        assert_eq!(prefixes.list.read().unwrap().len(), 1);
    }

    #[test]
    fn a_bounded_list_forgets_its_older_half() {
        let prefixes = Prefixes::default();
        for number in 1..=4 {
            prefixes.purge(&[number], false, u64::from(number));
            prefixes.bound(3);
        }
        assert_eq!(prefixes.list.read().unwrap().len(), 1);
        assert!(prefixes.forgot(2) && !prefixes.forgot(3));
    }

    #[test]
    fn what_was_swept_stops_late_fetches_only() {
        let prefixes = Prefixes::default();
        prefixes.purge(b"a", false, 1);
        prefixes.purge(b"b", false, 2);
        prefixes.swept(1);
        assert_eq!(prefixes.state(b"a", 0), PurgeState::Alive);
        assert_eq!(prefixes.state(b"b", 0), PurgeState::Dead);
        assert!(prefixes.forgot(0) && !prefixes.forgot(1));
    }
}
