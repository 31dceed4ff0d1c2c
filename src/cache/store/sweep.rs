//! Purging, and going through all that is stored, a few steps at a time.
//!
//! Owns: how far one has come. May touch: nothing outside this room.

use std::sync::Arc;

use super::{
    entry::{StoredEntry, Weighed},
    generations::PurgeTarget,
    key::StoreKey,
    seq::{PurgeState, Seq},
    shards::Store,
};

/// Places looked at under one lock.
const STEPS: u32 = 64;

/// How far one has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    shard: usize,
    place: u32,
}

/// A sweep under way: the caller keeps it from call to call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sweep {
    walk: Walk,
    /// The last purge when this round began.
    began: Option<Seq>,
    /// The same of the last round.
    done: Option<Seq>,
}

/// What some steps of a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Entries that went.
    pub freed: usize,
    /// Whether all has been looked at. The next call begins a new round.
    pub finished: bool,
}

impl<V: Weighed> Store<V> {
    /// Purges. When it returns, no lookup finds what was fetched before; soft ones find it stale.
    ///
    /// Takes no longer for a million objects than for one, and so doesn't know how many there are:
    /// [`purged`](super::StoreStats::purged) counts them when they go. Only the 65th prefix since the last whole sweep
    /// waits for one.
    pub fn purge(&self, target: &PurgeTarget<'_>, soft: bool) -> Seq {
        if matches!(target, PurgeTarget::Prefix(_)) && self.generations.prefixes().are_many() {
            let mut sweep = Sweep::default();
            while !self.sweep(&mut sweep, u32::MAX).finished {}
        }
        self.generations.purge(target, soft)
    }

    /// The same without ever waiting for a sweep: for a while in which none may run, as what was
    /// stored by another process is still being found.
    pub fn purge_unswept(&self, target: &PurgeTarget<'_>, soft: bool) -> Seq {
        self.generations.purge(target, soft)
    }

    /// Frees what was purged, looking at about `steps` entries. For the control thread, every so
    /// often; a new round does nothing if there was no purge since the last one.
    pub fn sweep(&self, sweep: &mut Sweep, steps: u32) -> Swept {
        let now = self.now();
        if sweep.began.is_none() && sweep.done == Some(now) {
            return Swept { freed: 0, finished: true };
        }
        let began = *sweep.began.get_or_insert(now);
        let (mut dead, mut left, mut freed) = (Vec::new(), steps.max(1), 0);
        while left > 0 {
            let batch = left.min(STEPS);
            left -= batch;
            let shard = &self.shards[sweep.walk.shard];
            let more = self.step(&mut sweep.walk, batch, |key, entry| {
                if self.generations.check(entry.label()) == PurgeState::Dead {
                    dead.push((key, Arc::clone(entry)));
                }
            });
            freed += dead.drain(..).filter(|(key, entry)| shard.remove_dead(*key, entry)).count();
            if !more {
                self.generations.prefixes().swept(began.0);
                *sweep = Sweep { walk: Walk::default(), began: None, done: Some(began) };
                return Swept { freed, finished: true };
            }
        }
        Swept { freed, finished: false }
    }

    /// Shows what is stored, those that were purged left out, looking at about `steps` entries.
    /// Returns whether there is more. An entry that is there all the time is shown once.
    pub fn walk(
        &self,
        walk: &mut Walk,
        steps: u32,
        mut show: impl FnMut(StoreKey, &StoredEntry<V>),
    ) -> bool {
        let mut left = steps.max(1);
        while left > 0 {
            let batch = left.min(STEPS);
            left -= batch;
            let more = self.step(walk, batch, |key, entry| {
                if self.generations.check(entry.label()) != PurgeState::Dead {
                    show(key, entry);
                }
            });
            if !more {
                return false;
            }
        }
        true
    }

    /// One lock's worth. Returns whether there is more.
    fn step(
        &self,
        walk: &mut Walk,
        steps: u32,
        show: impl FnMut(StoreKey, &Arc<StoredEntry<V>>),
    ) -> bool {
        let Some(shard) = self.shards.get(walk.shard) else {
            return false;
        };
        match shard.read().walk(walk.place, steps, show) {
            Some(place) => walk.place = place,
            None => *walk = Walk { shard: walk.shard + 1, place: 0 },
        }
        walk.shard < self.shards.len()
    }
}
