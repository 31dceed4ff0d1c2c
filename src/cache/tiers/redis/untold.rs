//! The purges that this process made: those that Redis was not told yet, and the last ones.
//!
//! Owns: two bounded lists. May touch: nothing outside this room.

use crate::cache::{store::PurgeTarget, tiers::purge::Purge};
use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, Instant},
};

/// So many are in a list.
const MOST: usize = 16_384;

/// So long a purge is told again to a Redis that has lost it.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A purge that this process made.
#[derive(Clone, Debug)]
pub(super) struct OwnPurge {
    id: u64,
    made: Instant,
    /// What it purges.
    pub(super) purge: Purge,
}

#[derive(Debug, Default)]
struct Lists {
    last_id: u64,
    made: VecDeque<OwnPurge>,
    untold: VecDeque<OwnPurge>,
}

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Untold {
    lists: Mutex<Lists>,
    waiting: AtomicUsize,
}

impl Untold {
    /// A new purge. It does not wait yet.
    pub(super) fn made(&self, purge: Purge) -> OwnPurge {
        let mut lists = self.lock();
        lists.last_id += 1;
        let own = OwnPurge { id: lists.last_id, made: Instant::now(), purge };
        if lists.made.len() == MOST {
            lists.made.pop_front();
        }
        lists.made.push_back(own.clone());
        own
    }

    /// It could not be told: it waits. If too many wait, one of everything takes their place.
    pub(super) fn wait(&self, own: OwnPurge) {
        let mut lists = self.lock();
        lists.untold.push_back(own);
        self.bound(&mut lists);
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Acquire)
    }

    /// The first of those that wait.
    pub(super) fn first(&self, most: usize) -> Vec<OwnPurge> {
        self.lock().untold.iter().take(most).cloned().collect()
    }

    /// Redis has it.
    pub(super) fn told(&self, own: &OwnPurge) {
        let mut lists = self.lock();
        if let Some(at) = lists.untold.iter().position(|it| it.id == own.id) {
            lists.untold.remove(at);
        }
        self.waiting.store(lists.untold.len(), Release);
    }

    /// Redis has lost what it was told: all that was made lately waits again.
    pub(super) fn tell_again(&self) {
        let mut lists = self.lock();
        lists.made.retain(|it| it.made.elapsed() < REMEMBERED);
        let Lists { made, untold, .. } = &mut *lists;
        untold.retain(|it| made.binary_search_by_key(&it.id, |made| made.id).is_err());
        untold.extend(made.iter().cloned());
        self.bound(&mut lists);
    }

    fn bound(&self, lists: &mut Lists) {
        if lists.untold.len() > MOST {
            lists.last_id += 1;
            let purge = Purge::new(&PurgeTarget::All, false);
            lists.untold.clear();
            lists.untold.push_back(OwnPurge { id: lists.last_id, made: Instant::now(), purge });
        }
        self.waiting.store(lists.untold.len(), Release);
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str) -> Purge {
        Purge::new(&PurgeTarget::Tag(name.as_bytes()), true)
    }

    fn waiting(untold: &Untold) -> Vec<Purge> {
        untold.first(9).into_iter().map(|it| it.purge).collect()
    }

    #[test]
    fn what_was_not_told_waits_in_order() {
        let untold = Untold::default();
        let all = ["a", "b", "c"].map(|name| untold.made(tag(name)));
        assert_eq!(untold.waiting(), 0);
        for own in &all {
            untold.wait(own.clone());
        }
        untold.told(&all[1]);
        assert_eq!((waiting(&untold), untold.waiting()), (vec![tag("a"), tag("c")], 2));
        untold.tell_again();
        assert_eq!(waiting(&untold), ["a", "b", "c"].map(tag));
    }

    #[test]
    fn too_many_are_one_of_everything() {
        let untold = Untold::default();
        for number in 0..MOST {
            untold.wait(untold.made(tag(&number.to_string())));
        }
        assert_eq!(untold.waiting(), MOST);
        untold.tell_again();
        assert_eq!(untold.waiting(), MOST);
        untold.wait(untold.made(tag("more")));
        assert_eq!(waiting(&untold), [Purge::new(&PurgeTarget::All, false)]);
        assert_eq!(untold.waiting(), 1);
        // Of what was made, the last ones are known.
        untold.tell_again();
        assert_eq!(untold.waiting(), 1);
    }
}
