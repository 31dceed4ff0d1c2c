//! The state of the tier: who may ask Redis now, and how an answer or its lack is taken.
//!
//! Owns: the one link, and the counts. May touch: [`crate::settings`].

use super::{
    applied::{Applied, Restart},
    behind::BehindQueue,
    ledger::Ledger,
    link::{RedisLink, place, too_slow},
    untold::{OwnPurge, Untold},
};
use crate::{cache::tiers::purge::Purge, settings::RedisSettings};
use arc_swap::ArcSwapOption;
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{RedisError, RedisResult};
use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::{
    sync::{
        Mutex as AsyncMutex, Notify,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    time::timeout,
};

/// So many purges are told at once.
const AT_ONCE: usize = 64;

/// A Redis that several instances share, for one cache.
pub struct SharedTier {
    pub(super) cache: Box<str>,
    pub(super) settings: RedisSettings,
    pub(super) ledger: Ledger,
    pub(super) applied: Applied,
    pub(super) untold: Untold,
    pub(super) behind: BehindQueue,
    pub(super) counts: SharedCounts,
    /// For the keeper: something is to be done.
    pub(super) stir: Notify,
    link: ArcSwapOption<RedisLink>,
    /// Why the last link was given up.
    ended: Mutex<Option<String>>,
    /// One reads the log at a time.
    catching_up: AsyncMutex<()>,
    heard: Mutex<Option<UnboundedReceiver<Purge>>>,
}

#[derive(Debug, Default)]
pub(super) struct SharedCounts {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) heard: AtomicU64,
}

impl SharedTier {
    pub(super) fn unlinked(cache: &str, settings: RedisSettings) -> Self {
        let (to_hear, heard) = unbounded_channel();
        Self {
            cache: cache.into(),
            ledger: Ledger::new(&settings.prefix, cache),
            settings,
            applied: Applied::new(to_hear),
            untold: Untold::default(),
            behind: BehindQueue::new(),
            counts: SharedCounts::default(),
            stir: Notify::new(),
            link: ArcSwapOption::empty(),
            ended: Mutex::default(),
            catching_up: AsyncMutex::default(),
            heard: Mutex::new(Some(heard)),
        }
    }

    /// The link, if there is one.
    pub(super) fn link(&self) -> Option<Arc<RedisLink>> {
        self.link.load_full()
    }

    /// The link for those who read: only once Redis was told of all our purges.
    pub(super) fn link_to_read(&self) -> Option<Arc<RedisLink>> {
        self.link().filter(|_| self.untold.waiting() == 0)
    }

    /// From now on everybody uses this link.
    pub(super) fn use_link(&self, link: &Arc<RedisLink>) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.link.store(Some(Arc::clone(link)));
    }

    /// Nobody uses this link any more.
    pub(super) fn end_link(&self, link: &Arc<RedisLink>, why: &RedisError) {
        // Locked first: who sees that it has ended finds the reason.
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.link.compare_and_swap(link, None);
        if before.as_ref().is_some_and(|it| Arc::ptr_eq(it, link)) {
            *ended = Some(why.to_string());
            self.stir.notify_one();
        }
    }

    /// Why the link was given up.
    pub(super) fn why_ended(&self) -> String {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone().unwrap_or_default()
    }

    /// What is heard, once.
    pub(super) fn heard(&self) -> Option<UnboundedReceiver<Purge>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The answer of Redis, counted; None in time or because of an error. Too many end the link.
    pub(super) async fn answer<T>(
        &self,
        link: &Arc<RedisLink>,
        asking: impl Future<Output = RedisResult<T>>,
    ) -> Option<T> {
        let answer = timeout(self.settings.timeout, asking).await;
        match answer.unwrap_or_else(|_| Err(too_slow())) {
            Ok(answer) => {
                link.works();
                Some(answer)
            }
            Err(error) => {
                self.count(&error);
                if link.ends_by(&error) {
                    self.end_link(link, &error);
                }
                None
            }
        }
    }

    pub(super) fn count(&self, error: &RedisError) {
        let counts = &self.counts;
        if error.is_timeout() { &counts.timeouts } else { &counts.failures }.fetch_add(1, Relaxed);
    }

    /// Applies what others purged, up to this generation at least.
    pub(super) async fn catch_up(&self, link: &RedisLink, generation: u64) -> RedisResult<()> {
        let _one = self.catching_up.lock().await;
        if self.applied.now() < generation {
            self.read_log(link, generation).await?;
        }
        Ok(())
    }

    async fn read_log(&self, link: &RedisLink, generation: u64) -> RedisResult<()> {
        let mut lost = false;
        loop {
            let entries = self.ledger.log(link.reads(), self.applied.now()).await?;
            if entries.is_empty() {
                break;
            }
            lost |= self.applied.apply(entries);
        }
        if self.applied.ended(generation) | lost {
            self.warn_lost();
        }
        Ok(())
    }

    /// Begins where Redis is: applies what was purged, and tells what Redis does not know.
    pub(super) async fn settle(&self, link: &RedisLink) -> RedisResult<()> {
        let one = self.catching_up.lock().await;
        let highest = self.applied.highest();
        let told = self.ledger.begin(link.reads(), highest).await?;
        let mut generation = told.generation;
        let known = self.applied.epoch();
        if known != Some(told.epoch) {
            if known.is_some() && generation <= highest {
                // Its clock was put back. What the old epoch had must not seem new.
                (_, generation) = self.ledger.tell(link.reads(), highest, None).await?;
            }
            let first = self.ledger.log(link.reads(), 0).await?;
            let log_began = first.first().map_or(generation, |it| it.before);
            // Before anybody may read of the new epoch.
            if known.is_some() {
                self.untold.tell_again();
            }
            if self.applied.restart(Restart { told, log_began }) {
                self.warn_lost();
            }
            // What has a generation below the base is applied too.
            self.applied.apply(first);
        } else if generation < self.applied.now() {
            // A replica took over that did not have all.
            self.untold.tell_again();
            self.applied.rewind(generation);
        }
        self.read_log(link, generation).await?;
        drop(one);
        self.tell_waiting(link).await
    }

    /// Tells of the purges that wait.
    pub(super) async fn tell_waiting(&self, link: &RedisLink) -> RedisResult<()> {
        loop {
            let waiting = self.untold.first(AT_ONCE);
            if waiting.is_empty() {
                return Ok(());
            }
            let all = stream::iter(waiting).map(|own| self.tell(link, own));
            all.buffered(AT_ONCE).try_collect::<Vec<_>>().await?;
        }
    }

    async fn tell(&self, link: &RedisLink, own: OwnPurge) -> RedisResult<()> {
        let highest = self.applied.highest();
        self.ledger.tell(link.reads(), highest, Some(&own.purge)).await?;
        self.untold.told(&own);
        Ok(())
    }

    fn warn_lost(&self) {
        let (cache, redis) = (&*self.cache, place(&self.settings));
        tracing::warn!(cache, redis, "purges were lost: all that is in memory is purged");
    }
}

impl fmt::Debug for SharedTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = place(&self.settings);
        f.debug_tuple("SharedTier").field(&self.cache).field(&place).finish()
    }
}
