//! The work on a directory that is open: writing, removing, noting purges.
//!
//! Owns: the order of it. May touch: nothing outside this room.

use super::{
    finding::DiskFinding,
    object::DiskObject,
    past::PastPurges,
    place::{DiskFault, DiskPlace},
    purge_log::{FoundLog, PurgeLog},
    queue::{DiskPut, PendingPurge},
    reading,
    stats::DiskState,
    tier::{DiskTier, OpenDisk},
};
use crate::cache::store::{PurgeState, Seq, Store, StoredEntry, Sweep, Walk};
use std::{
    io,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::{Duration, Instant},
};

/// The largest response that shelves are made for, in bytes. What waits can't be larger.
const LARGEST: u64 = super::queue::MOST_WAITING;

/// Numbers left out at each start. A process that was killed may have given them to purges that it
/// had not written down yet, and to responses fetched after these.
const SKIPPED: u64 = 1 << 24;

/// From this length on, in bytes, the log is written anew.
const LONG_LOG: u64 = if cfg!(test) { 2 * 1024 } else { 4 * 1024 * 1024 };

/// If it can't be now: when it has grown by so many bytes.
const LONGER_LOG: u64 = LONG_LOG / 8;

/// Purges that can't be written down are tried again after this time.
const LOG_RETRY: Duration = Duration::from_secs(1);

/// A directory that is open, as the disk thread has it.
pub(super) struct DiskWork {
    tier: Arc<DiskTier>,
    open: Arc<OpenDisk>,
    place: DiskPlace,
    log: PurgeLog,
    finding: Option<DiskFinding>,
    /// The number of the next file.
    next: u64,
    /// Files that could not be removed.
    stuck: Vec<u64>,
    /// The log is written anew when it is longer.
    long_log: u64,
    /// When purges may be written down again, after a failure.
    log_at: Option<Instant>,
}

/// Why the work has ended.
pub(super) enum WorkEnded {
    /// The tier is no more.
    TierEnded,
    /// The directory can't be used.
    Fault(DiskFault),
}

impl DiskWork {
    /// Opens the directory, and lets all use it.
    pub(super) fn open(tier: &Arc<DiskTier>) -> Result<Self, DiskFault> {
        let place = DiskPlace::open(&tier.path)?;
        let floor = tier.now();
        let (log, purges) = match PurgeLog::read(place.path())? {
            FoundLog::Good(mut log, purges) => {
                log.append([(log.last().max(floor) + SKIPPED, None)])?;
                (log, purges)
            }
            FoundLog::Missing | FoundLog::Damaged => {
                if place.has_objects()? {
                    let (cache, path) = (&tier.name, place.path().display());
                    tracing::warn!(cache, %path, "the purges of a cache's disk can't be read, so what is there can't be trusted: it is removed");
                    place.discard()?;
                }
                (PurgeLog::create(place.path(), floor + SKIPPED)?, Vec::new())
            }
        };
        if place.has_trash() {
            let path = place.path().to_owned();
            let name = format!("disk-{}-trash", tier.name);
            thread::Builder::new().name(name).spawn(move || DiskPlace::empty_trash(&path))?;
        }
        let capacity = tier.max_size.load(SeqCst);
        let start = log.last();
        let open = Arc::new(OpenDisk {
            store: Store::new(capacity, LARGEST).starting_at(Seq::from_number(start)),
            start,
            floor,
            opening: tier.queue.open(),
            finding: AtomicBool::new(true),
            reads: reading::start(&tier.name, place.path())?,
        });
        tier.begin(&open);
        Ok(Self {
            tier: Arc::clone(tier),
            open,
            place,
            log,
            finding: Some(DiskFinding::new(PastPurges::new(&purges))),
            next: 0,
            stuck: Vec::new(),
            long_log: LONG_LOG,
            log_at: None,
        })
    }

    /// Works until the tier ends or the directory can't be used any more.
    pub(super) fn run(mut self) -> WorkEnded {
        loop {
            if let Err(fault) = self.find() {
                return WorkEnded::Fault(fault);
            }
            let can_write = self.next > 0;
            let wait = match (&self.finding, self.log_at) {
                (Some(finding), _) => Some(finding.wait()),
                (None, Some(at)) => Some(at.saturating_duration_since(Instant::now())),
                (None, None) => None,
            };
            let can_log = self.log_at.is_none_or(|at| at <= Instant::now());
            if can_log {
                self.log_at = None;
            }
            let todo = self.tier.queue.take(can_write, can_log, wait);
            let noted = self.note(todo.purges);
            if todo.ended {
                return WorkEnded::TierEnded;
            }
            self.remove(todo.doomed);
            let put = todo.put.map_or(Ok(()), |put| self.put(put));
            if let Err(fault) = noted.and(put) {
                return WorkEnded::Fault(fault);
            }
            if self.log.length() >= self.long_log && self.finding.is_none() {
                self.shorten_log();
            }
        }
    }

    /// Goes on finding what is there.
    fn find(&mut self) -> Result<(), DiskFault> {
        let Some(finding) = &mut self.finding else { return Ok(()) };
        let unwanted = finding.step(&self.place, &self.tier, &self.open)?;
        if let (0, Some(next)) = (self.next, finding.next_number()) {
            self.next = next;
        }
        if finding.is_done() {
            self.finding = None;
            self.open.finding.store(false, SeqCst);
            self.tier.queue.has_found_all();
            self.tier.set_state(DiskState::Ready);
        }
        self.remove(unwanted);
        Ok(())
    }

    /// Writes down purges.
    fn note(&mut self, purges: Vec<PendingPurge>) -> Result<(), DiskFault> {
        let Some(ticket) = purges.last().map(|last| last.ticket) else { return Ok(()) };
        if !self.place.is_ours() {
            self.tier.queue.give_back(purges);
            return Err(DiskFault::Gone);
        }
        let entries = purges.iter().map(|pending| (pending.number, Some(&pending.purge)));
        if let Err(error) = self.log.append(entries) {
            self.tier.failed("purges can't be written down", &error);
            self.tier.queue.give_back(purges);
            self.log_at = Some(Instant::now() + LOG_RETRY);
            return Ok(());
        }
        self.tier.progress.send_modify(|progress| progress.purges = ticket);
        Ok(())
    }

    fn remove(&mut self, numbers: Vec<u64>) {
        for number in numbers {
            if let Err(error) = self.place.remove(number) {
                self.tier.failed("a file can't be removed", &error);
                self.stuck.push(number);
            }
        }
    }

    fn put(&mut self, put: DiskPut) -> Result<(), DiskFault> {
        let (key, ticket) = (put.key, put.ticket);
        let written = self.write(put);
        let counts = &self.tier.counts;
        if !matches!(written, Ok(true)) {
            // What it was to replace is not current.
            self.open.store.remove(key);
        }
        let mut fault = None;
        match written {
            Ok(true) => drop(counts.writes.fetch_add(1, Relaxed)),
            Ok(false) => drop(counts.dropped.fetch_add(1, Relaxed)),
            Err(error) => {
                self.tier.failed("a response can't be written", &error);
                fault = (!self.place.is_ours()).then_some(DiskFault::Gone);
            }
        }
        self.tier.progress.send_modify(|progress| progress.puts = ticket);
        fault.map_or(Ok(()), Err)
    }

    /// Returns whether it is kept.
    fn write(&mut self, put: DiskPut) -> io::Result<bool> {
        let DiskPut { key, mut record, content, ticket } = put;
        let (store, queue) = (&self.open.store, &self.tier.queue);
        if record.begun < self.open.start {
            // It was fetched while there was no index, after all that is in the log; or before that,
            // and who knows what was purged since.
            if record.begun < self.open.floor {
                return Ok(false);
            }
            record.begun = self.open.start;
        }
        let Some(label) = record.label(Seq::from_number(record.begun)) else { return Ok(false) };
        let is_dead = store.generations().state(&label) == PurgeState::Dead;
        // A file of what was purged must never be there: after a new log, nobody would know.
        if is_dead || record.begun > store.now().number() || queue.is_forgotten(key, ticket) {
            return Ok(false);
        }
        let bytes = record.write(&content);
        let length = match u32::try_from(bytes.len()) {
            Ok(length) if u64::from(length) <= store.largest() => length,
            _ => return Ok(false),
        };
        let number = self.next;
        self.next += 1;
        self.place.write(number, &bytes)?;
        let object = DiskObject::new(number, length, self.open.opening, queue);
        let is_kept = store.insert(key, StoredEntry::new(label, object));
        if queue.is_forgotten(key, ticket) {
            store.remove(key);
        }
        Ok(is_kept)
    }

    /// Writes the log anew, without purges. Before, all goes that the log says something of.
    fn shorten_log(&mut self) {
        let last = self.log.last();
        let shortened = match self.remove_purged() {
            Ok(true) => PurgeLog::create(self.place.path(), last).map(Some),
            other => other.map(|_| None),
        };
        match shortened {
            Ok(Some(log)) => (self.log, self.long_log) = (log, LONG_LOG),
            Ok(None) => self.long_log = self.log.length() + LONGER_LOG,
            Err(error) => {
                self.tier.failed("the purges can't be written anew", &error);
                self.long_log = self.log.length() + LONGER_LOG;
            }
        }
    }

    /// Removes the files of all that was purged, softly too. Returns whether none is left for sure.
    fn remove_purged(&mut self) -> io::Result<bool> {
        let store = &self.open.store;
        let mut sweep = Sweep::default();
        while !store.sweep(&mut sweep, u32::MAX).finished {}
        let (mut walk, mut stale) = (Walk::default(), Vec::new());
        while store.walk(&mut walk, u32::MAX, |key, entry| {
            if store.generations().state(entry.label()) == PurgeState::Stale {
                stale.push(key);
            }
        }) {}
        for key in stale {
            drop(store.remove(key));
        }
        // Somebody may be reading a file that the index no longer has.
        let (living, _) = self.tier.queue.kept();
        if living != store.stats().objects {
            return Ok(false);
        }
        let doomed = self.tier.queue.take_doomed();
        let stuck = std::mem::take(&mut self.stuck);
        self.remove(doomed);
        self.remove(stuck);
        if !self.stuck.is_empty() {
            return Ok(false);
        }
        self.place.sync()?;
        Ok(true)
    }
}
