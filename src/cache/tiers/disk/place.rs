//! The directory of a disk tier.
//!
//! Owns: what is in it, and its lock. May touch: nothing outside this room.
//!
//! | name | what |
//! |---|---|
//! | `lock` | locked by the process that uses the directory |
//! | `purges` | the purges: see [`PurgeLog`](super::purge_log::PurgeLog) |
//! | `objects/XX/N` | responses: the number of each, and its low byte, in hexadecimal |
//! | `tmp/N` | a response that is being written |
//! | `trash/N/` | objects that nobody may trust: they are removed behind |

use std::{
    ffi::OsStr,
    fmt, fs,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// A directory that this process has locked.
#[derive(Debug)]
pub(super) struct DiskPlace {
    path: PathBuf,
    lock: File,
}

/// Why a directory can't be used.
#[derive(Debug)]
pub(super) enum DiskFault {
    /// Another process has it.
    Locked,
    /// It is not what it was when it was opened.
    Gone,
    /// The system says no.
    Failed(io::Error),
}

impl DiskFault {
    /// What to do about it.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Locked => "give each process a `path` of its own, or end the other one",
            Self::Gone => "leave it alone while sheave runs",
            Self::Failed(error) => match error.kind() {
                ErrorKind::PermissionDenied => "let sheave's user write there, or change `path`",
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on that disk",
                ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                    "`path` is to be a directory"
                }
                ErrorKind::ReadOnlyFilesystem => "change `path`, or mount that disk for writing",
                _ => "see whether that disk is in order, or change `path`",
            },
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => out.write_str("another process uses it"),
            Self::Gone => out.write_str("it was removed or replaced while it was used"),
            Self::Failed(error) => error.fmt(out),
        }
    }
}

impl From<io::Error> for DiskFault {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl DiskPlace {
    /// Makes what is not there, and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, DiskFault> {
        make(path)?;
        let lock = private().truncate(false).create(true).open(path.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DiskFault::Locked,
            TryLockError::Error(error) => DiskFault::Failed(error),
        })?;
        let place = Self { path: path.to_owned(), lock };
        place.make_rest()?;
        for leftover in fs::read_dir(path.join("tmp"))? {
            let _ = fs::remove_file(leftover?.path());
        }
        Ok(place)
    }

    fn make_rest(&self) -> io::Result<()> {
        for name in ["tmp", "trash", "objects"] {
            make(&self.path.join(name))?;
        }
        (0..=u8::MAX).try_for_each(|low| make(&self.directory(low)))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the directory is still the one that was locked.
    pub(super) fn is_ours(&self) -> bool {
        let (Ok(there), Ok(locked)) = (fs::metadata(self.path.join("lock")), self.lock.metadata())
        else {
            return false;
        };
        (there.dev(), there.ino()) == (locked.dev(), locked.ino())
    }

    /// Writes an object. It is there as a whole or not at all, unless the power fails.
    pub(super) fn write(&self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.path.join(format!("tmp/{number:x}"));
        let written = private()
            .create_new(true)
            .open(&unfinished)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&unfinished, object_path(&self.path, number)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes an object. It need not be there.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(object_path(&self.path, number)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The numbers of the objects in one of the directories, and how many files there are not ours:
    /// they are removed.
    pub(super) fn list(&self, low: u8) -> io::Result<(Vec<u64>, u64)> {
        let (mut numbers, mut foreign) = (Vec::new(), 0);
        for entry in fs::read_dir(self.directory(low))? {
            let entry = entry?;
            let is_file = entry.file_type()?.is_file();
            let number = number(&entry.file_name()).filter(|it| is_file && *it as u8 == low);
            if number.is_none() {
                foreign += 1;
                let _ = fs::remove_file(entry.path());
            }
            numbers.extend(number);
        }
        Ok((numbers, foreign))
    }

    /// Whether there is any object.
    pub(super) fn has_objects(&self) -> io::Result<bool> {
        for low in 0..=u8::MAX {
            if fs::read_dir(self.directory(low))?.next().is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves all objects out of the way, for good.
    pub(super) fn discard(&self) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_nanos());
        let trash = self.path.join("trash");
        fs::rename(self.path.join("objects"), trash.join(format!("{now:x}")))?;
        sync_directory(&trash)?;
        sync_directory(&self.path)?;
        self.make_rest()
    }

    /// Removes what was discarded. May take long: it is for a thread that does nothing else.
    pub(super) fn empty_trash(path: &Path) {
        let Ok(all) = fs::read_dir(path.join("trash")) else { return };
        for one in all.flatten() {
            let _ = fs::remove_dir_all(one.path());
        }
    }

    /// Whether something was discarded.
    pub(super) fn has_trash(&self) -> bool {
        fs::read_dir(self.path.join("trash")).is_ok_and(|mut all| all.next().is_some())
    }

    /// Returns when the removed objects stay removed even if the power fails.
    pub(super) fn sync(&self) -> io::Result<()> {
        (0..=u8::MAX).try_for_each(|low| sync_directory(&self.directory(low)))
    }

    fn directory(&self, low: u8) -> PathBuf {
        self.path.join(format!("objects/{low:02x}"))
    }
}

/// Where an object is.
pub(super) fn object_path(path: &Path, number: u64) -> PathBuf {
    path.join(format!("objects/{:02x}/{number:x}", number as u8))
}

/// Returns when what was made, removed and renamed in a directory is written down.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// For files that only our user may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn number(name: &OsStr) -> Option<u64> {
    let name = name.to_str()?;
    let number = u64::from_str_radix(name, 16).ok()?;
    // There is one way to write it.
    (format!("{number:x}") == name).then_some(number)
}
