//! The task that fetches a response for the cache.
//!
//! Owns: one fetch, from the server's answer to what is stored. May touch: [`crate::cache`],
//! [`crate::encode`], [`crate::http1`], [`crate::message`], [`crate::route`], [`crate::snapshot`].
//! It goes on if the client leaves for which it was begun: others may wait for it.

use super::{StoredNow, stored::stored_map, unix_now};
use crate::{
    cache::{
        Cache, Caching,
        flight::{FetchFailed, Reused, Settled},
        flights::Ticket,
        kept::{CacheEntry, NotKept, StoredResponse},
        lookup::{response, variant_key},
        policy::{
            Asked, NotStored, Times, complete_date, is_failure, may_keep, may_serve_on_error,
            may_store, stored_fields, validation,
            vary::{self, Vary},
        },
        store::{Label, Seq, StoreKey, StoredBody, StoredEntry, StoredHead},
        streamed::Streamed,
    },
    encode::{self, CodingWish},
    http1::outgoing::Part,
    message::{
        answer::Answer,
        body::{Body, Want},
        interim::Interims,
        pile::compact,
    },
    proxy::{
        Proxy, forward,
        record::{Facts, ToldOfFetch},
        refusal::Refusal,
    },
    route::{Action, Forward, Route},
    snapshot::Snapshot,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use std::{future::poll_fn, mem::take, sync::Arc};
use tokio::sync::oneshot;

/// After a response that could not be stored, so many seconds requests do not wait for each other.
const PASSED: u64 = 120;

/// One fetch.
pub(super) struct Job {
    pub(super) proxy: Arc<Proxy>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) route: u32,
    pub(super) facts: Facts,
    pub(super) unclean: Option<Box<str>>,
    pub(super) asked: Asked,
    pub(super) url: String,
    pub(super) host: String,
    /// Of the URL alone.
    pub(super) url_key: StoreKey,
    /// What is stored, to be validated.
    pub(super) kept: StoredNow,
    pub(super) ticket: Ticket,
    /// The last purge before it.
    pub(super) begun: Seq,
}

/// What came of it, for the request that it was begun for.
pub(super) enum Filled {
    /// The answer is for this request alone, and why.
    Passed(Answer<Body>, &'static str),
    /// See its flight.
    Shared,
}

type FillReply = Option<oneshot::Sender<(ToldOfFetch, Filled)>>;

impl Job {
    /// For nobody: it is not told of interim responses either.
    #[must_use]
    pub(super) fn behind(mut self) -> Self {
        self.facts.context.number = Interims::NOBODY;
        self
    }
}

/// Fetches, stores, and tells those who wait.
pub(super) async fn fill(mut job: Job, mut reply: FillReply) {
    let snapshot = Arc::clone(&job.snapshot);
    let route = snapshot.route(job.route);
    let (Action::Forward(forward), Some(caching)) = (&route.action, route.caching.as_deref())
    else {
        return;
    };
    let mut answer = job.ask(route, forward).await;
    if let Ok((head, times)) = &mut answer
        && head.status == StatusCode::NOT_MODIFIED
        && job.kept.is_some()
        && !job.validated(caching, head.fields.map(), *times)
    {
        // It is about another response than the one that is stored.
        job.forget_conditions();
        answer = job.ask(route, forward).await;
    }
    let told = ToldOfFetch::of(&job.facts);
    let mut tell = |filled| {
        if let Some(reply) = reply.take() {
            // The client may have left.
            let _ = reply.send((told.clone(), filled));
        }
    };
    match answer {
        Err(refusal) => {
            job.failed(&refusal);
            tell(Filled::Shared);
        }
        Ok((answer, times)) if job.is_settled(answer.status, times) => tell(Filled::Shared),
        Ok((mut answer, times)) => {
            job.encode(route, &mut answer);
            match job.storable(caching, &mut answer, times) {
                Err(why_not) => {
                    job.ticket.leave();
                    job.ticket.flight.settle(Settled::Pass);
                    tell(Filled::Passed(answer, why_not));
                }
                Ok(streamed) => {
                    let streamed = Arc::new(streamed);
                    job.ticket.flight.begin(Arc::clone(&streamed));
                    tell(Filled::Shared);
                    job.pull(&caching.cache, &streamed, answer.body).await;
                }
            }
        }
    }
    job.facts.count_attempt(&forward.group);
}

impl Job {
    async fn ask(
        &mut self,
        route: &Route,
        forward: &Forward,
    ) -> Result<(Answer<Body>, Times), Refusal> {
        let (proxy, requested) = (Arc::clone(&self.proxy), unix_now());
        let unclean = self.unclean.clone();
        let facts = &mut self.facts;
        let asked =
            forward::forward(&proxy, route, forward, facts, Body::Empty, unclean.as_deref());
        let answer = Box::pin(asked).await?;
        Ok((answer, Times { requested, received: unix_now() }))
    }

    /// What is stored is in the coding that clients get, so it is made once. `Vary` tells the others.
    fn encode(&self, route: &Route, answer: &mut Answer<Body>) {
        if let Some(codings) = &route.codings {
            let wish = CodingWish::by(&self.facts.context.head);
            let Answer { status, fields, body, .. } = answer;
            *body = encode::apply(codings, &wish, *status, fields, take(body));
        }
    }

    fn forget_conditions(&mut self) {
        self.kept = None;
        let fields = self.facts.context.head.fields.map();
        fields.remove(header::IF_NONE_MATCH);
        fields.remove(header::IF_MODIFIED_SINCE);
        self.facts.ask_again();
    }

    /// There is no answer: what is stored may be one (RFC 5861 §4).
    fn failed(&self, refusal: &Refusal) {
        if self.serves_stale(None) {
            return;
        }
        self.ticket.flight.settle(Settled::Failed(FetchFailed {
            status: refusal.status,
            reason: refusal.reason,
            retry_after: refusal.retry_after,
        }));
    }

    /// Whether what is stored is the answer to those who wait: the server has confirmed it, or its
    /// answer is an error.
    fn is_settled(&self, status: StatusCode, _: Times) -> bool {
        if status == StatusCode::NOT_MODIFIED && self.kept.is_some() {
            return true;
        }
        is_failure(status) && self.serves_stale(Some(status.as_u16()))
    }

    fn serves_stale(&self, status: Option<u16>) -> bool {
        let Some((entry, fresh)) = &self.kept else { return false };
        let may = may_serve_on_error(fresh, &self.asked, unix_now());
        if may {
            let entry = Arc::clone(entry);
            self.ticket.flight.settle(Settled::Stored(entry, Reused::OnError(status)));
        }
        may
    }

    /// The server says that what is stored is still right (RFC 9111 §4.3.4). False if it is not about
    /// that.
    fn validated(&self, caching: &Caching, not_modified: &HeaderMap, times: Times) -> bool {
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
                caching.cache.store.remove(self.key(&old));
                self.ticket.flight.settle(settled);
                return true;
            }
        };
        let Some(head) = stored_head(status, &stored_fields(&fields)) else { return false };
        let label = entry.label().renewed(self.begun);
        let response = StoredResponse { head, fresh, body: stored.body.clone() };
        let key = self.key(&fields);
        let cache = &caching.cache;
        cache.store.refresh(key, entry, StoredEntry::new(label, CacheEntry::Response(response)));
        let now = cache.store.peek(key).map_or_else(|| Arc::clone(entry), |it| it.entry);
        let now = if response_of(&now) { now } else { Arc::clone(entry) };
        self.ticket.flight.settle(Settled::Stored(now, Reused::Validated));
        true
    }

    /// The key that a response with these fields is stored under.
    fn key(&self, fields: &HeaderMap) -> StoreKey {
        let names = names(fields).unwrap_or_default();
        match self.facts.context.head.fields.as_map() {
            Some(request) => variant_key(self.url_key, &names, request),
            None => self.url_key,
        }
    }

    /// The head as it is stored, or why the response is not.
    fn storable(
        &mut self,
        caching: &Caching,
        answer: &mut Answer<Body>,
        times: Times,
    ) -> Result<Streamed, &'static str> {
        let cache = &caching.cache;
        let length = answer.body.length().exact();
        let status = answer.status;
        let fields = answer.fields.map();
        complete_date(fields, times.received);
        let request = self.facts.context.head.fields.map();
        let stored = may_store(&self.asked, request, status, fields, times, &caching.rules);
        let fresh = match stored {
            Ok(_) if length.is_some_and(|it| it > cache.max_object()) => Err(NotKept::TooLarge),
            Ok(fresh) => Ok(fresh),
            Err(NotStored::RequestNoStore) => return Err(NotStored::RequestNoStore.word()),
            Err(rule) => Err(NotKept::ByRule(rule)),
        };
        let fresh = match fresh {
            Ok(fresh) => fresh,
            Err(why_not) => {
                let until = unix_now() + PASSED;
                let passed = CacheEntry::Passed(until, why_not);
                self.store_under(cache, self.url_key, &[], passed);
                return Err(why_not.word());
            }
        };
        let names = names(fields).unwrap_or_default();
        let key = variant_key(self.url_key, &names, request);
        let tags = tags(fields);
        if Label::new(self.begun, b"", b"", tags.iter().map(Vec::as_slice)).is_none() {
            return Err("too_many_tags");
        }
        let head = stored_head(status, &stored_fields(fields)).ok_or("head_too_large")?;
        Ok(Streamed { head, fresh, length, names: names.into(), key, tags })
    }

    fn store_under(&self, cache: &Cache, key: StoreKey, tags: &[Vec<u8>], kept: CacheEntry) {
        let tags = tags.iter().map(Vec::as_slice);
        let label = Label::new(self.begun, self.url.as_bytes(), self.host.as_bytes(), tags);
        if let Some(label) = label {
            cache.store.insert(key, StoredEntry::new(label, kept));
        }
    }

    /// Takes the content, for those who read it and for the store.
    async fn pull(&mut self, cache: &Cache, streamed: &Streamed, mut body: Body) {
        let flight = Arc::clone(&self.ticket.flight);
        let (mut length, mut stores) = (0, true);
        loop {
            let part = poll_fn(|cx| body.poll_part(cx, Want::ALL)).await;
            let mut data = match part {
                None => break,
                Some(Ok(Part::Frame(frame))) => match frame.into_data() {
                    Ok(data) => compact(data),
                    // Trailers are not stored (RFC 9110 §6.5.1).
                    Err(_) => continue,
                },
                Some(Ok(Part::Moved(_))) => Bytes::new(),
                Some(Err(error)) => {
                    self.facts.attempt_broke(&error);
                    flight.finish(false);
                    return;
                }
            };
            length += data.len() as u64;
            if stores && length > cache.max_object() {
                stores = false;
                self.ticket.leave();
                flight.overflow();
                let until = unix_now() + PASSED;
                self.store_under(
                    cache,
                    self.url_key,
                    &[],
                    CacheEntry::Passed(until, NotKept::TooLarge),
                );
            }
            if poll_fn(|cx| flight.poll_push(cx, &mut data)).await.is_err() {
                // Nobody reads it, and it will not be stored. Dropping the body tells the server.
                flight.finish(false);
                return;
            }
        }
        if stores {
            let response = StoredResponse {
                head: streamed.head.clone(),
                fresh: streamed.fresh,
                body: StoredBody::packed(&flight.parts()),
            };
            if !streamed.names.is_empty() {
                let variants = CacheEntry::Variants(streamed.names.clone());
                self.store_under(cache, self.url_key, &[], variants);
            }
            self.store_under(cache, streamed.key, &streamed.tags, CacheEntry::Response(response));
        }
        // Those who come now find it stored.
        self.ticket.leave();
        flight.finish(true);
    }
}

fn response_of(entry: &StoredEntry<CacheEntry>) -> bool {
    response(entry).is_some()
}

fn names(fields: &HeaderMap) -> Option<Vec<HeaderName>> {
    match vary::of(fields) {
        Vary::Fields(names) => Some(names),
        Vary::None | Vary::Any => None,
    }
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
