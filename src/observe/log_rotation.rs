//! A log's file, and moving it aside when it is large or old.
//!
//! Owns: when that is, and the order of renames. May touch: [`crate::settings`]. `access.log`
//! becomes `access.log.1`, which becomes `access.log.2` before. Each step is one rename, so a line
//! is in some file at any time. If a step fails, lines go on to the file that is open. Called by
//! [`super::log_output`].

use super::log_file::LogFile;
use crate::settings::Rotation;
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// After a failure the next try is so much later.
const AGAIN: Duration = Duration::from_secs(60);

/// While a reload changes `rotate`, there are two writers for a file for a moment. They take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A log's file, which is moved aside by these rules.
pub struct RotatedFile {
    path: PathBuf,
    file: LogFile,
    rules: Option<Rotation>,
    /// Bytes in the file.
    size: u64,
    /// The number of the period in which its lines are.
    period: u64,
    /// Until when a failure is not tried again.
    blocked: Option<Instant>,
}

impl RotatedFile {
    /// Opens `path`.
    pub fn open(path: &Path, rules: Option<&Rotation>) -> io::Result<Self> {
        let mut opened = Self {
            path: path.to_owned(),
            file: LogFile::open(path)?,
            rules: rules.cloned(),
            size: 0,
            period: 0,
            blocked: None,
        };
        opened.look(SystemTime::now())?;
        Ok(opened)
    }

    /// Opens the path anew, after the file was moved away.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = LogFile::open(&self.path)?;
        self.look(SystemTime::now())
    }

    /// Writes lines, each with its end. Returns how many were lost.
    pub fn write(&mut self, lines: &[u8]) -> u64 {
        self.write_at(lines, SystemTime::now())
    }

    fn write_at(&mut self, mut lines: &[u8], now: SystemTime) -> u64 {
        let mut lost = 0;
        while !lines.is_empty() {
            match self.fitting(lines, now) {
                0 => self.rotate(now),
                fitting => {
                    lost += self.file.write(&lines[..fitting]);
                    self.size += fitting as u64;
                    lines = &lines[fitting..];
                }
            }
        }
        lost
    }

    /// How many bytes of the lines belong into the open file; 0 if it is to be moved aside first.
    fn fitting(&mut self, lines: &[u8], now: SystemTime) -> usize {
        let Some(rules) = &self.rules else { return lines.len() };
        if self.blocked.is_some_and(|until| Instant::now() < until) {
            return lines.len();
        }
        let period = period(rules, now);
        if self.size == 0 {
            self.period = period;
        }
        if self.period != period {
            return 0;
        }
        let room = rules.size.map_or(u64::MAX, |size| size.saturating_sub(self.size));
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        let end = |line: Option<usize>| line.map_or(0, |at| at + 1);
        match end(memchr::memrchr(b'\n', &lines[..room])) {
            // A line that is larger than a file has one of its own.
            0 if self.size == 0 => end(memchr::memchr(b'\n', lines)).max(1),
            fitting => fitting,
        }
    }

    fn rotate(&mut self, now: SystemTime) {
        let keep = self.rules.as_ref().map_or(1, |it| it.keep);
        let moved = self.move_aside(keep).and_then(|()| self.look(now));
        let path = self.path.display();
        match moved {
            Ok(()) => {
                if self.blocked.take().is_some() {
                    tracing::info!(%path, "the access log is rotated again");
                }
            }
            Err(error) => {
                if self.blocked.replace(Instant::now() + AGAIN).is_none() {
                    tracing::error!(%path, %error, "the access log can't be rotated; lines still go to the old file");
                }
            }
        }
    }

    /// Renames the files, and opens a new one. If the file is not at its path any more, somebody else
    /// has moved it, and a new one is opened only.
    fn move_aside(&mut self, keep: u32) -> io::Result<()> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.file.metadata()?;
        // Of a symbolic link, the file is moved, and the link stays.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let is_ours = match fs::metadata(&path) {
            Ok(found) => (found.dev(), found.ino()) == (open.dev(), open.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if is_ours {
            shift(&path, keep)?;
        }
        let fresh = LogFile::open(&path)?;
        if is_ours {
            fresh.set_permissions(open.permissions())?;
        }
        self.file = fresh;
        Ok(())
    }

    /// Looks what is in the file that has been opened.
    fn look(&mut self, now: SystemTime) -> io::Result<()> {
        let found = self.file.metadata()?;
        if self.rules.is_some() && !found.is_file() {
            let path = self.path.display();
            tracing::warn!(%path, "the access log can't be rotated: it is no regular file");
            self.rules = None;
        }
        self.size = found.len();
        let last = if found.len() == 0 { now } else { found.modified()? };
        self.period = self.rules.as_ref().map_or(0, |it| period(it, last));
        Ok(())
    }
}

/// The number of the period that `now` is in.
fn period(rules: &Rotation, now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let every = rules.every.map_or(u128::MAX, |it| it.as_millis().max(1));
    u64::try_from(since / every).unwrap_or(u64::MAX)
}

/// `log.2` becomes `log.3`, `log.1` becomes `log.2`, `log` becomes `log.1`. What is past the last
/// one is removed.
fn shift(path: &Path, keep: u32) -> io::Result<()> {
    let absent = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
    };
    let mut past = keep + 1;
    while fs::remove_file(numbered(path, past)).is_ok() {
        past += 1;
    }
    for number in (1..keep).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1)).or_else(absent)?;
    }
    // Somebody else may have moved it in this moment.
    fs::rename(path, numbered(path, 1)).or_else(absent)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules(size: Option<u64>, every: Option<u64>, keep: u32) -> Rotation {
        Rotation { size, every: every.map(Duration::from_secs), keep }
    }

    /// The names and contents of the files, the oldest first.
    fn files(directory: &Path) -> Vec<(String, String)> {
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|it| it.unwrap().path())
            .map(|it| (it.display().to_string(), fs::read_to_string(&it).unwrap()))
            .map(|(name, text)| (name.rsplit('/').next().unwrap().to_owned(), text))
            .collect();
        let age = |name: &str| {
            name.rsplit('.').next().and_then(|it| it.parse::<u32>().ok()).unwrap_or_default()
        };
        files.sort_by_key(|(name, _)| std::cmp::Reverse(age(name)));
        files
    }

    proptest! {
        #[test]
        fn whatever_the_sizes_no_line_is_lost_or_torn(
            size in 4..60u64,
            batches in prop::collection::vec(prop::collection::vec(0..40usize, 1..6), 1..12),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("log");
            let mut file = RotatedFile::open(&path, Some(&rules(Some(size), None, 1000))).unwrap();
            let mut all = String::new();
            for batch in batches {
                let lines: String = batch.iter().map(|length| "x".repeat(*length) + "\n").collect();
                prop_assert_eq!(file.write(lines.as_bytes()), 0);
                all += &lines;
            }
            let files = files(directory.path());
            prop_assert_eq!(files.iter().map(|it| it.1.as_str()).collect::<String>(), all);
            for (name, text) in files {
                prop_assert!(text.ends_with('\n'), "{}", name);
                prop_assert!(text.len() as u64 <= size || text.lines().count() == 1, "{}", name);
            }
        }
    }

    #[test]
    fn each_period_has_a_file_and_the_last_few_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = RotatedFile::open(&path, Some(&rules(None, Some(3600), 2))).unwrap();
        let hour = |number: u64| UNIX_EPOCH + Duration::from_secs(3600 * number + 1800);
        for (number, line) in [(1, "a\n"), (1, "b\n"), (2, "c\n"), (9, "d\n"), (10, "e\n")] {
            file.write_at(line.as_bytes(), hour(number));
        }
        let text = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        assert_eq!(
            files(directory.path()),
            [text("log.2", "c\n"), text("log.1", "d\n"), text("log", "e\n")]
        );
    }

    #[test]
    fn a_file_that_others_moved_is_left_where_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = RotatedFile::open(&path, Some(&rules(Some(4), None, 3))).unwrap();
        file.write(b"one\n");
        fs::rename(&path, directory.path().join("elsewhere")).unwrap();
        fs::write(&path, "z\n").unwrap();
        file.write(b"two\n");
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(
            (read("elsewhere"), read("log.1"), read("log")),
            ("one\n".into(), "z\n".into(), "two\n".into())
        );
    }

    #[test]
    fn what_can_t_be_renamed_is_written_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = RotatedFile::open(&path, Some(&rules(Some(4), None, 1))).unwrap();
        fs::create_dir_all(directory.path().join("log.1/in-the-way")).unwrap();
        assert_eq!(file.write(b"one\ntwo\nthree\n"), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        fs::remove_dir_all(directory.path().join("log.1")).unwrap();
        file.blocked = Some(Instant::now());
        assert_eq!(file.write(b"four\n"), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
        assert!(file.blocked.is_none());
    }

    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        fs::write(&real, "one\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        let mut file = RotatedFile::open(&link, Some(&rules(Some(4), None, 3))).unwrap();
        file.write(b"two\n");
        assert_eq!(fs::read_to_string(&link).unwrap(), "two\n");
        assert_eq!(fs::read_to_string(directory.path().join("real.1")).unwrap(), "one\n");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
