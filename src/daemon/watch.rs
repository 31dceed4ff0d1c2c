//! Notices that the config, or a certificate, has changed on disk.
//!
//! Owns: which directories are watched, and the last contents of the files; it has a thread of its
//! own, because a disk may hang. May touch: [`crate::origin`]; the file system. It watches
//! directories and not files: an editor's rename or a swapped link in Kubernetes does not change
//! the file that was watched. Changes that the system does not report, as on NFS, are found by a
//! check every few seconds.

use crate::origin::dial::is_ours;
use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    collections::{HashMap, HashSet},
    future::pending,
    hash::BuildHasher,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, time::timeout};

/// How long to wait after a change: programs often write in several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// The time between checks without a hint.
const LOOK: Duration = Duration::from_secs(5);
/// A check that takes longer is logged.
const HANGS: Duration = Duration::from_secs(5);

/// Larger files, such as databases of countries, are compared by size and times only: they can't be
/// read every few seconds.
const LARGE: u64 = 1 << 20;

/// The contents of every file, as a hash.
pub type Seen = HashMap<PathBuf, u64>;

/// The contents of the files now. An error means that they can't be read for lack of descriptors or
/// memory.
pub fn look(files: &[PathBuf]) -> io::Result<Seen> {
    files.iter().map(|file| Ok((file.clone(), fingerprint(file)?))).collect()
}

/// Watches files for changed contents.
pub struct Watch {
    tell: Sender<Message>,
    changes: mpsc::UnboundedReceiver<u64>,
    /// How often the files were set. A change that was found before the last time does not count.
    epoch: u64,
    /// Since when the thread has been looking at the disk.
    looking: Arc<Mutex<Option<Instant>>>,
    /// Whether it was logged that the look takes too long.
    hangs: bool,
}

enum Message {
    /// The system says that something has changed.
    Hint,
    /// The files to watch from now on, and their contents when they were loaded, if known.
    Files(u64, Vec<PathBuf>, Option<Seen>),
    End,
}

impl Watch {
    /// Watches `files`, whose contents now are the known ones.
    pub fn new(files: Vec<PathBuf>) -> io::Result<Self> {
        let loaded = look(&files)?;
        let (tell, messages) = channel();
        let (changed, hear) = mpsc::unbounded_channel();
        let looking = Arc::default();
        let watcher = watcher(tell.clone());
        let looker = Looker {
            watcher,
            directories: HashSet::new(),
            seen: Seen::new(),
            looking: Arc::clone(&looking),
            changed,
        };
        thread::Builder::new().name("watch".into()).spawn(move || looker.run(&messages))?;
        let mut watch = Self { tell, changes: hear, epoch: 0, looking, hangs: false };
        watch.set(files, Some(loaded));
        Ok(watch)
    }

    /// Watches these files from now on, for contents that differ from `loaded`, or from those seen
    /// last if `loaded` is unknown.
    pub fn set(&mut self, files: Vec<PathBuf>, loaded: Option<Seen>) {
        self.epoch += 1;
        // This can't fail: the watching thread does not end before `self`.
        let _ = self.tell.send(Message::Files(self.epoch, files, loaded));
    }

    /// Waits until the contents of the files differ from those that were loaded.
    pub async fn changed(&mut self) {
        loop {
            match timeout(LOOK, self.changes.recv()).await {
                Ok(Some(epoch)) if epoch == self.epoch => return,
                Ok(Some(_)) => {}
                Ok(None) => pending().await,
                Err(_) => self.look_for_a_hang(),
            }
        }
    }

    fn look_for_a_hang(&mut self) {
        let looking = *self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = looking.is_some_and(|since| since.elapsed() >= HANGS);
        if hangs && !self.hangs {
            tracing::warn!(
                "the config and the files that it names can't be read: does their disk hang? \
                 changes are not noticed until it answers"
            );
        } else if self.hangs && !hangs {
            tracing::info!("the config and the files that it names can be read again");
        }
        self.hangs = hangs;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.tell.send(Message::End);
    }
}

/// Passes on that the system has reported a change. Many reports count as one.
fn watcher(tell: Sender<Message>) -> Option<(RecommendedWatcher, Arc<AtomicBool>)> {
    let hinted = Arc::new(AtomicBool::new(false));
    let pending = Arc::clone(&hinted);
    let hear = move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(event.kind)) && !pending.swap(true, Relaxed) {
            let _ = tell.send(Message::Hint);
        }
    };
    let watcher = RecommendedWatcher::new(hear, Config::default()).inspect_err(|error| {
        tracing::warn!(%error, "the system does not tell of changed files; looking every 5 s");
    });
    Some((watcher.ok()?, hinted))
}

/// What the watching thread has.
struct Looker {
    /// Whether the system has reported a change since the last look.
    watcher: Option<(RecommendedWatcher, Arc<AtomicBool>)>,
    directories: HashSet<PathBuf>,
    seen: Seen,
    looking: Arc<Mutex<Option<Instant>>>,
    changed: mpsc::UnboundedSender<u64>,
}

impl Looker {
    fn run(mut self, messages: &Receiver<Message>) {
        let (mut epoch, mut told) = (0, false);
        let mut next = None;
        loop {
            match next.take().unwrap_or_else(|| messages.recv_timeout(LOOK)) {
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Message::Files(number, files, loaded)) => {
                    self.busy(|it| it.set(files, loaded));
                    (epoch, told) = (number, false);
                    if number == 1 {
                        continue;
                    }
                    // A hint about a change since the load may have come earlier, so look again. If
                    // more reloads follow soon, only the last one needs the look.
                    next = messages.recv_timeout(SETTLE).ok().map(Ok);
                    if next.is_some() {
                        continue;
                    }
                }
                Ok(Message::Hint) => {
                    thread::sleep(SETTLE);
                    // A change from now on needs another look.
                    if let Some((_, hinted)) = &self.watcher {
                        hinted.store(false, Relaxed);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            // A change that was reported is dealt with when the files are set next.
            if !told && self.busy(|it| it.has_news()) {
                told = true;
                let _ = self.changed.send(epoch);
            }
        }
    }

    /// Does work that a disk may block.
    fn busy<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let looking = Arc::clone(&self.looking);
        let set = |since| *looking.lock().unwrap_or_else(PoisonError::into_inner) = since;
        set(Some(Instant::now()));
        let done = work(self);
        set(None);
        done
    }

    fn has_news(&self) -> bool {
        // A lack of descriptors is not a change.
        self.seen.iter().any(|(file, held)| fingerprint(file).is_ok_and(|now| now != *held))
    }

    fn set(&mut self, files: Vec<PathBuf>, loaded: Option<Seen>) {
        let wanted: HashSet<PathBuf> = files.iter().map(|file| parent(file)).collect();
        if let Some((watcher, _)) = &mut self.watcher {
            for gone in self.directories.difference(&wanted) {
                let _ = watcher.unwatch(gone);
            }
            for new in wanted.difference(&self.directories) {
                if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                    let directory = new.display();
                    tracing::warn!(%directory, %error, "can't be watched; looking every 5 s");
                }
            }
        }
        self.directories = wanted;
        let mut known = std::mem::take(&mut self.seen);
        known.extend(loaded.unwrap_or_default());
        self.seen = files
            .into_iter()
            .map(|file| {
                // A file that can't be read now counts as changed once it can be read.
                let held = known.remove(&file).or_else(|| fingerprint(&file).ok());
                (file, held.unwrap_or_default())
            })
            .collect();
    }
}

/// Reading a file is no change; otherwise our own reads would be reported for ever.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A hash of the content, so that touching a file is no change. A missing file has one, too.
fn fingerprint(file: &Path) -> io::Result<u64> {
    let hash = foldhash::fast::FixedState::default();
    if let Ok(metadata) = std::fs::metadata(file)
        && metadata.len() > LARGE
    {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime_nsec()];
        return Ok(hash.hash_one((metadata.ino(), metadata.len(), times)));
    }
    let content = match std::fs::read(file) {
        Err(error) if is_ours(&error) => return Err(error),
        read => read.ok(),
    };
    Ok(hash.hash_one(content))
}
