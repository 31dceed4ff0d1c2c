//! The purges of Redis as this process knows them, and what they mean for what Redis has.
//!
//! Owns: the tier's own purges, and where in them a generation is. May touch: nothing outside this
//! room.

use super::{
    checkpoints::Checkpoints,
    ledger::{LedgerState, LogEntry},
};
use crate::cache::{
    store::{Generations, PurgeState, PurgeTarget, Seq},
    tiers::{purge::Purge, record::TierRecord},
};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedSender;

/// So many purges by prefix are known. They are looked at one after another.
const MOST_PREFIXES: usize = 512;

#[derive(Debug)]
struct Course {
    /// None: Redis was never asked.
    epoch: Option<u64>,
    /// Of all generations that were ever seen.
    highest: u64,
    /// Those up to here are applied, and not heard.
    hear_from: u64,
    checkpoints: Checkpoints<Seq>,
}

/// What is applied.
#[derive(Debug)]
pub(super) struct Applied {
    made: Instant,
    generations: Generations,
    course: Mutex<Course>,
    now: AtomicU64,
    heard: UnboundedSender<Purge>,
}

/// What a new epoch, or the first one, begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Restart {
    /// What Redis said.
    pub(super) told: LedgerState,
    /// The generation before its log.
    pub(super) log_began: u64,
}

impl Applied {
    /// Nothing yet. What others purged is sent to `heard`.
    pub(super) fn new(heard: UnboundedSender<Purge>) -> Self {
        let generations = Generations::default();
        let checkpoints = Checkpoints::new(0, generations.now());
        Self {
            made: Instant::now(),
            generations,
            course: Mutex::new(Course { epoch: None, highest: 0, hear_from: 0, checkpoints }),
            now: AtomicU64::new(0),
            heard,
        }
    }

    /// The generation of the last purge that is applied.
    pub(super) fn now(&self) -> u64 {
        self.now.load(Acquire)
    }

    /// The epoch, once it is known.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.lock().epoch
    }

    /// The highest generation that was ever seen.
    pub(super) fn highest(&self) -> u64 {
        self.lock().highest
    }

    /// What is older can't be judged.
    pub(super) fn base(&self) -> u64 {
        self.lock().checkpoints.base()
    }

    /// A purge of our own, before Redis knows it.
    pub(super) fn own(&self, purge: &Purge) {
        self.purge(purge);
    }

    /// Another epoch, or the first one. Returns whether purges were lost that nobody can tell.
    pub(super) fn restart(&self, restart: Restart) -> bool {
        let Restart { told, log_began } = restart;
        let mut course = self.lock();
        // The log is whole if it begins with the epoch. On a first connect it is enough that it
        // reaches back to our own beginning.
        let age = self.made.elapsed() + Duration::from_secs(1);
        let before_us = told.now.saturating_sub(age.as_micros() as u64);
        let reaches = course.epoch.is_none() && log_began <= before_us;
        course.hear_from = if course.epoch.is_none() { before_us } else { 0 };
        let lost = log_began != told.began && !reaches;
        // What was fetched in the old epoch is not to be judged in the new one.
        let base = if course.epoch.is_some() { course.highest + 1 } else { 0 };
        let base = base.max(log_began);
        course.epoch = Some(told.epoch);
        course.checkpoints = Checkpoints::new(base, self.generations.now());
        self.moved(&mut course);
        if lost {
            self.hear_all();
        }
        lost
    }

    /// Redis, in the same epoch, has lost all above this generation.
    pub(super) fn rewind(&self, generation: u64) {
        let mut course = self.lock();
        course.checkpoints.rewind(generation);
        if course.checkpoints.last() == 0 {
            course.checkpoints = Checkpoints::new(generation, self.generations.now());
        }
        self.moved(&mut course);
    }

    /// Applies entries of the log, in order. Returns whether some before them were lost.
    pub(super) fn apply(&self, entries: Vec<LogEntry>) -> bool {
        let mut lost = false;
        let mut course = self.lock();
        for entry in entries {
            if entry.before > course.checkpoints.last() {
                lost = true;
                self.lose(&mut course, entry.before);
            }
            if let Some(purge) = entry.purge {
                self.purge(&purge);
                // Memory and disk know our own, and may have been filled since. Those before our own
                // beginning say nothing of what we have. The keeper is gone at the end only.
                if !entry.own && entry.generation > course.hear_from {
                    let _ = self.heard.send(purge);
                }
            }
            course.checkpoints.push(entry.generation, self.generations.now());
        }
        self.moved(&mut course);
        lost
    }

    /// The log has ended, and Redis had said that it was at this generation. Returns whether some
    /// were lost.
    pub(super) fn ended(&self, generation: u64) -> bool {
        let mut course = self.lock();
        let lost = generation > course.checkpoints.last();
        if lost {
            self.lose(&mut course, generation);
            self.moved(&mut course);
        }
        lost
    }

    /// Whether what Redis has under a key in this epoch is stale; None if it is dead.
    pub(super) fn is_stale(&self, epoch: u64, record: &TierRecord) -> Option<bool> {
        let is_now = self.epoch() == Some(epoch);
        is_now.then(|| self.is_stale_since(record.begun, record)).flatten()
    }

    /// The same of what was fetched when the generation was this one, wherever it is kept.
    pub(super) fn is_stale_since(&self, generation: u64, record: &TierRecord) -> Option<bool> {
        let begun = self.lock().checkpoints.at(generation)?;
        match self.generations.verdict(&record.label(begun)?) {
            PurgeState::Alive => Some(false),
            PurgeState::Stale => Some(true),
            PurgeState::Dead => None,
        }
    }

    fn purge(&self, purge: &Purge) {
        self.generations.purge(&purge.target(), purge.soft);
        if matches!(purge.target(), PurgeTarget::Prefix(_)) {
            self.generations.bound_prefixes(MOST_PREFIXES);
        }
    }

    /// Up to this generation, purges are not known.
    fn lose(&self, course: &mut Course, generation: u64) {
        course.checkpoints = Checkpoints::new(generation, self.generations.now());
        self.hear_all();
    }

    fn hear_all(&self) {
        let _ = self.heard.send(Purge::new(&PurgeTarget::All, false));
    }

    fn moved(&self, course: &mut Course) {
        let last = course.checkpoints.last();
        course.highest = course.highest.max(last);
        self.now.store(last, Release);
    }

    fn lock(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tiers::record::KeptRecord;
    use tokio::sync::mpsc::unbounded_channel;

    /// Redis's clock.
    const NOW: u64 = 1_000_000_000;

    fn told(epoch: u64, began: u64, generation: u64) -> LedgerState {
        LedgerState { epoch, generation, began, now: NOW }
    }

    fn record(begun: u64) -> TierRecord {
        let (key, url, kept) = (Vec::new(), "http://a/b".into(), KeptRecord::Variants(Vec::new()));
        TierRecord { key, url, tags: vec![b"t".to_vec()], begun, shared: 0, kept }
    }

    fn entry(generation: u64, before: u64, tag: &str) -> LogEntry {
        let purge = Purge::new(&PurgeTarget::Tag(tag.as_bytes()), false);
        LogEntry { generation, before, purge: Some(purge), own: false }
    }

    #[test]
    fn a_log_that_is_younger_than_we_are_has_lost_something() {
        for (log_began, is_lost) in [(NOW, true), (NOW - 60_000_000, false), (5, false)] {
            let (to_hear, mut heard) = unbounded_channel();
            let applied = Applied::new(to_hear);
            let restart = Restart { told: told(1, 5, NOW), log_began };
            assert_eq!(applied.restart(restart), is_lost);
            assert_eq!(heard.try_recv().is_ok(), is_lost);
            assert_eq!((applied.now(), applied.epoch()), (log_began, Some(1)));
        }
    }

    #[test]
    fn what_the_old_epoch_had_is_dead_in_the_new_one() {
        let (to_hear, _heard) = unbounded_channel();
        let applied = Applied::new(to_hear);
        applied.restart(Restart { told: told(1, 10, 10), log_began: 10 });
        applied.apply(vec![entry(20, 10, "x")]);
        assert_eq!(applied.is_stale(1, &record(10)), Some(false));
        assert_eq!(applied.is_stale(2, &record(10)), None);
        // Its clock was put back.
        assert!(!applied.restart(Restart { told: told(2, 5, 30), log_began: 5 }));
        assert_eq!((applied.base(), applied.now()), (21, 21));
        assert!(!applied.apply(vec![entry(7, 5, "y"), entry(30, 7, "t")]));
        let stale = [20, 21, 30, 31].map(|begun| applied.is_stale(2, &record(begun)));
        assert_eq!(stale, [None, None, Some(false), None]);
    }

    #[test]
    fn our_own_purge_holds_before_redis_knows_it() {
        let (to_hear, mut heard) = unbounded_channel();
        let applied = Applied::new(to_hear);
        applied.restart(Restart { told: told(1, 10, 10), log_began: 10 });
        applied.own(&Purge::new(&PurgeTarget::Tag(b"t"), true));
        assert_eq!(applied.is_stale(1, &record(10)), Some(true));
        assert!(heard.try_recv().is_err());
        assert!(!applied.ended(10) && applied.ended(11));
        assert_eq!(heard.try_recv(), Ok(Purge::new(&PurgeTarget::All, false)));
        assert_eq!(applied.is_stale(1, &record(10)), None);
    }
}
