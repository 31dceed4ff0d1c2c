//! Servers and instances for tests.

use crate::cache::tiers::redis::*;
use crate::{
    cache::{store::PurgeTarget, tiers::record::KeptRecord},
    settings::RedisServers,
    task,
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Instant,
};
use tempfile::TempDir;

pub(super) const LIMIT: Duration = Duration::from_secs(30);

pub(super) struct Server {
    directory: TempDir,
    child: Child,
}

impl Server {
    pub(super) fn start() -> Option<Self> {
        if !is_there("redis-server") {
            return None;
        }
        let directory = TempDir::new().unwrap();
        let child = Self::run(directory.path());
        Some(Self { directory, child })
    }

    fn run(directory: &Path) -> Child {
        spawn(directory, &["--port", "0", "--unixsocket", &socket(directory)])
    }

    pub(super) fn url(&self) -> String {
        format!("redis+unix://{}", socket(self.directory.path()))
    }

    pub(super) fn settings(&self, timeout: Duration) -> RedisSettings {
        let servers = RedisServers::One(self.url());
        RedisSettings { servers, timeout, prefix: "test".into() }
    }

    pub(super) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let _ = std::fs::remove_file(socket(self.directory.path()));
    }

    pub(super) fn restart(&mut self) {
        self.stop();
        self.child = Self::run(self.directory.path());
    }

    /// An answer of the server, once it is there.
    pub(super) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        ask(&self.url(), words).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn is_there(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: no redis-server\n");
    }
    is_there
}

pub(super) fn socket(directory: &Path) -> String {
    directory.join("redis").display().to_string()
}

pub(super) fn spawn(directory: &Path, arguments: &[&str]) -> Child {
    Command::new("redis-server")
        .args(arguments)
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

pub(super) async fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).unwrap();
    let began = Instant::now();
    loop {
        if let Ok(mut wire) = client.get_multiplexed_async_connection().await {
            let mut command = redis::cmd(words[0]);
            return command.arg(&words[1..]).query_async(&mut wire).await.unwrap();
        }
        assert!(began.elapsed() < LIMIT, "no server");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An instance, and what it heard.
pub(super) struct Instance {
    pub(super) tier: Arc<SharedTier>,
    pub(super) heard: Arc<Mutex<Vec<Purge>>>,
}

impl Instance {
    pub(super) async fn start(settings: RedisSettings) -> Self {
        let tier = SharedTier::new("c", settings);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heard);
        let hear = move |purge: &Purge| noted.lock().unwrap().push(purge.clone());
        task::spawn(Arc::clone(&tier).keep(hear));
        let instance = Self { tier, heard };
        instance.until("connected", |it| it.tier.stats().connected).await;
        instance
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < LIMIT, "not {what}: {:?}", self.tier.stats());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn hears(&self, purge: &Purge) {
        let has = |it: &Self| it.heard.lock().unwrap().contains(purge);
        self.until("heard", has).await;
    }

    pub(super) fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }

    pub(super) async fn put(&self, name: &str) {
        self.put_of(name, self.tier.now()).await;
    }

    pub(super) async fn put_of(&self, name: &str, begun: u64) {
        let before = self.tier.stats();
        let record = TierRecord {
            key: key(name).parts().to_vec(),
            url: url(name),
            tags: vec![name.as_bytes().to_vec(), b"all".to_vec()],
            begun,
            shared: 0,
            kept: KeptRecord::Variants(Vec::new()),
        };
        let content = StoredBody::packed(&[Bytes::from(name.to_owned())]);
        self.tier.put(&key(name), record, content, Duration::from_secs(60));
        let written = |it: &Self| {
            let now = it.tier.stats();
            now.writes + now.dropped > before.writes + before.dropped
        };
        self.until("written", written).await;
    }

    pub(super) async fn get(&self, name: &str) -> Option<bool> {
        let hit = self.tier.get(&key(name)).await?;
        assert_eq!(hit.content, name);
        Some(hit.stale)
    }
}

pub(super) fn url(name: &str) -> String {
    format!("http://host/{name}")
}

pub(super) fn key(name: &str) -> TierKey {
    TierKey::of_url(&url(name), b"", b"")
}

pub(super) fn tag(name: &str, soft: bool) -> Purge {
    Purge::new(&PurgeTarget::Tag(name.as_bytes()), soft)
}

pub(super) fn everything() -> Purge {
    Purge::new(&PurgeTarget::All, false)
}

pub(super) async fn two(server: &Server) -> (Instance, Instance) {
    let settings = server.settings(Duration::from_secs(5));
    (Instance::start(settings.clone()).await, Instance::start(settings).await)
}
