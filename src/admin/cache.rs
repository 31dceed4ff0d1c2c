//! `/cache`, `/purge`, and why a URL is or is not stored.
//!
//! Owns: what is told of the caches, and what purges do. May touch: [`crate::cache`],
//! [`crate::message`], [`crate::snapshot`].

use super::{
    answer::{AdminAnswer, document, refusal},
    ask::Ask,
    cache_tiers,
};
use crate::{
    cache::{
        Cache,
        kept::CacheEntry,
        lookup::{response, url_key},
        policy::Freshness,
        store::{PurgeTarget, StoredEntry, Sweep},
        tiers::purge::Purge,
        url,
    },
    message::context::site_name,
    snapshot::{Live, Snapshot},
};
use http::{HeaderName, Method, StatusCode, Uri};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{SystemTime, UNIX_EPOCH},
};

/// After a purge, so many places are swept at once, to tell of some that went.
const SWEPT_AT_ONCE: u32 = 1_000;

/// Every cache, as `/cache` tells.
pub(super) fn caches(Ask { live, .. }: &Ask) -> AdminAnswer {
    document(StatusCode::OK, &json!({ "caches": told(live) }))
}

/// Every cache.
pub(super) fn told(live: &Live) -> Vec<Value> {
    let snapshot = live.load();
    let caches = snapshot.caches.iter().map(|cache| {
        let (stats, counts) = (cache.store.stats(), &cache.counts);
        json!({
            "name": &*cache.name,
            "tier": "memory",
            "objects": stats.objects,
            "bytes": stats.bytes,
            "capacity": stats.capacity,
            "hits": counts.hits.load(Relaxed),
            "stale": counts.stale.load(Relaxed),
            "validated": counts.validated.load(Relaxed),
            "coalesced": counts.coalesced.load(Relaxed),
            "misses": counts.misses.load(Relaxed),
            "refreshes": counts.refreshes.load(Relaxed),
            "evictions": stats.evictions,
            "purged": stats.purged,
            "fetching": cache.flights.count(),
            "tiers": cache_tiers::tell(cache),
        })
    });
    caches.collect()
}

/// Sets the gauges and counters to their current values.
pub(super) fn set_gauges(live: &Live) {
    let metrics = &live.metrics.caches;
    let (up, objects, bytes) = (&metrics.tier_up, &metrics.tier_objects, &metrics.tier_bytes);
    for family in [&metrics.objects, &metrics.bytes, up, objects, bytes] {
        family.reset();
    }
    for cache in &live.load().caches {
        cache_tiers::set_gauges(metrics, cache);
        let (stats, counts) = (cache.store.stats(), &cache.counts);
        let name = &*cache.name;
        metrics.objects.with_label_values(&[name]).set(stats.objects as i64);
        metrics.bytes.with_label_values(&[name]).set(stats.bytes as i64);
        for (outcome, count) in [
            ("hit", &counts.hits),
            ("stale", &counts.stale),
            ("validated", &counts.validated),
            ("coalesced", &counts.coalesced),
            ("miss", &counts.misses),
        ] {
            let counter = metrics.requests.with_label_values(&[name, outcome]);
            counter.inc_by(count.load(Relaxed).saturating_sub(counter.get()));
        }
        for (family, count) in [
            (&metrics.evictions, stats.evictions),
            (&metrics.purged, stats.purged),
            (&metrics.refreshes, counts.refreshes.load(Relaxed)),
        ] {
            let counter = family.with_label_values(&[name]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

/// Purges what the JSON in `body` names.
pub(super) async fn purge(Ask { live, body, .. }: &Ask) -> AdminAnswer {
    match wanted(body) {
        Ok(purge) => {
            let caches = live.load().caches.clone();
            let (mut purged, mut waiting) = (0, Vec::new());
            for cache in &caches {
                let (gone, told) = purge_in(cache, &purge).await;
                purged += gone;
                if !told {
                    waiting.push(&*cache.name);
                }
            }
            let mut told = json!({ "purged": purged });
            if !waiting.is_empty() {
                // Other instances may still serve it.
                told["redis_is_gone"] = waiting.into();
            }
            document(StatusCode::OK, &told)
        }
        Err(error) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &error),
    }
}

const SHAPE: &str = "send one of {\"url\": \"https://host/path\"}, {\"prefix\": \"https://host/dir/\"}, \
                     {\"host\": \"host\"} and {\"tag\": \"name\"}, with \"soft\": true to mark it stale";

fn wanted(body: &[u8]) -> Result<Purge, String> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| format!("the body is no JSON ({error}): {SHAPE}"))?;
    let Value::Object(fields) = value else {
        return Err(format!("the body is no object: {SHAPE}"));
    };
    let (mut found, mut soft) = (Vec::new(), false);
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("soft", Value::Bool(wanted)) => soft = wanted,
            ("soft", _) => return Err("\"soft\" is true or false".into()),
            ("url" | "prefix" | "host" | "tag", Value::String(name)) if !name.is_empty() => {
                found.push((key, name));
            }
            ("url" | "prefix" | "host" | "tag", _) => {
                return Err(format!("\"{key}\" is no text: {SHAPE}"));
            }
            _ => return Err(format!("unknown key \"{key}\": {SHAPE}")),
        }
    }
    let [(key, name)] = <[_; 1]>::try_from(found).map_err(|_| SHAPE.to_owned())?;
    let url = || {
        as_stored(&name).ok_or_else(|| {
            format!("`{name}` is no URL: write it with `http://` or `https://` and a host")
        })
    };
    Ok(match key.as_str() {
        "url" => Purge::new(&PurgeTarget::Url(url()?.as_bytes()), soft),
        "prefix" => Purge::new(&PurgeTarget::Prefix(url()?.as_bytes()), soft),
        "host" => Purge::new(&PurgeTarget::Host(name.to_ascii_lowercase().as_bytes()), soft),
        _ => Purge::new(&PurgeTarget::Tag(name.as_bytes()), soft),
    })
}

/// A URL, or the beginning of one, in the spelling that responses are stored under.
fn as_stored(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return None;
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    if host.is_empty() {
        return None;
    }
    let path = match path {
        path if path.starts_with('/') => path.to_owned(),
        query => format!("/{query}"),
    };
    Some(url::absolute(&scheme, host, &path))
}

/// How many went, a lower bound, and whether all tiers know of it.
async fn purge_in(cache: &Cache, purge: &Purge) -> (u64, bool) {
    let target = purge.target();
    let was_there = match target {
        PurgeTarget::Url(url) => std::str::from_utf8(url)
            .is_ok_and(|url| cache.store.peek(url_key(url, b"", b"")).is_some()),
        _ => false,
    };
    let told = cache.purge(&target, purge.soft).await;
    let swept = cache.store.sweep(&mut Sweep::default(), SWEPT_AT_ONCE);
    ((swept.freed as u64).max(was_there.into()), told)
}

/// Why a URL is or is not answered from a cache.
pub(super) fn explain(ask: &Ask) -> AdminAnswer {
    let wanted = ask.query().and_then(|it| it.strip_prefix("url="));
    let wanted = wanted.map(|it| percent_encoding::percent_decode_str(it).decode_utf8_lossy());
    let Some(url) = wanted.as_deref().and_then(as_stored) else {
        let error = "write `/cache/explain?url=https://host/path`, the URL percent-encoded";
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, error);
    };
    document(StatusCode::OK, &explained(&ask.live.load(), &url))
}

fn explained(snapshot: &Snapshot, url: &str) -> Value {
    let Some((route, cache)) = route_of(snapshot, url) else {
        return json!({ "url": url, "says": "no route takes this URL" });
    };
    let Some(cache) = cache else {
        let says = format!("its route `{route}` has no cache: write `cache = \"NAME\"` there");
        return json!({ "url": url, "route": route, "says": says });
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let mut told = json!({ "url": url, "route": route, "cache": &*cache.name });
    let Some(hit) = cache.store.peek(url_key(url, b"", b"")) else {
        told["says"] = if cache.tiers().is_some() {
            "it is not in memory; the tiers beside it are looked at when it is asked for"
        } else {
            "nothing is stored: it was not asked for since the start, or was purged, or \
             pushed out by what is asked for more often"
        }
        .into();
        return told;
    };
    match hit.entry.value() {
        CacheEntry::Response(stored) => {
            let fresh = if hit.stale { stored.fresh.staled(now) } else { stored.fresh };
            tell(&mut told, &hit.entry, &fresh, now);
        }
        CacheEntry::Variants(names) => {
            let names: Vec<_> = names.iter().map(HeaderName::as_str).collect();
            told["says"] = format!(
                "stored are variants for different values of {}: ask with a client and read `Cache-Status`",
                names.join(", ")
            )
            .into();
            told["vary"] = names.into();
        }
        CacheEntry::Passed(_, why) => {
            told["reason"] = why.word().into();
            told["says"] = why.sentence().into();
        }
    }
    told
}

fn tell(told: &mut Value, entry: &Arc<StoredEntry<CacheEntry>>, fresh: &Freshness, now: u64) {
    let Some(stored) = response(entry) else { return };
    let ttl = fresh.ttl(now);
    told["says"] = if ttl > 0 {
        format!("stored, and fresh for {ttl} more seconds, by {}", fresh.source().word())
    } else {
        format!("stored, and stale for {} seconds", -ttl)
    }
    .into();
    told["status"] = stored.head.status().into();
    told["age"] = fresh.age(now).into();
    told["ttl"] = ttl.into();
    told["bytes"] = stored.body.len().into();
    told["tags"] = entry.label().tags().into();
}

/// The route that takes a GET of it, on the first listener that has its host, and the route's cache.
fn route_of<'a>(snapshot: &'a Snapshot, url: &str) -> Option<(String, Option<&'a Arc<Cache>>)> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.authority()?.as_str();
    let listeners = snapshot.listeners.iter().flatten();
    let found = listeners
        .filter_map(|it| it.sites.find(&site_name(host)))
        .find_map(|site| snapshot.router.find(site, &Method::GET, uri.path()));
    let route = snapshot.route(found?);
    Some((route.name.to_string(), route.caching.as_ref().map(|it| &it.cache)))
}
