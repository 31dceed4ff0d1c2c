//! The file that the access log is written to.
//!
//! Owns: the file, or stdout, and whether its last line has an end. May touch: nothing outside this
//! room. Called by [`super::log_output`] and [`super::log_rotation`].

use std::{
    fs::{File, Metadata, OpenOptions, Permissions},
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    thread,
    time::Duration,
};

/// The time until another write to a full pipe is tried.
const PAUSE: Duration = Duration::from_millis(10);

/// A file that lines are appended to.
pub struct LogFile<W = File> {
    out: W,
    /// Whether the last write broke off within a line.
    torn: bool,
    /// Whether the last write failed. A failure is logged once.
    failing: bool,
}

impl LogFile {
    /// Opens a file to append to it.
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(path).map(Self::over)
    }

    /// The daemon's standard output, or standard error. The library's own handles are not used: that
    /// of stdout would keep a part of the bytes that it could not write.
    pub fn standard(stream: impl AsFd) -> io::Result<Self> {
        Ok(Self::over(File::from(stream.as_fd().try_clone_to_owned()?)))
    }

    /// What the system knows of the file.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.out.metadata()
    }

    /// Sets who may read and write it.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.out.set_permissions(permissions)
    }
}

impl<W: Write> LogFile<W> {
    fn over(out: W) -> Self {
        Self { out, torn: false, failing: false }
    }

    /// Writes `lines`, each with its end. Returns how many were lost.
    pub fn write(&mut self, lines: &[u8]) -> u64 {
        if lines.is_empty() {
            return 0;
        }
        // If a line was cut off, for example by a full disk, the next one begins on a new line.
        if self.torn && self.put(b"\n").1.is_none() {
            self.torn = false;
        }
        let (written, error) = if self.torn { (0, None) } else { self.put(lines) };
        if written == lines.len() {
            if self.failing {
                tracing::info!("the access log can be written again");
            }
            self.failing = false;
            return 0;
        }
        if let Some(error) = error
            && !self.failing
        {
            tracing::error!(%error, "the access log can't be written; its lines are lost");
        }
        self.failing = true;
        self.torn = self.torn || written > 0 && lines[written - 1] != b'\n';
        memchr::memchr_iter(b'\n', &lines[written..]).count() as u64
    }

    /// Writes as much as possible. Returns how much that was, and the error that ended it.
    fn put(&mut self, bytes: &[u8]) -> (usize, Option<io::Error>) {
        let mut written = 0;
        while written < bytes.len() {
            match self.out.write(&bytes[written..]) {
                Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.1 - self.0.len());
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_that_are_counted_and_never_joins_two() {
        let mut file = LogFile::over(Disk(Vec::new(), 10));
        assert_eq!(file.write(b"one\ntwo\nthree\nfour\n"), 2);
        assert_eq!(file.write(b"five\n"), 1);
        file.out.1 = 100;
        assert_eq!(file.write(b"six\n"), 0);
        assert_eq!(String::from_utf8_lossy(&file.out.0), "one\ntwo\nth\nsix\n");
        // After a cut between two lines, no line is torn.
        file.out.1 = file.out.0.len() + 4;
        assert_eq!(file.write(b"abc\ndef\n"), 1);
        file.out.1 = 100;
        assert_eq!(file.write(b"ghi\n"), 0);
        assert!(file.out.0.ends_with(b"six\nabc\nghi\n"));
    }
}
