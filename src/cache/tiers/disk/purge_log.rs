//! The purges of a disk tier, written down.
//!
//! Owns: the file `purges`. May touch: nothing outside this room.
//!
//! After 8 bytes of magic, each entry is: the length of the rest (4 bytes, the lowest first), the
//! CRC-32 of these 4, the CRC-32 of the rest, and the rest: a number and a [`Purge`] or none, as
//! `postcard` writes them. An entry without a purge says that later numbers are greater. What the
//! end of the file lacks was never promised to anybody; any other damage makes all of it worthless.

use super::place::{private, sync_directory};
use crate::cache::tiers::purge::Purge;
use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The last byte is the version.
const MAGIC: [u8; 8] = *b"shvpurg\x01";

/// The bytes before the rest of an entry.
const BEFORE: usize = 12;

/// Greater numbers are for nobody: purges are not so many, and marks have no room for them.
const GREATEST: u64 = 1 << 43;

/// The file, open.
#[derive(Debug)]
pub(super) struct PurgeLog {
    file: File,
    /// What of it is written down for good, in bytes.
    length: u64,
    /// The last number in it.
    last: u64,
}

/// What was found.
#[derive(Debug)]
pub(super) enum FoundLog {
    /// Nothing.
    Missing,
    /// Something that can't be trusted.
    Damaged,
    /// Purges, in the order of their numbers.
    Good(PurgeLog, Vec<(u64, Purge)>),
}

impl PurgeLog {
    /// Reads what is there. A torn end is cut off.
    pub(super) fn read(directory: &Path) -> io::Result<FoundLog> {
        let file = match private().open(path(directory)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FoundLog::Missing),
            file => file?,
        };
        let bytes = fs::read(path(directory))?;
        let Some((entries, length)) = parse(&bytes) else { return Ok(FoundLog::Damaged) };
        if length < bytes.len() {
            file.set_len(length as u64)?;
            file.sync_all()?;
        }
        let last = entries.last().map_or(0, |(number, _)| *number);
        let purges = entries.into_iter().filter_map(|(number, purge)| Some((number, purge?)));
        Ok(FoundLog::Good(Self { file, length: length as u64, last }, purges.collect()))
    }

    /// A new one in the place of the one that may be there, whose numbers begin after `last`.
    pub(super) fn create(directory: &Path, last: u64) -> io::Result<Self> {
        let unfinished = directory.join("tmp/purges");
        let _ = fs::remove_file(&unfinished);
        let file = private().create_new(true).open(&unfinished)?;
        let mut bytes = MAGIC.to_vec();
        write(&mut bytes, last, None);
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        fs::rename(unfinished, path(directory))?;
        sync_directory(directory)?;
        Ok(Self { file, length: bytes.len() as u64, last })
    }

    /// Adds these, or that numbers go on after one. When it returns, they are written down for good.
    /// When it fails, it can be tried again.
    pub(super) fn append<'a>(
        &mut self,
        entries: impl IntoIterator<Item = (u64, Option<&'a Purge>)>,
    ) -> io::Result<()> {
        let (mut bytes, mut last) = (Vec::new(), self.last);
        for (number, purge) in entries {
            write(&mut bytes, number, purge);
            last = number;
        }
        // What an earlier try has left goes first.
        self.file.set_len(self.length)?;
        self.file.write_all_at(&bytes, self.length)?;
        self.file.sync_data()?;
        (self.length, self.last) = (self.length + bytes.len() as u64, last);
        Ok(())
    }

    /// Its length, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The last number in it.
    pub(super) fn last(&self) -> u64 {
        self.last
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("purges")
}

fn write(bytes: &mut Vec<u8>, number: u64, purge: Option<&Purge>) {
    let rest = postcard::to_allocvec(&(number, purge)).unwrap_or_default();
    let length = (rest.len() as u32).to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&crc32fast::hash(&length).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&rest).to_le_bytes());
    bytes.extend_from_slice(&rest);
}

type NotedPurge = (u64, Option<Purge>);

/// The entries, and the bytes up to the end of the last whole one. [`None`] if it can't be trusted.
fn parse(bytes: &[u8]) -> Option<(Vec<NotedPurge>, usize)> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let mut entries: Vec<NotedPurge> = Vec::new();
    while let Some((before, after)) = rest.split_at_checked(BEFORE) {
        // A file may grow before what is in it is written.
        if rest.iter().all(|byte| *byte == 0) {
            break;
        }
        let ([length, length_sum, sum], _) = before.as_chunks::<4>() else { return None };
        if crc32fast::hash(length).to_le_bytes() != *length_sum {
            return None;
        }
        let Some((entry, after)) = after.split_at_checked(u32::from_le_bytes(*length) as usize)
        else {
            break;
        };
        if crc32fast::hash(entry).to_le_bytes() != *sum {
            return None;
        }
        let entry: NotedPurge = postcard::from_bytes(entry).ok()?;
        let last = entries.last().map(|(number, _)| *number);
        if entry.0 > GREATEST || last.is_some_and(|last| entry.0 <= last) {
            return None;
        }
        entries.push(entry);
        rest = after;
    }
    // The first was there from the beginning.
    (!entries.is_empty()).then_some((entries, bytes.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::store::PurgeTarget;

    fn tag(name: &str) -> Purge {
        Purge::new(&PurgeTarget::Tag(name.as_bytes()), false)
    }

    fn sample() -> (tempfile::TempDir, Vec<(u64, Purge)>) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        let mut log = PurgeLog::create(directory.path(), 10).unwrap();
        let purges: Vec<_> = (11..15).map(|number| (number, tag(&format!("t{number}")))).collect();
        for (number, purge) in &purges {
            log.append([(*number, Some(purge))]).unwrap();
        }
        (directory, purges)
    }

    /// What is read after the file was changed.
    fn changed(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<(u64, Purge)>> {
        let mut bytes = fs::read(path(directory)).unwrap();
        change(&mut bytes);
        fs::write(path(directory), bytes).unwrap();
        match PurgeLog::read(directory).unwrap() {
            FoundLog::Good(_, purges) => Some(purges),
            _ => None,
        }
    }

    #[test]
    fn purges_come_back() {
        let (directory, purges) = sample();
        let FoundLog::Good(mut log, read) = PurgeLog::read(directory.path()).unwrap() else {
            panic!("not good");
        };
        assert_eq!((read, log.last()), (purges.clone(), 14));
        log.append([(20, None)]).unwrap();
        log.append([(21, Some(&tag("x")))]).unwrap();
        let all = changed(directory.path(), |_| {}).unwrap();
        assert_eq!(all, [purges, vec![(21, tag("x"))]].concat());
    }

    #[test]
    fn a_torn_end_is_cut_off() {
        let (directory, purges) = sample();
        let length = fs::metadata(path(directory.path())).unwrap().len() as usize;
        for cut in 1..17 {
            let (directory, _) = sample();
            let read = changed(directory.path(), |bytes| bytes.truncate(length - cut)).unwrap();
            assert_eq!(read, purges[..3]);
            assert_eq!(changed(directory.path(), |_| {}).unwrap(), purges[..3]);
        }
        let read = changed(directory.path(), |bytes| bytes.extend([0; 100]));
        assert_eq!(read.unwrap(), purges);
    }

    #[test]
    fn any_other_damage_is_found() {
        let (_, purges) = sample();
        let length = fs::metadata(path(sample().0.path())).unwrap().len() as usize;
        for at in 0..length {
            let (directory, _) = sample();
            let read = changed(directory.path(), |bytes| bytes[at] ^= 0x10);
            assert_eq!(read, None, "{at} {purges:?}");
        }
        let (directory, _) = sample();
        assert_eq!(changed(directory.path(), Vec::clear), None);
    }
}
