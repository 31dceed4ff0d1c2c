//! Finding what earlier processes have left.
//!
//! Owns: how far it has come. May touch: nothing outside this room. It goes on a few files at a
//! time, as purges and new responses must not wait for it.

use super::{
    object::DiskObject,
    past::PastPurges,
    place::{DiskPlace, object_path},
    reading::{NotRead, is_lost, read_head},
    tier::{DiskTier, OpenDisk},
};
use crate::cache::{
    store::{PurgeState, Seq, StoreKey, StoredEntry},
    tiers::{key::TierKey, record::TierRecord},
};
use std::{io, sync::atomic::Ordering::Relaxed, time::Duration};

/// Files looked at in a step.
const FILES: usize = 16;

/// The time before the next step, after one that failed.
const STALLED: Duration = Duration::from_millis(200);

/// What is still to be found.
#[derive(Debug)]
pub(super) struct DiskFinding {
    past: PastPurges,
    /// Directories that are listed.
    directories: u16,
    /// Files that are listed and not looked at. The oldest last, once all are listed.
    numbers: Vec<u64>,
    /// The greatest number of a file.
    greatest: u64,
    /// The last step has ended early, for a reason that may pass.
    stalled: bool,
}

impl DiskFinding {
    /// With the purges of earlier processes.
    pub(super) fn new(past: PastPurges) -> Self {
        Self { past, directories: 0, numbers: Vec::new(), greatest: 0, stalled: false }
    }

    /// The number for a new file, once all are listed.
    pub(super) fn next_number(&self) -> Option<u64> {
        (self.directories > u16::from(u8::MAX)).then_some(self.greatest.saturating_add(1))
    }

    /// Whether all was found.
    pub(super) fn is_done(&self) -> bool {
        self.next_number().is_some() && self.numbers.is_empty()
    }

    /// When it is to go on.
    pub(super) fn wait(&self) -> Duration {
        if self.stalled { STALLED } else { Duration::ZERO }
    }

    /// Goes on a bit. Fails only if not even the names of the files can be had. Returns the numbers
    /// of files to be removed.
    pub(super) fn step(
        &mut self,
        place: &DiskPlace,
        tier: &DiskTier,
        open: &OpenDisk,
    ) -> io::Result<Vec<u64>> {
        let Ok(directory) = u8::try_from(self.directories) else {
            return Ok(self.look_at_files(place, tier, open));
        };
        let (numbers, foreign) = place.list(directory)?;
        tier.counts.damaged.fetch_add(foreign, Relaxed);
        self.numbers.extend(numbers);
        self.directories += 1;
        if self.next_number().is_some() {
            self.numbers.sort_unstable_by_key(|number| std::cmp::Reverse(*number));
            self.greatest = self.numbers.first().copied().unwrap_or_default();
        }
        Ok(Vec::new())
    }

    fn look_at_files(&mut self, place: &DiskPlace, tier: &DiskTier, open: &OpenDisk) -> Vec<u64> {
        let mut unwanted = Vec::new();
        self.stalled = false;
        let rest = self.numbers.len().saturating_sub(FILES);
        let mut numbers = self.numbers.split_off(rest);
        while let Some(number) = numbers.pop() {
            let is_kept = match read_head(&object_path(place.path(), number)) {
                Ok((record, length)) => self.keep(number, &record, length, tier, open),
                Err(NotRead::Damaged(why)) => {
                    tier.damaged(number, why);
                    false
                }
                Err(NotRead::Failed(error)) => {
                    tier.failed("a file can't be read", &error);
                    if !is_lost(&error) {
                        // Too many open files, for example.
                        numbers.push(number);
                        self.numbers.append(&mut numbers);
                        self.stalled = true;
                        return unwanted;
                    }
                    false
                }
            };
            if !is_kept {
                unwanted.push(number);
            }
        }
        unwanted
    }

    /// Returns whether the file is somebody's now.
    fn keep(
        &self,
        number: u64,
        record: &TierRecord,
        length: u32,
        tier: &DiskTier,
        open: &OpenDisk,
    ) -> bool {
        let key = StoreKey::from_u128(TierKey::name_of(&record.key));
        let state = self.past.state(record);
        // Later numbers are not given yet: another's file.
        if state == PurgeState::Dead || record.begun > open.start {
            return false;
        }
        let newer = open.store.peek(key).is_some_and(|it| it.entry.value().number() > number);
        if newer || tier.queue.is_forgotten(key, 0) {
            return false;
        }
        let Some(label) = record.label(Seq::from_number(open.start)) else { return false };
        let label = if state == PurgeState::Stale { label.staled() } else { label };
        let object = DiskObject::new(number, length, open.opening, &tier.queue);
        open.store.insert(key, StoredEntry::new(label, object));
        // Removed meanwhile.
        if tier.queue.is_forgotten(key, 0) {
            open.store.remove(key);
        }
        true
    }
}
