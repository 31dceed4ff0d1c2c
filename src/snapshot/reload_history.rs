//! The last reloads: when, why, how they ended, and what they changed.
//!
//! Owns: a bounded list of them, which outlives every config. May touch: [`crate::config`]. The
//! control thread adds to it; the admin address reads it.

use crate::config::{Cache, Config, Listener, Route, Server, Site, Upstream};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// So many reloads are kept.
const KEPT: usize = 50;

/// So many changes of one reload are told by name.
const NAMED: usize = 200;

/// One reload, or the start.
#[derive(Clone, Debug)]
pub struct PastReload {
    /// When it ended.
    pub time: Timestamp,
    /// Why it was asked for.
    pub cause: &'static str,
    /// The generation that it made, or what was wrong, as `POST /reload` tells it.
    pub outcome: Result<u64, Value>,
    /// What it changed, the first [`NAMED`].
    pub changes: Vec<PastChange>,
    /// All changes, those that are not named too.
    pub total: usize,
}

impl PastReload {
    /// A reload that ends now.
    pub fn new(
        cause: &'static str,
        outcome: Result<u64, Value>,
        mut changes: Vec<PastChange>,
    ) -> Self {
        let total = changes.len();
        changes.truncate(NAMED);
        Self { time: Timestamp::now(), cause, outcome, changes, total }
    }
}

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastChange {
    /// `added`, `removed` or `changed`.
    pub how: &'static str,
    /// `listener`, `site`, `route`, `upstream`, `server`, `cache` or `settings`.
    pub what: &'static str,
    /// Its name; of a server its upstream's name and its address.
    pub name: String,
}

/// The last reloads.
#[derive(Debug, Default)]
pub struct ReloadHistory {
    kept: Mutex<VecDeque<PastReload>>,
    count: AtomicU64,
}

impl ReloadHistory {
    /// Adds one.
    pub fn add(&self, reload: PastReload) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(reload);
        self.count.fetch_add(1, Relaxed);
    }

    /// How many there were since the start, the start too.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// The last ones, the newest first.
    pub fn newest_first(&self) -> Vec<PastReload> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }
}

/// What is different in `new`, by name.
pub fn changes(old: &Config, new: &Config) -> Vec<PastChange> {
    let mut found = Changes::default();
    found.compare("listener", listeners(old), listeners(new));
    found.compare("site", sites(old), sites(new));
    found.compare("route", routes(old), routes(new));
    found.compare("upstream", upstreams(old), upstreams(new));
    found.compare("server", servers(old), servers(new));
    found.compare("cache", caches(old), caches(new));
    if rest(old) != rest(new) {
        let name = "not of a listener, site, upstream or cache".to_owned();
        found.0.push(PastChange { how: "changed", what: "settings", name });
    }
    found.0
}

fn listeners(it: &Config) -> impl Iterator<Item = (String, &Listener)> {
    it.listeners.iter().map(|it| (it.name.clone(), it))
}

/// Without their routes, which are told by themselves.
fn sites(it: &Config) -> impl Iterator<Item = (String, Site)> {
    it.sites.iter().map(|it| (it.name.clone(), Site { routes: Vec::new(), ..it.clone() }))
}

fn routes(it: &Config) -> impl Iterator<Item = (String, &Route)> {
    it.sites.iter().flat_map(|it| &it.routes).map(|it| (it.name.clone(), it))
}

/// Without their servers, which are told by themselves.
fn upstreams(it: &Config) -> impl Iterator<Item = (String, Upstream)> {
    it.upstreams.iter().map(|it| (it.name.clone(), Upstream { servers: Vec::new(), ..it.clone() }))
}

fn servers(it: &Config) -> impl Iterator<Item = (String, &Server)> {
    it.upstreams.iter().flat_map(|upstream| {
        upstream.servers.iter().map(|it| (format!("{} {}", upstream.name, it.address), it))
    })
}

fn caches(it: &Config) -> impl Iterator<Item = (String, &Cache)> {
    it.caches.iter().map(|it| (it.name.clone(), it))
}

/// Everything that has no name.
fn rest(it: &Config) -> Config {
    Config {
        listeners: Vec::new(),
        upstreams: Vec::new(),
        caches: Vec::new(),
        sites: Vec::new(),
        watched: Vec::new(),
        ..it.clone()
    }
}

#[derive(Default)]
struct Changes(Vec<PastChange>);

impl Changes {
    /// Compares things of one kind, each with its name.
    fn compare<T: PartialEq>(
        &mut self,
        what: &'static str,
        old: impl IntoIterator<Item = (String, T)>,
        new: impl IntoIterator<Item = (String, T)>,
    ) {
        let mut old: HashMap<String, T> = old.into_iter().collect();
        for (name, value) in new {
            let how = match old.remove(&name) {
                None => "added",
                Some(before) if before != value => "changed",
                Some(_) => continue,
            };
            self.0.push(PastChange { how, what, name });
        }
        let mut gone: Vec<String> = old.into_keys().collect();
        gone.sort_unstable();
        self.0.extend(gone.into_iter().map(|name| PastChange { how: "removed", what, name }));
    }
}
