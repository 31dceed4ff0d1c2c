//! Notices that the config, or a certificate, has changed on disk.
//!
//! Owns: which directories are watched, and what the files held last. May touch: the file system.
//! Directories, not files: an editor's rename and a Kubernetes link swap change no file that was
//! open. What the system does not tell, as on NFS, a look every few seconds finds.

use notify::{
    Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

/// Writers often write in several steps.
const SETTLE: Duration = Duration::from_millis(200);
/// Between looks without a hint.
const LOOK: Duration = Duration::from_secs(5);

/// What every file held, by a hash.
pub type Seen = HashMap<PathBuf, u64>;

/// Watches files for changed contents.
pub struct Watch {
    seen: Seen,
    hinted: bool,
    hints: mpsc::Receiver<()>,
    watcher: Option<RecommendedWatcher>,
    directories: HashSet<PathBuf>,
}

impl Watch {
    /// Watches `files`, whose contents now are the known ones.
    pub fn new(files: Vec<PathBuf>) -> Self {
        // One hint is as good as many.
        let (hint, hints) = mpsc::channel(1);
        let hear = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(event.kind)) {
                let _ = hint.try_send(());
            }
        };
        let watcher = RecommendedWatcher::new(hear, Config::default());
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "the system does not tell of changed files; looking every 5 s");
        });
        let mut watch = Self {
            seen: Seen::new(),
            hinted: false,
            hints,
            watcher: watcher.ok(),
            directories: HashSet::new(),
        };
        watch.set(files, Seen::new());
        watch
    }

    /// What the files hold now: to be asked before they are loaded.
    pub fn look(&self) -> Seen {
        self.seen.keys().map(|file| (file.clone(), fingerprint(file))).collect()
    }

    /// Watches these files from now on, for what differs from `loaded`.
    pub fn set(&mut self, files: Vec<PathBuf>, mut loaded: Seen) {
        let wanted: HashSet<PathBuf> = files.iter().map(|file| parent(file)).collect();
        if let Some(watcher) = &mut self.watcher {
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
        let seen = |file: PathBuf| {
            let held = loaded.remove(&file).unwrap_or_else(|| fingerprint(&file));
            (file, held)
        };
        self.seen = files.into_iter().map(seen).collect();
    }

    /// Waits until the files hold something else than what was loaded.
    pub async fn changed(&mut self) {
        loop {
            // Kept in `self`: a wait that is dropped while things settle is taken up by the next.
            self.hinted = self.hinted || timeout(LOOK, self.hints.recv()).await.is_ok();
            if self.hinted {
                sleep(SETTLE).await;
                self.hinted = false;
                // What came meanwhile is covered by the look that follows.
                let _ = self.hints.try_recv();
            }
            if self.look() != self.seen {
                return;
            }
        }
    }
}

/// Reading the files is no change: it would be heard for ever.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Of the content: touching a file without changing it is no change. A missing file has one, too.
fn fingerprint(file: &Path) -> u64 {
    let content = std::fs::read(file).ok();
    foldhash::fast::FixedState::default().hash_one(content)
}
