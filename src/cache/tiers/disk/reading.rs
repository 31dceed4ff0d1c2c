//! Reading objects: a few threads, so that a slow disk keeps nobody else waiting.
//!
//! Owns: these threads, and what a file must be to be believed. May touch: nothing outside this
//! room.

use super::{object::DiskObject, place::object_path};
use crate::cache::{
    store::StoredEntry,
    tiers::record::{PREFIX, RecordSizes, TierRecord, Unreadable},
};
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use tokio::sync::oneshot;

/// Reads that may wait.
const MOST_READS: usize = 256;

/// Read at once of a file whose head is wanted: the most that most heads have, in bytes.
const HEAD: usize = 2048;

/// An object to be read.
pub(super) struct DiskRead {
    /// Kept here, so that its file stays.
    pub(super) entry: Arc<StoredEntry<DiskObject>>,
    pub(super) reply: oneshot::Sender<Result<(TierRecord, Bytes), NotRead>>,
}

/// Why an object can't be had.
#[derive(Debug)]
pub(super) enum NotRead {
    /// The system says no.
    Failed(io::Error),
    /// It is not what was written.
    Damaged(Unreadable),
}

/// Starts the threads. They end when nobody has the sender any more.
pub(super) fn start(name: &str, path: &Path) -> io::Result<SyncSender<DiskRead>> {
    let (sender, reads) = sync_channel(MOST_READS);
    let reads = Arc::new(Mutex::new(reads));
    let threads = thread::available_parallelism().map_or(2, usize::from).clamp(2, 4);
    for number in 0..threads {
        let (reads, path) = (Arc::clone(&reads), path.to_owned());
        let name = format!("disk-{name}-{number}");
        thread::Builder::new().name(name).spawn(move || read_all(&reads, &path))?;
    }
    Ok(sender)
}

fn read_all(reads: &Mutex<Receiver<DiskRead>>, path: &Path) {
    let next = || reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(DiskRead { entry, reply }) = next() {
        // Who asked may have given up.
        if !reply.is_closed() {
            let object = entry.value();
            let _ = reply.send(read(&object_path(path, object.number()), object.length()));
        }
    }
}

fn read(path: &Path, length: u64) -> Result<(TierRecord, Bytes), NotRead> {
    let mut bytes = Vec::with_capacity(length as usize + 1);
    let file = File::open(path).map_err(NotRead::Failed)?;
    file.take(length + 1).read_to_end(&mut bytes).map_err(NotRead::Failed)?;
    if bytes.len() as u64 != length {
        return Err(NotRead::Damaged(Unreadable::Cut));
    }
    TierRecord::read(&bytes.into()).map_err(NotRead::Damaged)
}

/// What is before the content of an object, and the length of its file.
pub(super) fn read_head(path: &PathBuf) -> Result<(TierRecord, u32), NotRead> {
    let file = File::open(path).map_err(NotRead::Failed)?;
    let length = file.metadata().map_err(NotRead::Failed)?.len();
    let mut bytes = vec![0; HEAD.min(usize::try_from(length).unwrap_or(HEAD))];
    file.read_exact_at(&mut bytes, 0).map_err(NotRead::Failed)?;
    let sizes = RecordSizes::read(&bytes).map_err(NotRead::Damaged)?;
    let before = PREFIX + sizes.head as usize;
    let Some(length) = u32::try_from(length)
        .ok()
        .filter(|length| (before as u64).checked_add(sizes.content) == Some(u64::from(*length)))
    else {
        return Err(NotRead::Damaged(Unreadable::Cut));
    };
    if before > bytes.len() {
        bytes.resize(before, 0);
        file.read_exact_at(&mut bytes, 0).map_err(NotRead::Failed)?;
    }
    let (prefix, rest) = bytes.split_at(PREFIX);
    let head = &rest[..sizes.head as usize];
    let record = TierRecord::read_head(prefix, head).map_err(NotRead::Damaged)?;
    Ok((record, length))
}

/// Whether it is about the file: that it is no more, or can't be read. Others may pass.
pub(super) fn is_lost(error: &io::Error) -> bool {
    let unreadable = rustix::io::Errno::IO.raw_os_error();
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(unreadable)
}
