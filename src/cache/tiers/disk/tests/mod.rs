//! The tier as a whole, on a directory of its own.

mod damage;
mod keeping;
mod model;

use super::*;
use crate::cache::{store::PurgeTarget, tiers::record::KeptRecord};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(20);

const MIB: u64 = 1024 * 1024;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// In memory if it can be: it is the code that is tested, not the disk.
fn new_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn at(path: &Path, max_size: u64) -> Arc<Disk> {
    Disk::open("test", DiskSettings { path: path.to_owned(), max_size })
}

async fn is(disk: &Disk, state: DiskState) {
    let mut progress = disk.tier.progress.subscribe();
    let waited = timeout(LONG, progress.wait_for(|now| now.state == state)).await;
    assert!(waited.is_ok(), "{:?}", disk.stats());
}

/// Opened, with all that is there found.
async fn ready(path: &Path) -> Arc<Disk> {
    let disk = at(path, 64 * MIB);
    is(&disk, DiskState::Ready).await;
    disk
}

/// Waits for what the disk thread does by and by.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn url(number: u64) -> String {
    format!("http://h{}/{}/{number}", number % 3, number % 5)
}

fn key(number: u64) -> TierKey {
    TierKey::of_url(&url(number), b"", b"")
}

fn record(number: u64, begun: u64) -> TierRecord {
    let tags = vec![format!("t{}", number % 4).into_bytes(), b"both".to_vec()];
    let kept = KeptRecord::Variants(vec!["accept".into()]);
    TierRecord { key: key(number).parts().to_vec(), url: url(number), tags, begun, shared: 0, kept }
}

fn content(text: &str) -> StoredBody {
    StoredBody::packed(&[Bytes::copy_from_slice(text.as_bytes())])
}

impl Disk {
    fn put_text(&self, number: u64, text: &str) {
        self.put(&key(number), record(number, self.now()), content(text));
    }

    async fn written(&self, number: u64, text: &str) {
        self.put_text(number, text);
        self.flush(LONG).await;
    }

    /// The content, and whether it is stale.
    async fn text(&self, number: u64) -> Option<(String, bool)> {
        let hit = self.get(&key(number)).await?;
        assert_eq!(hit.record.url, url(number));
        Some((String::from_utf8(hit.content.to_vec()).unwrap(), hit.stale))
    }

    async fn fresh(&self, number: u64) -> Option<String> {
        self.text(number).await.map(|(text, stale)| {
            assert!(!stale);
            text
        })
    }
}

/// All object files, the oldest first.
fn files(path: &Path) -> Vec<PathBuf> {
    let all = |path: &Path| fs::read_dir(path).unwrap().map(|it| it.unwrap().path());
    let mut found: Vec<_> =
        all(&path.join("objects")).flat_map(|it| all(&it).collect::<Vec<_>>()).collect();
    let number =
        |path: &PathBuf| u64::from_str_radix(path.file_name().unwrap().to_str().unwrap(), 16);
    found.sort_by_key(|path| number(path).unwrap_or(0));
    found
}

/// Ends it, and waits until its thread has let go of the directory.
async fn close(disk: Arc<Disk>) {
    let tier = Arc::downgrade(&disk.tier);
    drop(disk);
    until("the thread ends", || tier.strong_count() == 0).await;
}

/// The directory as it is now, as a killed process would leave it.
fn copy_of(path: &Path) -> TempDir {
    let copy = new_directory();
    for file in files(path).into_iter().chain([path.join("purges")]) {
        let to = copy.path().join(file.strip_prefix(path).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    copy
}
