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
    collections::HashSet,
    hash::{BuildHasher, Hasher},
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

/// Watches files for changed contents.
pub struct Watch {
    files: Vec<PathBuf>,
    seen: u64,
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
            files: Vec::new(),
            seen: 0,
            hints,
            watcher: watcher.ok(),
            directories: HashSet::new(),
        };
        watch.set(files);
        watch
    }

    /// Watches these files from now on.
    pub fn set(&mut self, files: Vec<PathBuf>) {
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
        self.seen = fingerprint(&files);
        self.files = files;
    }

    /// Waits until the files hold something else than last time.
    pub async fn changed(&mut self) {
        loop {
            if timeout(LOOK, self.hints.recv()).await.is_ok() {
                sleep(SETTLE).await;
                // What came meanwhile is covered by the look that follows.
                let _ = self.hints.try_recv();
            }
            let now = fingerprint(&self.files);
            if now != self.seen {
                self.seen = now;
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

/// Of the contents: touching a file without changing it is no change. A missing file counts as one.
fn fingerprint(files: &[PathBuf]) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    for file in files {
        match std::fs::read(file) {
            Ok(content) => hasher.write(&content),
            Err(_) => hasher.write_u8(0),
        }
    }
    hasher.finish()
}
