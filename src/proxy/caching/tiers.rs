//! What the tiers beside memory have of a response, and what they get of it.
//!
//! Owns: the step between memory and the servers. May touch: [`crate::cache`].

use super::{fill::Job, job::validate, unix_now};
use crate::cache::{
    Cache,
    flight::{FoundResponse, Settled},
    kept::{CacheEntry, StoredResponse},
    lookup::{variant_key, variant_values},
    policy::{Decision, decide},
    store::{StoredBody, StoredEntry},
    tiers::trip::{ForTiers, FoundInTier},
};
use http::HeaderName;
use std::{sync::Arc, time::Instant};

impl Job {
    /// Whether a tier has the answer. What it has goes into memory; what has to be validated first is
    /// what this fetch validates.
    pub(super) async fn found_in_tier(&mut self, cache: &Cache, begun: Instant) -> bool {
        let Some(trip) = self.tiers.as_deref().filter(|_| self.kept.is_none() && !self.as_asked)
        else {
            return false;
        };
        let Some(found) = trip.find(|names| self.values(names)).await else { return false };
        let now = unix_now();
        let FoundInTier { tier, head, fresh, content, stale, names, tags } = found;
        let fresh = if stale { fresh.staled(now) } else { fresh };
        let body = StoredBody::packed(&[content]);
        let kept = CacheEntry::Response(StoredResponse { head, fresh, body });
        let key = variant_key(self.url_key, &names, &self.facts.context.head.fields);
        let Some(label) = self.label(&tags) else { return false };
        let entry = Arc::new(StoredEntry::new(label, kept));
        if !names.is_empty() {
            self.store_under(cache, self.url_key, &[], CacheEntry::Variants(names.clone()));
        }
        cache.store.insert_shared(key, &entry);
        if matches!(decide(&fresh, &self.asked, now), Decision::Validate(_)) {
            validate(&mut self.facts.context.head, &entry);
            self.kept = Some((entry, fresh));
            return false;
        }
        // Those who come now find it in memory.
        self.ticket.leave();
        let found = FoundResponse { tier, entry, fresh, names, key };
        self.ticket.flight.settle(Settled::Found(Arc::new(found)));
        self.took(cache, tier, begun);
        true
    }

    /// Counts the time that a fetch took.
    pub(super) fn took(&self, cache: &Cache, from: &str, begun: Instant) {
        let metric = &self.proxy.live.metrics.caches.fetch_seconds;
        metric.with_label_values(&[&*cache.name, from]).observe(begun.elapsed().as_secs_f64());
    }

    /// Gives the tiers what is stored.
    pub(super) fn keep_in_tiers(&self, response: ForTiers<'_>) {
        if let Some(trip) = &self.tiers {
            trip.put(response, &self.values(response.names), unix_now());
        }
    }

    /// Takes the response out of them.
    pub(super) fn remove_from_tiers(&self, names: &[HeaderName]) {
        if let Some(trip) = &self.tiers {
            trip.remove(names, &self.values(names));
        }
    }

    fn values(&self, names: &[HeaderName]) -> Vec<u8> {
        variant_values(names, &self.facts.context.head.fields)
    }
}
