//! What of a server's answer is stored, and what is noted of one that is not.
//!
//! Owns: the names that a response is stored under. May touch: [`crate::cache`],
//! [`crate::message`], [`crate::settings`]. [`super::fill`] calls it.

use super::{fill::Job, job::is_left_out, stored::stored_map, unix_now};
use crate::{
    cache::{
        Cache, Caching,
        flight::{Reused, Settled},
        kept::{CacheEntry, NotKept, StoredResponse},
        lookup::{response, variant_key},
        policy::{
            NotStored, Times, complete_date, is_failure, may_keep, may_share_failure, may_store,
            stored_fields, validation,
            vary::{self, Vary},
        },
        store::{Label, StoreKey, StoredEntry, StoredHead},
        streamed::Streamed,
        tiers::trip::ForTiers,
        url,
    },
    message::{
        answer::Answer,
        body::Body,
        forwarded::{X_FORWARDED_FOR, X_REAL_IP},
        request_id::X_REQUEST_ID,
    },
    settings::{CookieKey, RouteCache},
};
use http::{HeaderMap, HeaderName, StatusCode, header};
use std::sync::Arc;

/// At most so many fields choose between the responses of a URL that name different ones.
const UNITED: usize = 8;

/// After a response that could not be stored, so many seconds requests do not wait for each other.
const PASSED: u64 = 120;

impl Job {
    /// The server says that what is stored is still right (RFC 9111 §4.3.4). False if it is not about
    /// that.
    pub(super) fn validated(
        &self,
        caching: &Caching,
        not_modified: &HeaderMap,
        times: Times,
    ) -> bool {
        let Some((entry, _)) = &self.kept else { return false };
        let Some(stored) = response(entry) else { return false };
        let old = stored_map(stored.head.fields());
        if !validation::freshens(&old, not_modified) {
            return false;
        }
        let status = StatusCode::from_u16(stored.head.status()).unwrap_or_default();
        let request = &self.facts.context.head.fields;
        let Some(request) = request.as_map() else { return false };
        let (fields, fresh) =
            may_keep(&self.asked, request, status, &old, not_modified, times, &caching.rules);
        let settled = Settled::Stored(Arc::clone(entry), Reused::Validated);
        let fresh = match fresh {
            Ok(fresh) => fresh,
            // This is about the one request only.
            Err(NotStored::RequestNoStore | NotStored::Authorization) => {
                self.ticket.flight.settle(settled);
                return true;
            }
            // It is the answer for those who wait, and then gone.
            Err(_) => {
                caching.cache.store.remove(self.key(caching, &old));
                self.remove_from_tiers(&chosen_by(&old, &caching.settings).unwrap_or_default());
                self.ticket.flight.settle(settled);
                return true;
            }
        };
        let Some(head) = stored_head(status, &stored_fields(&fields)) else { return false };
        let label = entry.label().renewed(self.begun);
        let renewed = StoredResponse { head, fresh, body: stored.body.clone() };
        self.keep_in_tiers(ForTiers {
            head: &renewed.head,
            fresh: &renewed.fresh,
            content: &renewed.body,
            names: &chosen_by(&fields, &caching.settings).unwrap_or_default(),
            tags: &tags(&fields),
        });
        let key = self.key(caching, &fields);
        let cache = &caching.cache;
        cache.store.refresh(key, entry, StoredEntry::new(label, CacheEntry::Response(renewed)));
        let now = cache.store.peek(key).map_or_else(|| Arc::clone(entry), |it| it.entry);
        let now = if response(&now).is_some() { now } else { Arc::clone(entry) };
        self.ticket.flight.settle(Settled::Stored(now, Reused::Validated));
        true
    }

    /// The key that a response with these fields is stored under.
    fn key(&self, caching: &Caching, fields: &HeaderMap) -> StoreKey {
        let names = chosen_by(fields, &caching.settings).unwrap_or_default();
        let names = self.united(&caching.cache, names);
        variant_key(self.url_key, &names, &self.facts.context.head.fields)
    }

    /// The fields of `Vary` with those that other responses of this URL name. Whoever looks a response up
    /// does not know yet which of them it will be, so all have keys of the same fields: with keys of
    /// its own fields, each would hide the others. More fields than it names make a key only narrower.
    ///
    /// A response without `Vary` is for all requests (RFC 9111 §4.1) and replaces them all, so that a
    /// field which was named once does not count for ever.
    fn united(&self, cache: &Cache, mut names: Vec<HeaderName>) -> Vec<HeaderName> {
        if names.is_empty() {
            return names;
        }
        let Some(before) = cache.store.peek(self.url_key) else { return names };
        let CacheEntry::Variants(before) = before.entry.value() else { return names };
        let new: Vec<_> = before.iter().filter(|it| !names.contains(it)).cloned().collect();
        if names.len() + new.len() <= UNITED {
            names.extend(new);
            names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        }
        names
    }

    /// The head as it is stored or only shared, or why the response is neither.
    pub(super) fn storable(
        &mut self,
        caching: &Caching,
        answer: &mut Answer<Body>,
        times: Times,
    ) -> Result<Streamed, &'static str> {
        let length = answer.body.length().exact();
        let status = answer.status;
        let fields = answer.fields.map();
        complete_date(fields, times.received);
        if self.as_asked {
            return Err("passed");
        }
        let request = self.facts.context.head.fields.map();
        let fresh = may_store(&self.asked, request, status, fields, times, &caching.rules);
        if fresh == Err(NotStored::RequestNoStore) {
            return Err(NotStored::RequestNoStore.word());
        }
        let names = chosen_by(fields, &caching.settings);
        let verdict = match fresh {
            Ok(_) if length.is_some_and(|it| it > caching.cache.max_object()) => {
                Err(NotKept::TooLarge)
            }
            Ok(fresh) => names.as_ref().map(|_| fresh).map_err(|why_not| *why_not),
            Err(rule) => Err(NotKept::ByRule(rule)),
        };
        let is_chosen = names.is_ok();
        let names: Box<[HeaderName]> =
            self.united(&caching.cache, names.unwrap_or_default()).into();
        let fresh = verdict.map_err(|why_not| {
            self.note_passed(&caching.cache, status, &names, why_not);
            why_not.word()
        });
        if let Err(why_not) = fresh
            && !(is_chosen && self.is_shared_failure(caching, &names, answer))
        {
            return Err(why_not);
        }
        let fields = answer.fields.map();
        let key = variant_key(self.url_key, &names, &self.facts.context.head.fields);
        let tags = tags(fields);
        if Label::new(self.begun, b"", b"", tags.iter().map(Vec::as_slice)).is_none() {
            return Err("too_many_tags");
        }
        let head = stored_head(status, &stored_fields(fields)).ok_or("head_too_large")?;
        Ok(Streamed { head, fresh, length, names, key, tags })
    }

    /// Whether it is a failure that others wait for, and that is for them, too. Else a sick server would
    /// be asked again by all of them at once.
    fn is_shared_failure(
        &mut self,
        caching: &Caching,
        names: &[HeaderName],
        answer: &mut Answer<Body>,
    ) -> bool {
        let request = self.facts.context.head.fields.map();
        let is_in_key = caching.settings.cookies != CookieKey::Pass;
        let cookie =
            request.contains_key(header::COOKIE) && !(is_in_key || names.contains(&header::COOKIE));
        let (status, fields) = (answer.status, answer.fields.map());
        if !may_share_failure(request, cookie, status, fields, &caching.rules) {
            return false;
        }
        // Who comes later asks anew.
        self.ticket.leave();
        // One is the request that it was fetched for.
        self.ticket.flight.readers() > 1
    }

    /// Notes that requests for this need not wait for each other, in the place of what is stored. An
    /// error that may be about this request only, or will be over soon, changes nothing: what one
    /// client sends must not push out what others get.
    pub(super) fn note_passed(
        &mut self,
        cache: &Cache,
        status: StatusCode,
        names: &[HeaderName],
        why_not: NotKept,
    ) {
        let is_about_all = !status.is_client_error() || matches!(status.as_u16(), 404 | 410 | 451);
        if is_failure(status) || self.kept.is_some() && !is_about_all {
            return;
        }
        let mut key = self.ticket.key;
        if !(names.is_empty() || self.authorized) {
            // Only this variant.
            key = variant_key(self.url_key, names, &self.facts.context.head.fields);
            self.store_under(cache, self.url_key, &[], CacheEntry::Variants(names.into()));
        }
        self.store_under(cache, key, &[], CacheEntry::Passed(unix_now() + PASSED, why_not));
    }

    pub(super) fn store_under(
        &self,
        cache: &Cache,
        key: StoreKey,
        tags: &[Vec<u8>],
        kept: CacheEntry,
    ) {
        if let Some(label) = self.label(tags) {
            cache.store.insert(key, StoredEntry::new(label, kept));
        }
    }

    /// What a response of this URL can be purged by.
    pub(super) fn label(&self, tags: &[Vec<u8>]) -> Option<Label> {
        let host = url::host_of(&self.url).as_bytes();
        Label::new(self.begun, self.url.as_bytes(), host, tags.iter().map(Vec::as_slice))
    }
}

/// The fields of requests that choose between the responses of this URL, without those that no server
/// gets or that are in the key; or why it is for nobody else.
fn chosen_by(fields: &HeaderMap, settings: &RouteCache) -> Result<Vec<HeaderName>, NotKept> {
    let Vary::Fields(mut names) = vary::of(fields) else { return Ok(Vec::new()) };
    // We write these for each client, so that no two have the same.
    let of_one_client = [header::FORWARDED, X_FORWARDED_FOR, X_REAL_IP, X_REQUEST_ID];
    if names.iter().any(|name| of_one_client.contains(name)) {
        return Err(NotKept::VaryClient);
    }
    names.retain(|name| !is_left_out(name, settings));
    Ok(names)
}

fn stored_head(status: StatusCode, fields: &HeaderMap) -> Option<StoredHead> {
    let fields = fields.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH);
    StoredHead::new(
        status.as_u16(),
        fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
    )
}

/// What the response can be purged by, beside its URL: the words of `Surrogate-Key`, and the members of
/// `Cache-Tag`.
fn tags(fields: &HeaderMap) -> Vec<Vec<u8>> {
    let split = |name: &'static str, at: fn(&u8) -> bool| {
        let lines = fields.get_all(name).iter();
        let words = lines.flat_map(move |it| it.as_bytes().split(at).map(<[u8]>::trim_ascii));
        words.filter(|it| !it.is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let mut tags = split("surrogate-key", u8::is_ascii_whitespace);
    tags.extend(split("cache-tag", |byte| *byte == b','));
    tags.sort();
    tags.dedup();
    tags
}
