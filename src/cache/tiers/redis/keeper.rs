//! Keeps the link to Redis, hears what others purge, and writes what waits.
//!
//! Owns: when to connect, and when to give up. May touch: nothing outside this room.

use super::{
    behind::Behind,
    link::{RedisLink, place, random},
    tier::SharedTier,
};
use crate::cache::tiers::purge::Purge;
use futures_util::{FutureExt, StreamExt, future, stream};
use redis::{
    Msg, RedisResult,
    aio::{PubSubSink, PubSubStream},
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// How often Redis is asked whether anything is new.
const BEAT: Duration = Duration::from_secs(1);

/// The first wait for another connect, and the longest.
const WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// So many objects are written at once.
const WRITES: usize = 8;

/// News; the first part only keeps the second alive.
type Listening = (PubSubSink, PubSubStream);

/// For ever; a second time it ends at once.
pub(super) async fn keep(tier: &Arc<SharedTier>, hear: impl Fn(&Purge) + Send + 'static) {
    let (Some(heard), Some(writes)) = (tier.heard(), tier.behind.end()) else { return };
    future::join3(hold(tier), tell(tier, heard, hear), write(tier, writes)).await;
}

async fn tell(
    tier: &SharedTier,
    mut heard: UnboundedReceiver<Purge>,
    hear: impl Fn(&Purge) + Send + 'static,
) {
    while let Some(purge) = heard.recv().await {
        tier.counts.heard.fetch_add(1, Relaxed);
        hear(&purge);
    }
}

async fn hold(tier: &Arc<SharedTier>) {
    let (cache, redis) = (&*tier.cache, place(&tier.settings));
    let [mut wait, longest] = WAITS;
    let mut warned = false;
    loop {
        let why = match link(tier).await {
            Ok(link) => {
                if warned {
                    tracing::info!(cache, redis, "Redis is back");
                }
                (wait, warned) = (WAITS[0], false);
                serve(tier, &link).await;
                tier.why_ended()
            }
            Err(error) => {
                tier.count(&error);
                error.to_string()
            }
        };
        if !warned {
            tracing::warn!(cache, redis, reason = why, "Redis is gone: the cache goes on without");
            warned = true;
        }
        let jitter = wait.as_millis() as u64 / 2;
        sleep(wait / 2 + Duration::from_millis(random() % jitter.max(1))).await;
        wait = (wait * 2).min(longest);
    }
}

/// Connects, and settles before anybody may use it.
async fn link(tier: &SharedTier) -> RedisResult<Arc<RedisLink>> {
    let link = RedisLink::connect(&tier.settings).await?;
    tier.settle(&link).await?;
    let link = Arc::new(link);
    tier.use_link(&link);
    Ok(link)
}

/// Until the link is given up.
async fn serve(tier: &SharedTier, link: &Arc<RedisLink>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listening = None;
    loop {
        let mut is_told = false;
        tokio::select! {
            _ = beats.tick() => {}
            () = tier.stir.notified() => {}
            news = next(&mut listening) => {
                if news.is_none() {
                    listening = None;
                }
                is_told = true;
            }
        }
        if !tier.link().is_some_and(|it| Arc::ptr_eq(&it, link)) {
            return;
        }
        if listening.is_none() && !is_told {
            listening = listen(tier, link).await;
        }
        if let Err(error) = beat(tier, link).await {
            tier.count(&error);
            // A server that answers with an error keeps no purge.
            if link.ends_by(&error) || !error.is_timeout() {
                tier.end_link(link, &error);
            }
        }
    }
}

/// The next news. None when they have ended; never, when they were not there.
async fn next(listening: &mut Option<Listening>) -> Option<Msg> {
    match listening {
        Some((_, news)) => {
            let mut last = news.next().await;
            // One look is enough for many.
            while let Some(Some(next)) = news.next().now_or_never() {
                last = Some(next);
            }
            last
        }
        None => future::pending().await,
    }
}

/// Without it, purges are heard at the next beat.
async fn listen(tier: &SharedTier, link: &RedisLink) -> Option<Listening> {
    let client = link.listener()?;
    let listen = async {
        let mut news = client.get_async_pubsub().await?;
        news.subscribe(&tier.ledger.channel).await?;
        RedisResult::Ok(news.split())
    };
    let listening = timeout(tier.settings.timeout, listen).await;
    match listening {
        Ok(Ok(listening)) => return Some(listening),
        Ok(Err(error)) => tier.count(&error),
        Err(_) => _ = tier.counts.timeouts.fetch_add(1, Relaxed),
    }
    None
}

/// Looks at what is new, and tells what waits.
async fn beat(tier: &SharedTier, link: &RedisLink) -> RedisResult<()> {
    let told = tier.ledger.ask(link.reads()).await?;
    link.works();
    match told {
        (Some(epoch), Some(generation))
            if tier.applied.epoch() == Some(epoch) && generation >= tier.applied.now() =>
        {
            tier.catch_up(link, generation).await?;
            tier.tell_waiting(link).await
        }
        _ => tier.settle(link).await,
    }
}

/// Writes, in order, what waits.
async fn write(tier: &SharedTier, mut waiting: UnboundedReceiver<Behind>) {
    let waiting = stream::poll_fn(|cx| waiting.poll_recv(cx));
    let writes = waiting.map(|behind| async move {
        let weight = behind.weight();
        write_one(tier, behind).await;
        tier.behind.left(weight);
    });
    writes.buffered(WRITES).for_each(future::ready).await;
}

async fn write_one(tier: &SharedTier, behind: Behind) {
    let Behind { key, object } = behind;
    let dead = object.as_ref().is_some_and(|it| it.record.begun < tier.applied.base());
    let Some(link) = tier.link().filter(|_| !dead) else {
        tier.counts.dropped.fetch_add(1, Relaxed);
        return;
    };
    let mut command = redis::cmd(if object.is_some() { "SET" } else { "UNLINK" });
    command.arg(key);
    if let Some(object) = object {
        let bytes = object.record.write(&object.content);
        command.arg(bytes).arg("PX").arg(object.ttl.as_millis() as u64);
    }
    match link.writes().ask::<()>(&command).await {
        Ok(()) => _ = tier.counts.writes.fetch_add(1, Relaxed),
        Err(error) => {
            tier.count(&error);
            // Large objects on a slow line are no reason to give it up.
            if !error.is_timeout() && link.ends_by(&error) {
                tier.end_link(&link, &error);
            }
        }
    }
}
