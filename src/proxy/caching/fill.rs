//! The task that fetches a response for the cache.
//!
//! Owns: one fetch, from the server's answer to what is stored. May touch: [`crate::cache`],
//! [`crate::encode`], [`crate::http1`], [`crate::message`], [`crate::route`], [`crate::snapshot`].
//! It goes on if the client leaves for which it was begun: others may wait for it.

use super::{StoredNow, unix_now};
use crate::{
    cache::{
        Cache,
        flight::{FetchFailed, Reused, Settled},
        flights::Ticket,
        kept::{CacheEntry, NotKept, StoredResponse},
        policy::{Asked, Times, is_failure, may_serve_on_error},
        store::{Seq, StoreKey, StoredBody},
        streamed::Streamed,
        tiers::trip::{ForTiers, TierTrip},
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
        Proxy,
        facts::{Facts, ToldOfFetch},
        forward,
        refusal::Refusal,
        spans,
    },
    route::{Action, Forward, Route},
    snapshot::Snapshot,
};
use bytes::Bytes;
use http::{StatusCode, header};
use std::{future::poll_fn, mem::take, sync::Arc, time::Instant};
use tokio::sync::oneshot;

/// One fetch.
pub(super) struct Job {
    pub(super) proxy: Arc<Proxy>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) route: u32,
    pub(super) facts: Facts,
    pub(super) unclean: Option<Box<str>>,
    pub(super) asked: Asked,
    pub(super) url: String,
    /// Of the URL alone.
    pub(super) url_key: StoreKey,
    /// The request has `Authorization`: what comes of it says nothing of others.
    pub(super) authorized: bool,
    /// It is passed on as the client asks, and nothing is stored.
    pub(super) as_asked: bool,
    /// What is stored, to be validated.
    pub(super) kept: StoredNow,
    pub(super) ticket: Ticket,
    /// Where it may be stored beside memory.
    pub(super) tiers: Option<Box<TierTrip>>,
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
    let begun = Instant::now();
    if job.found_in_tier(&caching.cache, begun).await {
        if let Some(reply) = reply.take() {
            let _ = reply.send((ToldOfFetch::of(&job.facts), Filled::Shared));
        }
        return;
    }
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
                    job.took(&caching.cache, "server", begun);
                }
            }
        }
    }
    job.facts.count_attempt(&forward.group);
    if let Some(terms) = &snapshot.tracing {
        spans::tell_of_fetch(terms, &job.facts, route, job.proxy.worker);
    }
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

    /// Takes the content, for those who read it and for the store.
    async fn pull(&mut self, cache: &Cache, streamed: &Streamed, mut body: Body) {
        let flight = Arc::clone(&self.ticket.flight);
        let (mut length, mut stores) = (0, streamed.fresh.is_ok());
        if !stores {
            flight.overflow();
        }
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
                let status = StatusCode::from_u16(streamed.head.status()).unwrap_or_default();
                self.note_passed(cache, status, &streamed.names, NotKept::TooLarge);
            }
            if poll_fn(|cx| flight.poll_push(cx, &mut data)).await.is_err() {
                // Nobody reads it, and it will not be stored. Dropping the body tells the server.
                flight.finish(false);
                return;
            }
        }
        if stores && let Ok(fresh) = streamed.fresh {
            let response = StoredResponse {
                head: streamed.head.clone(),
                fresh,
                body: StoredBody::packed(&flight.parts()),
            };
            if !streamed.names.is_empty() {
                let variants = CacheEntry::Variants(streamed.names.clone());
                self.store_under(cache, self.url_key, &[], variants);
            }
            self.keep_in_tiers(ForTiers {
                head: &response.head,
                fresh: &response.fresh,
                content: &response.body,
                names: &streamed.names,
                tags: &streamed.tags,
            });
            self.store_under(cache, streamed.key, &streamed.tags, CacheEntry::Response(response));
        }
        // Those who come now find it stored.
        self.ticket.leave();
        flight.finish(true);
    }
}
