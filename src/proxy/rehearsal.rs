//! The way of a request, without going it: what each step would decide.
//!
//! Owns: the order of the steps as in [`super::handle`], each of them by the very code that
//! requests go through. May touch: [`crate::encode`], [`crate::files`], [`crate::filter`],
//! [`crate::http1`], [`crate::message`], [`crate::observe`], [`crate::path`], [`crate::route`],
//! [`crate::snapshot`], [`crate::upstream`]; [`crate::clock`]. No turn is taken, no slot, nothing
//! is counted or logged. [`crate::explain`] tells it.

pub use super::caching::preview::CacheView;
use super::{
    admission, arrive,
    caching::preview::preview,
    ends_here,
    facts::Facts,
    files, finish,
    forward::{asking, key, most, target},
    raw_path,
    record::told_of_client,
    redirect,
    refusal::Refusal,
    refused, respond, trace,
};
use crate::{
    clock::Clock,
    encode::CodingWish,
    files::{Files, FilesSettings},
    filter::{FilterPlace, Verdict},
    http1::request::Head,
    message::{
        answer::Answer,
        body::{Body, Length},
        context::{Context, Peer, Scope},
        request_id::RequestIds,
    },
    observe::metrics::Metrics,
    path::normalise,
    route::{Action, FilesRoute, Forward, Key, Route, Tries},
    snapshot::Snapshot,
    upstream::{Preview, Unavailable},
};
use http::HeaderMap;
use std::{borrow::Cow, mem::take, sync::Arc};

/// What a request is rehearsed with.
pub struct RehearsalStage<'a> {
    /// The config.
    pub snapshot: &'a Snapshot,
    /// The process's time.
    pub clock: Clock,
    /// For filters that look at counters; nothing is counted.
    pub metrics: &'a Metrics,
}

/// A request that has been read, as it would be by a client's connection.
pub struct Rehearsed {
    /// The connection.
    pub peer: Arc<Peer>,
    /// The listener's id.
    pub listener: usize,
    /// The head.
    pub head: Head,
    /// The body's announced length.
    pub length: Length,
    /// Whether the body was framed in two ways at once.
    pub framed_twice: bool,
}

/// What would happen.
pub struct Rehearsal {
    /// What is known of the request at the end.
    pub facts: Facts,
    /// The path by which the route was looked for, if it is one.
    pub path: Option<String>,
    /// What the filters did, in their order.
    pub filters: Vec<FilterView>,
    /// What the client says of content codings, or a fetch for the cache.
    pub wish: CodingWish,
    /// How it ends.
    pub ending: Ending,
}

/// What one filter did.
pub struct FilterView {
    /// The table that it is made from.
    pub name: &'static str,
    /// The fields before it.
    pub before: HeaderMap,
    /// The fields after it.
    pub after: HeaderMap,
    /// Whether it let the request pass; `None`: it would wait for somebody's word.
    pub passed: Option<bool>,
}

/// How a request ends.
pub enum Ending {
    /// It is answered here: by the config, from a directory, or because it is refused.
    Answered {
        /// The answer.
        answer: Answer<Body>,
        /// Why it is refused, if it is.
        reason: Option<&'static str>,
        /// The paths that are looked up in the directory.
        looked_up: Vec<String>,
    },
    /// It depends on a filter that would ask somebody.
    Waits,
    /// A server would be asked, or the cache knows the answer.
    Forwarded(Box<ForwardView>),
}

/// A request at its upstream.
pub struct ForwardView {
    /// What the cache would do.
    pub cache: Option<CacheView>,
    /// The answer if no server is asked, and why.
    pub answer: Option<(Answer<Body>, Option<&'static str>)>,
    /// What the strategy hashes.
    pub key: Option<String>,
    /// Who would be asked.
    pub choice: Result<Preview, Unavailable>,
    /// The clock at the choice.
    pub now: u64,
    /// The head that the server gets.
    pub sent: Option<Vec<u8>>,
}

/// Rehearses a request.
pub async fn rehearse(stage: &RehearsalStage<'_>, request: Rehearsed) -> Rehearsal {
    let Rehearsed { peer, listener, head, length, framed_twice } = request;
    let told = told_of_client(stage.snapshot, &head, &peer);
    let ids = RequestIds::new();
    let id = ids.take(&head.fields, head.present.request_id);
    let context = Context::new(head, peer, told, id);
    let mut facts = Facts::new(context, listener, framed_twice);
    if let Some(terms) = &stage.snapshot.tracing {
        trace::begin(terms, &ids, &mut facts);
    }
    let mut filters = Vec::new();
    let arrived = arrive(stage.snapshot, &mut facts);
    let path = normalise(raw_path(&facts.context)).ok().map(Cow::into_owned);
    let mut wish = CodingWish::by(&facts.context.head);
    let mut looked_up = Vec::new();
    let ending = match arrived {
        Ok((index, unclean)) => {
            let route = stage.snapshot.route(index);
            match pass_filters(stage, route, &mut facts, &mut filters) {
                Ok(None) => {
                    let unclean = unclean.as_deref();
                    let asked = (unclean, length, &mut wish);
                    act(stage, route, &mut facts, asked, &mut looked_up).await
                }
                Ok(Some(ending)) => Ok(ending),
                Err(refusal) => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    };
    let ending = ending.unwrap_or_else(|refusal| {
        let answer = refused(stage.snapshot, &facts, &refusal);
        Ending::Answered { answer, reason: Some(refusal.reason), looked_up: take(&mut looked_up) }
    });
    Rehearsal { facts, path, filters, wish, ending }
}

/// Step 4. An ending if a filter does not let it pass.
fn pass_filters(
    stage: &RehearsalStage<'_>,
    route: &Route,
    facts: &mut Facts,
    seen: &mut Vec<FilterView>,
) -> Result<Option<Ending>, Refusal> {
    for filter in route.filters.iter() {
        let RehearsalStage { clock, metrics, .. } = *stage;
        let place = FilterPlace { route: &route.name, upstream: route.upstream(), clock, metrics };
        let before = facts.context.head.fields.map().clone();
        let (passed, ended) = match filter.request(&mut facts.context, place) {
            Verdict::Pass => (Some(true), Ok(None)),
            Verdict::Refuse(status, reason) => (Some(false), Err(Refusal::new(status, reason))),
            Verdict::Answer(stopped) => {
                let (answer, reason) = (stopped.answer, Some(stopped.reason));
                (Some(false), Ok(Some(Ending::Answered { answer, reason, looked_up: Vec::new() })))
            }
            Verdict::Wait(_) => (None, Ok(Some(Ending::Waits))),
        };
        let after = facts.context.head.fields.map().clone();
        seen.push(FilterView { name: filter.name(), before, after, passed });
        match ended? {
            None => {}
            Some(Ending::Answered { mut answer, reason, looked_up }) => {
                let succeeded = answer.status.is_success();
                route.filters.response(answer.fields.map(), succeeded, &facts.scope(route));
                return Ok(Some(Ending::Answered { answer, reason, looked_up }));
            }
            ended => return Ok(ended),
        }
    }
    Ok(None)
}

/// Steps 5 to 7.
async fn act(
    stage: &RehearsalStage<'_>,
    route: &Route,
    facts: &mut Facts,
    (unclean, length, wish): (Option<&str>, Length, &mut CodingWish),
    looked_up: &mut Vec<String>,
) -> Result<Ending, Refusal> {
    let mut answer = match &route.action {
        Action::Respond(action) => respond(action, facts, route),
        Action::Redirect(action) => redirect(action, facts, route)?,
        Action::Files(action) => {
            *looked_up = paths(action, facts, route, unclean);
            files(&beside(action), facts, route, unclean).await?
        }
        Action::Forward(_) if admission::ends_here(&mut facts.context) => ends_here(facts)?,
        Action::Forward(action) => {
            let mut view = forwarded(stage, (route, action), facts, (unclean, length), wish)?;
            if let Some((answer, None)) = &mut view.answer {
                end(route, facts, wish, answer);
            }
            return Ok(Ending::Forwarded(Box::new(view)));
        }
    };
    end(route, facts, wish, &mut answer);
    Ok(Ending::Answered { answer, reason: None, looked_up: take(looked_up) })
}

/// Steps 6 and 7.
fn end(route: &Route, facts: &Facts, wish: &CodingWish, answer: &mut Answer<Body>) {
    let codings = route.codings.as_ref().map(|it| it.uncounted());
    finish(route, facts, codings.as_ref().map(|it| (it, wish)), answer);
}

/// The same directory without the files in memory, which stay as they are.
fn beside(action: &FilesRoute) -> FilesRoute {
    let settings = FilesSettings { cache: None, ..action.files.settings().clone() };
    let tries =
        action.tries.as_ref().map(|it| Tries { paths: it.paths.clone(), missing: it.missing });
    FilesRoute { files: Arc::new(Files::new(settings)), target: action.target.clone(), tries }
}

fn paths(action: &FilesRoute, facts: &Facts, route: &Route, unclean: Option<&str>) -> Vec<String> {
    let path = unclean.unwrap_or(raw_path(&facts.context));
    let path = action.target.path(path, &facts.scope(route));
    match &action.tries {
        None => vec![path.into_owned()],
        Some(tries) => {
            let scope = Scope { path: Some(&path), ..facts.scope(route) };
            tries.paths.iter().map(|it| scope.render(it)).collect()
        }
    }
}

fn forwarded(
    stage: &RehearsalStage<'_>,
    (route, forward): (&Route, &Forward),
    facts: &mut Facts,
    (unclean, length): (Option<&str>, Length),
    wish: &mut CodingWish,
) -> Result<ForwardView, Refusal> {
    let bodyless = length == Length::None;
    let mut cache =
        route.caching.as_ref().map(|caching| preview(forward, caching, facts, bodyless));
    let limit = most(route, facts);
    if limit > 0 && length.exact().is_some_and(|length| length > limit) {
        return Err(Refusal::too_large());
    }
    let from_cache = cache.as_mut().and_then(|it| it.answer.take());
    let own = cache.as_mut().and_then(|it| it.fetch.take());
    let asked = own.as_deref().unwrap_or(facts);
    if own.is_some() {
        // What is stored has the coding that is chosen without the client's weights.
        *wish = CodingWish::by(&asked.context.head);
    }
    let hashed = key(route, forward, asked);
    let upstream = &forward.group.upstream;
    let now = stage.clock.now();
    let choice = upstream.peek(hashed, now);
    let target = target(route, forward, asked, unclean);
    let length = if own.is_some() { Length::None } else { length };
    let asks = from_cache.is_none();
    let first = choice.as_ref().ok().and_then(|it| it.among.first()).filter(|_| asks);
    let sent = first.map(|index| {
        let server = &upstream.members()[*index].server;
        asking(forward, asked, target.as_deref()).text(server, length)
    });
    let answer = match (from_cache, &choice) {
        (Some(Ok(answer)), _) => Some((answer, None)),
        (Some(Err(refusal)), _) => {
            Some((refused(stage.snapshot, facts, &refusal), Some(refusal.reason)))
        }
        (None, Err(none)) => {
            let refusal = Refusal::unavailable(none);
            Some((refused(stage.snapshot, facts, &refusal), Some(refusal.reason)))
        }
        (None, Ok(_)) => None,
    };
    let key = match &forward.key {
        Key::None => None,
        Key::ClientIp => Some(facts.context.client_text().into_owned()),
        Key::Text(template) => Some(asked.scope(route).render(template)),
    };
    Ok(ForwardView { cache, answer, key, choice, now, sent })
}
