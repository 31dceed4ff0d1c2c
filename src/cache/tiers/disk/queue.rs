//! What waits for the disk thread.
//!
//! Owns: its order and bounds. May touch: nothing outside this room.

use crate::cache::{
    store::{PurgeTarget, StoreKey, StoredBody},
    tiers::{purge::Purge, record::TierRecord},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// The content that may wait, in bytes.
pub(super) const MOST_WAITING: u64 = 64 * 1024 * 1024;

/// What a response that waits counts beside its content.
const EACH: u64 = 1024;

/// Purges that wait one by one. If there are more, all is purged in what is written down.
const MOST_PURGES: usize = 65_536;

/// Removed keys that are remembered.
const MOST_REMOVED: usize = 1 << 18;

/// Files removed before the next write.
const DOOMED_AT_ONCE: usize = 64;

/// What waits for the disk thread, and how many files are referred to.
#[derive(Debug, Default)]
pub(super) struct DiskQueue {
    waiting: Mutex<DiskWaiting>,
    wake: Condvar,
    /// Objects that somebody has.
    living: AtomicU64,
    /// What they take on disk.
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct DiskWaiting {
    purges: VecDeque<PendingPurge>,
    puts: VecDeque<DiskPut>,
    doomed: VecDeque<u64>,
    /// What `puts` weighs.
    weight: u64,
    /// How many were put, and purges asked for, so far.
    tickets: DiskTickets,
    /// What was removed while puts before it waited: its ticket then.
    removed: HashMap<StoreKey, u64>,
    /// All up to this ticket is removed.
    all_removed: Option<u64>,
    /// All files of earlier processes are found: they can't come back.
    found_all: bool,
    /// The disk thread has one of the puts.
    writing: bool,
    /// How many times the directory was opened. Files of earlier ones are not ours to remove.
    opening: u32,
    /// Nobody will write: puts are refused.
    shut: bool,
    ended: bool,
}

/// How many there were so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DiskTickets {
    /// Responses put.
    pub(super) puts: u64,
    /// Purges.
    pub(super) purges: u64,
}

/// A response to be written.
#[derive(Debug)]
pub(super) struct DiskPut {
    pub(super) key: StoreKey,
    pub(super) record: TierRecord,
    pub(super) content: StoredBody,
    /// From 1 on.
    pub(super) ticket: u64,
}

/// A purge to be written down.
#[derive(Clone, Debug)]
pub(super) struct PendingPurge {
    /// 0 while there is no index.
    pub(super) number: u64,
    pub(super) purge: Purge,
    /// From 1 on.
    pub(super) ticket: u64,
}

/// What is to be done next.
#[derive(Debug, Default)]
pub(super) struct DiskTodo {
    pub(super) purges: Vec<PendingPurge>,
    pub(super) put: Option<DiskPut>,
    pub(super) doomed: Vec<u64>,
    pub(super) ended: bool,
}

impl DiskQueue {
    /// Queues a response. Returns whether there is room.
    pub(super) fn put(&self, key: StoreKey, record: TierRecord, content: StoredBody) -> bool {
        let weight = content.len() + EACH;
        let mut waiting = self.lock();
        if waiting.shut || waiting.ended || waiting.weight + weight > MOST_WAITING {
            return false;
        }
        waiting.tickets.puts += 1;
        waiting.weight += weight;
        let ticket = waiting.tickets.puts;
        waiting.puts.push_back(DiskPut { key, record, content, ticket });
        drop(waiting);
        self.wake.notify_one();
        true
    }

    /// What was put under this key before is not to be kept. To be called before it is taken out of
    /// the index.
    pub(super) fn forget(&self, key: StoreKey) {
        let mut waiting = self.lock();
        if waiting.found_all && !waiting.writing && waiting.puts.is_empty() {
            return;
        }
        let ticket = waiting.tickets.puts;
        if waiting.removed.len() < MOST_REMOVED {
            waiting.removed.insert(key, ticket);
        } else {
            waiting.all_removed = Some(ticket);
        }
    }

    /// Whether a key was removed after this ticket was given. Files that were found have none: 0.
    pub(super) fn is_forgotten(&self, key: StoreKey, ticket: u64) -> bool {
        let waiting = self.lock();
        let removed = waiting.removed.get(&key).copied().max(waiting.all_removed);
        removed.is_some_and(|removed| removed >= ticket)
    }

    /// Queues a purge. The caller sees to it that purges come in the order of their numbers. Returns
    /// its ticket.
    pub(super) fn purge(&self, number: u64, purge: Purge) -> u64 {
        let mut waiting = self.lock();
        waiting.tickets.purges += 1;
        let ticket = waiting.tickets.purges;
        let mut pending = PendingPurge { number, purge, ticket };
        if waiting.purges.len() >= MOST_PURGES {
            waiting.purges.clear();
            pending.purge = Purge::new(&PurgeTarget::All, false);
        }
        waiting.purges.push_back(pending);
        drop(waiting);
        self.wake.notify_one();
        ticket
    }

    /// Gives all purges that wait new numbers.
    pub(super) fn renumber(&self, mut number: impl FnMut(&Purge) -> u64) {
        for pending in &mut self.lock().purges {
            pending.number = number(&pending.purge);
        }
    }

    /// Purges that could not be written down come first the next time.
    pub(super) fn give_back(&self, purges: Vec<PendingPurge>) {
        let mut waiting = self.lock();
        purges.into_iter().rev().for_each(|purge| waiting.purges.push_front(purge));
    }

    /// What is next. Waits for it, at most this long if that is said. Puts or purges are left where
    /// they are if they are not asked for.
    pub(super) fn take(&self, puts: bool, purges: bool, wait: Option<Duration>) -> DiskTodo {
        let until = wait.map(|wait| Instant::now() + wait);
        let mut waiting = self.lock();
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let is_over = waiting.ended || left.is_some_and(|left| left.is_zero());
            if is_over || waiting.has(puts, purges) {
                return waiting.take(puts, purges);
            }
            waiting = match left {
                Some(left) => {
                    let woken = self.wake.wait_timeout(waiting, left);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Waits until the tier ends, at most this long. Returns whether it has ended.
    pub(super) fn ends_within(&self, wait: Duration) -> bool {
        let waiting = self.lock();
        let waited = self.wake.wait_timeout_while(waiting, wait, |waiting| !waiting.ended);
        waited.map_or_else(|it| it.into_inner().0.ended, |it| it.0.ended)
    }

    /// All files that are to be removed.
    pub(super) fn take_doomed(&self) -> Vec<u64> {
        self.lock().doomed.drain(..).collect()
    }

    /// Takes puts from now on. Returns the number of this opening of the directory.
    pub(super) fn open(&self) -> u32 {
        let mut waiting = self.lock();
        waiting.shut = false;
        waiting.opening
    }

    /// Refuses puts from now on, and drops those that wait. Returns how many. What was opened is not
    /// ours any more: no file of it goes.
    pub(super) fn shut(&self) -> u64 {
        let mut waiting = self.lock();
        (waiting.shut, waiting.found_all) = (true, false);
        waiting.opening += 1;
        waiting.weight = 0;
        waiting.doomed.clear();
        let puts = std::mem::take(&mut waiting.puts);
        drop(waiting);
        puts.len() as u64
    }

    /// All files of earlier processes have been found.
    pub(super) fn has_found_all(&self) {
        self.lock().found_all = true;
    }

    /// The tier ends: no file goes any more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.wake.notify_all();
    }

    /// How many there were so far.
    pub(super) fn tickets(&self) -> DiskTickets {
        self.lock().tickets
    }

    /// Objects that somebody has, and what they take on disk in bytes.
    pub(super) fn kept(&self) -> (u64, u64) {
        (self.living.load(SeqCst), self.bytes.load(SeqCst))
    }

    /// There is one more object.
    pub(super) fn is_kept(&self, bytes: u64) {
        self.living.fetch_add(1, SeqCst);
        self.bytes.fetch_add(bytes, SeqCst);
    }

    /// Nobody has this object any more: its file is to be removed.
    pub(super) fn doom(&self, number: u64, opening: u32, bytes: u64) {
        let mut waiting = self.lock();
        let is_first = waiting.doomed.is_empty();
        if !waiting.ended && waiting.opening == opening {
            waiting.doomed.push_back(number);
        }
        drop(waiting);
        // Who sees the count without it finds the file among the doomed.
        self.living.fetch_sub(1, SeqCst);
        self.bytes.fetch_sub(bytes, SeqCst);
        if is_first {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, DiskWaiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskWaiting {
    fn has(&self, puts: bool, purges: bool) -> bool {
        puts && !self.puts.is_empty()
            || purges && !self.purges.is_empty()
            || !self.doomed.is_empty()
    }

    fn take(&mut self, puts: bool, purges: bool) -> DiskTodo {
        let put = if puts { self.puts.pop_front() } else { None };
        self.writing = put.is_some();
        if let Some(put) = &put {
            self.weight -= put.content.len() + EACH;
        } else if puts && self.found_all {
            // Nothing is left that was put before.
            self.removed = HashMap::new();
            self.all_removed = None;
        }
        let purges = if purges { self.purges.len() } else { 0 };
        let doomed = self.doomed.len().min(DOOMED_AT_ONCE);
        DiskTodo {
            purges: self.purges.drain(..purges).collect(),
            put,
            doomed: self.doomed.drain(..doomed).collect(),
            ended: self.ended,
        }
    }
}
