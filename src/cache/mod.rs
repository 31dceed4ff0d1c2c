//! The cache of responses (RFC 9111).
//!
//! Owns: what is stored, by which rules, and who fetches it. May touch: [`crate::encode`],
//! [`crate::http1`], [`crate::message`], [`crate::settings`], [`crate::task`]. It does not know
//! routes nor requests under way: [`mod@crate::proxy`] asks it before it asks a server.

pub mod flight;
pub mod flights;
pub mod kept;
pub mod lookup;
pub mod policy;
pub mod store;
pub mod streamed;
pub mod tiers;
pub mod url;

use crate::{
    settings::{DiskSettings, RedisSettings, RouteCache},
    task,
};
use arc_swap::ArcSwapOption;
use flights::{Flights, Joined, Ticket};
use kept::CacheEntry;
use policy::Rules;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use store::{Label, PurgeState, PurgeTarget, Store, StoreKey};
use tiers::{Tiers, purge::Purge};

/// A cache, for as long as the config has its name.
#[derive(Debug)]
pub struct Cache {
    /// Its name.
    pub name: Arc<str>,
    /// What is stored.
    pub store: Store<CacheEntry>,
    /// What is being fetched.
    pub flights: Arc<Flights>,
    max_object: AtomicU64,
    /// Where else it is stored.
    tiers: ArcSwapOption<Tiers>,
    /// What became of the requests for it.
    pub counts: Counts,
}

/// What became of requests.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered with what is stored.
    pub hits: AtomicU64,
    /// Answered with what is stored and stale.
    pub stale: AtomicU64,
    /// Answered with a fetch that somebody else had begun.
    pub coalesced: AtomicU64,
    /// Answered by a server.
    pub misses: AtomicU64,
    /// Answered with what is stored after the server said that it is still right.
    pub validated: AtomicU64,
    /// Fetches behind an answer.
    pub refreshes: AtomicU64,
}

impl Cache {
    /// An empty one.
    pub fn new(name: &str, memory: u64, max_object: u64) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            store: Store::new(memory, max_object),
            flights: Arc::default(),
            max_object: AtomicU64::new(max_object),
            tiers: ArcSwapOption::empty(),
            counts: Counts::default(),
        })
    }

    /// Larger content is not stored.
    pub fn max_object(&self) -> u64 {
        self.max_object.load(Relaxed)
    }

    /// Names for what is fetched from now on; without tags, as they are known only when it has come.
    fn label(&self, url: &str, host: &str) -> Label {
        Label::untagged(self.store.now(), url.as_bytes(), host.as_bytes())
    }

    /// Joins a fetch of this URL, or begins one.
    pub fn join(&self, key: StoreKey, url: &str, host: &str) -> Joined {
        let generations = self.store.generations();
        let is_alive = |label: &Label| generations.state(label) == PurgeState::Alive;
        self.flights.join(key, self.label(url, host), is_alive)
    }

    /// For a fetch of this URL that nobody else waits for.
    pub fn alone(&self, key: StoreKey, url: &str, host: &str) -> Ticket {
        Ticket::alone(key, self.label(url, host))
    }

    /// As a new config says. What is stored stays, as far as there is room.
    pub fn resize(&self, memory: u64, max_object: u64) {
        self.store.set_capacity(memory);
        self.max_object.store(max_object, Relaxed);
    }

    /// Where responses are stored beside memory, as a new config says.
    pub fn set_tiers(&self, redis: Option<&RedisSettings>, disk: Option<&DiskSettings>) {
        let before = self.tiers.load_full();
        let tiers = Tiers::new(&self.name, redis, disk, before.as_deref());
        self.tiers.store(tiers.map(Arc::new));
    }

    /// Where else responses are stored.
    pub fn tiers(&self) -> Option<Arc<Tiers>> {
        self.tiers.load_full()
    }

    /// Purges in memory and all tiers. False: Redis is gone, and hears of it as soon as it is back.
    pub async fn purge(&self, target: &PurgeTarget<'_>, soft: bool) -> bool {
        self.store.purge(target, soft);
        let Some(tiers) = self.tiers() else { return true };
        let told = tiers.purge(Purge::new(target, soft)).await;
        // What was read from a tier meanwhile may have been read before the tier knew.
        self.store.purge(target, soft);
        told
    }

    /// Another instance has purged this.
    pub fn heard(&self, purge: &Purge) {
        if let Some(disk) = self.tiers().and_then(|it| it.disk.clone()) {
            task::spawn(disk.purge(purge.clone()));
        }
        self.store.purge(&purge.target(), purge.soft);
    }
}

/// A route's use of a cache.
#[derive(Debug)]
pub struct Caching {
    /// The cache.
    pub cache: Arc<Cache>,
    /// What may be stored, and for how long.
    pub rules: Rules,
    /// The rest, as it was written.
    pub settings: RouteCache,
}

impl Caching {
    /// As the config says.
    pub fn new(cache: Arc<Cache>, settings: RouteCache) -> Self {
        let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let rules = Rules {
            min_ttl: seconds(settings.min_ttl),
            default_ttl: settings.default_ttl.map(seconds),
            max_ttl: settings.max_ttl.map(seconds),
            statuses: settings.statuses.clone(),
            stale_while_revalidate: settings.stale_while_revalidate.map(seconds),
            stale_if_error: settings.stale_if_error.map(seconds),
            heed_client: settings.heed_client,
            cookies: settings.store_cookies,
        };
        Self { cache, rules, settings }
    }
}
