//! The file of the audit: one line of JSON for every change that was asked for.
//!
//! Owns: a thread that writes, because a disk may hang. May touch: nothing outside this room. The
//! file is opened for each line, so it may be moved away at any time.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
};

/// So many lines may wait for the disk.
const MOST: usize = 1024;

/// A file that lines are added to.
pub struct AuditFile {
    path: PathBuf,
    lines: SyncSender<String>,
}

impl AuditFile {
    /// Starts its thread. The file is made when the first line comes.
    pub fn start(path: &Path) -> io::Result<Self> {
        let (lines, come) = sync_channel(MOST);
        let file = path.to_owned();
        thread::Builder::new().name("audit".into()).spawn(move || write_all(&file, &come))?;
        Ok(Self { path: path.to_owned(), lines })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, without waiting for the disk. The daemon's log has the same, so a line that finds
    /// no room is only told of.
    pub fn add(&self, line: String) {
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            tracing::error!(path = %self.path.display(), "the audit log does not take lines: does its disk hang?");
        }
    }
}

/// Until the last sender is gone.
fn write_all(path: &Path, lines: &Receiver<String>) {
    let mut failed = false;
    for line in lines {
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path);
        let written = file.and_then(|mut it| it.write_all(line.as_bytes()));
        if let Err(error) = &written
            && !failed
        {
            tracing::error!(path = %path.display(), %error, "the audit log can't be written");
        }
        failed = written.is_err();
    }
}
