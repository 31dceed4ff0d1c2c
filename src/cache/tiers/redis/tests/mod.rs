//! The tier with a real `redis-server`; skipped where there is none.

mod harness;
mod several;

use super::*;
use harness::*;
use std::time::Instant;

#[tokio::test]
async fn what_one_stores_the_other_has_until_it_is_purged() {
    let Some(server) = Server::start() else { return };
    let (one, other) = two(&server).await;
    for name in ["a", "b", "c"] {
        one.put(name).await;
    }
    assert_eq!(other.get("a").await, Some(false));
    assert!(one.tier.purge(tag("a", false)).await);
    assert!(one.tier.purge(tag("b", true)).await);
    assert_eq!(other.get("a").await, None);
    assert_eq!((other.get("b").await, one.get("b").await), (Some(true), Some(true)));
    assert_eq!((other.get("c").await, one.get("c").await), (Some(false), Some(false)));
    other.hears(&tag("b", true)).await;
    assert_eq!(*other.heard.lock().unwrap(), [tag("a", false), tag("b", true)]);
    // Its memory knows, and may have been filled since.
    assert!(one.heard.lock().unwrap().is_empty());
    // At once it can be stored again.
    one.put("a").await;
    assert_eq!(other.get("a").await, Some(false));
    other.tier.remove(&key("a"));
    other.until("removed", |it| it.tier.stats().writes == 1).await;
    assert_eq!(one.get("a").await, None);
    // Its time to live is in Redis.
    let name = format!("test:c:o:{}", key("b").hex());
    let left: u64 = server.ask(&["PTTL", &name]).await;
    assert!((1..=60_000).contains(&left));
    // Somebody else's.
    let before = one.tier.stats().failures;
    let _: () = server.ask(&["SET", &name, "nonsense"]).await;
    assert_eq!((one.get("b").await, one.tier.stats().failures), (None, before + 1));
}

#[tokio::test]
async fn a_fetch_that_began_before_a_purge_is_dead() {
    let Some(server) = Server::start() else { return };
    let (one, other) = two(&server).await;
    let begun = one.tier.now();
    assert!(other.tier.purge(tag("a", false)).await);
    one.put_of("a", begun).await;
    one.put_of("b", begun).await;
    assert_eq!((one.get("a").await, other.get("a").await), (None, None));
    assert_eq!((one.get("b").await, other.get("b").await), (Some(false), Some(false)));
    // Nobody knows what was purged before, or will be.
    one.put_of("b", 0).await;
    assert_eq!(one.tier.stats().dropped, 1);
    one.put_of("b", u64::MAX).await;
    assert_eq!(other.get("b").await, None);
    // A late instance knows what was purged.
    let late = Instance::start(server.settings(LIMIT)).await;
    assert_eq!(late.get("a").await, None);
    late.hears(&tag("a", false)).await;
}

#[tokio::test]
async fn lost_news_are_heard_at_the_next_beat() {
    let Some(server) = Server::start() else { return };
    let (one, other) = two(&server).await;
    let began = Instant::now();
    loop {
        let killed: u64 = server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        if killed == 2 || began.elapsed() > LIMIT {
            break;
        }
    }
    assert!(one.tier.purge(tag("a", false)).await);
    other.hears(&tag("a", false)).await;
    // And it listens again.
    let began = Instant::now();
    loop {
        let listening: (String, u64) = server.ask(&["PUBSUB", "NUMSUB", "test:c:purges"]).await;
        if listening.1 == 2 {
            break;
        }
        assert!(began.elapsed() < LIMIT);
    }
}

#[tokio::test]
async fn a_redis_that_was_away_is_told_when_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let (one, other) = two(&server).await;
    one.put("a").await;
    assert!(one.tier.purge(tag("early", false)).await);
    other.hears(&tag("early", false)).await;
    other.forget();
    server.stop();
    one.until("gone", |it| !it.tier.stats().connected).await;
    let began = Instant::now();
    assert_eq!(one.get("a").await, None);
    assert!(!one.tier.purge(tag("late", false)).await);
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(one.tier.stats().purges_waiting, 1);
    one.put("a").await;
    assert_eq!(one.tier.stats().dropped, 1);
    server.restart();
    one.until("back", |it| it.tier.stats().connected).await;
    assert_eq!(one.tier.stats().purges_waiting, 0);
    other.hears(&tag("late", false)).await;
    other.hears(&tag("early", false)).await;
    assert!(!other.heard.lock().unwrap().contains(&everything()));
    one.put("a").await;
    assert_eq!((one.get("a").await, other.get("a").await), (Some(false), Some(false)));
}

#[tokio::test]
async fn a_wiped_redis_is_told_again() {
    let Some(server) = Server::start() else { return };
    let (one, other) = two(&server).await;
    let begun = one.tier.now();
    assert!(one.tier.purge(tag("a", false)).await);
    other.hears(&tag("a", false)).await;
    let before = one.tier.now();
    other.forget();
    let _: () = server.ask(&["FLUSHALL"]).await;
    // Before anybody has noticed.
    assert!(one.tier.purge(tag("b", false)).await);
    other.hears(&tag("a", false)).await;
    other.hears(&tag("b", false)).await;
    assert!(!other.heard.lock().unwrap().contains(&everything()));
    one.until("at the new epoch", |it| it.tier.now() > before).await;
    one.put_of("c", begun).await;
    assert_eq!((one.get("c").await, other.get("c").await), (None, None));
    one.put("c").await;
    assert_eq!((one.get("c").await, other.get("c").await), (Some(false), Some(false)));
}

#[tokio::test]
async fn a_log_with_a_hole_purges_everything() {
    let Some(server) = Server::start() else { return };
    let (one, other) = two(&server).await;
    other.put("a").await;
    // As if it were trimmed before `other` could read it.
    let script = "redis.call('DEL', '{test:c}:log')
        local next = string.format('%.0f', redis.call('HGET', '{test:c}:purges', 'generation') + 1)
        redis.call('HSET', '{test:c}:purges', 'generation', next)";
    let _: () = server.ask(&["EVAL", script, "0"]).await;
    assert_eq!(other.get("a").await, None);
    other.hears(&everything()).await;
    one.hears(&everything()).await;
    one.put("a").await;
    assert_eq!(other.get("a").await, Some(false));
}

#[tokio::test]
async fn a_slow_redis_is_given_up() {
    let Some(server) = Server::start() else { return };
    let one = Instance::start(server.settings(Duration::from_millis(100))).await;
    one.put("a").await;
    let _: () = server.ask(&["CLIENT", "PAUSE", "2000", "ALL"]).await;
    assert_eq!(one.get("a").await, None);
    assert!(!one.tier.purge(tag("b", false)).await);
    // Nothing is read before it is told.
    assert_eq!((one.get("a").await, one.tier.stats().purges_waiting), (None, 1));
    one.until("gone", |it| !it.tier.stats().connected).await;
    assert!(one.tier.stats().timeouts >= 3);
    one.until("back", |it| it.tier.stats().connected).await;
    assert_eq!((one.get("a").await, one.tier.stats().purges_waiting), (Some(false), 0));
}

#[tokio::test]
async fn workers_read_from_their_own_threads() {
    let Some(server) = Server::start() else { return };
    let (one, _) = two(&server).await;
    one.put("a").await;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let tier = Arc::clone(&one.tier);
            let read = async move {
                for _ in 0..100 {
                    assert!(tier.get(&key("a")).await.is_some());
                }
            };
            tokio::task::spawn_blocking(|| {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.enable_all().build().unwrap();
                runtime.block_on(read);
            })
        })
        .collect();
    for thread in threads {
        thread.await.unwrap();
    }
    assert_eq!(one.tier.stats().hits, 400);
}

#[tokio::test]
async fn a_replica_that_did_not_have_all_is_told_again() {
    let Some(server) = Server::start() else { return };
    let (one, other) = two(&server).await;
    other.put("a").await;
    assert!(one.tier.purge(tag("a", false)).await);
    other.hears(&tag("a", false)).await;
    other.forget();
    // As if a replica took over before it had the purge.
    let script = "local all = redis.call('XRANGE', '{test:c}:log', '-', '+')
        local last = all[#all]
        redis.call('XDEL', '{test:c}:log', last[1])
        redis.call('HSET', '{test:c}:purges', 'generation', last[2][2])";
    let _: () = server.ask(&["EVAL", script, "0"]).await;
    other.hears(&tag("a", false)).await;
    assert_eq!((one.get("a").await, other.get("a").await), (None, None));
    other.put("a").await;
    assert_eq!((one.get("a").await, other.get("a").await), (Some(false), Some(false)));
    assert!(!other.heard.lock().unwrap().contains(&everything()));
}
