//! A file, as the index knows it.
//!
//! Owns: when the file goes: with the last who has the object. May touch: nothing outside this
//! room.

use super::queue::DiskQueue;
use crate::cache::store::Weighed;
use std::sync::Arc;

/// Files take room in blocks of so many bytes.
const BLOCK: u64 = 4096;

/// A file of the tier. Dropping it asks the disk thread to remove the file, unless the tier ends.
#[derive(Debug)]
pub(super) struct DiskObject {
    number: u64,
    length: u32,
    opening: u32,
    queue: Arc<DiskQueue>,
}

impl DiskObject {
    /// The file of this number, of so many bytes, in this opening of the directory.
    pub(super) fn new(number: u64, length: u32, opening: u32, queue: &Arc<DiskQueue>) -> Self {
        queue.is_kept(on_disk(length));
        Self { number, length, opening, queue: Arc::clone(queue) }
    }

    /// Its file's number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The file's length, in bytes.
    pub(super) fn length(&self) -> u64 {
        u64::from(self.length)
    }
}

impl Weighed for DiskObject {
    fn weight(&self) -> u64 {
        on_disk(self.length)
    }
}

impl Drop for DiskObject {
    fn drop(&mut self) {
        self.queue.doom(self.number, self.opening, on_disk(self.length));
    }
}

/// What a file of so many bytes takes.
fn on_disk(length: u32) -> u64 {
    u64::from(length).next_multiple_of(BLOCK)
}
