//! One request, from its head to the end of its answer.
//!
//! Owns: the order of the steps, all of them in [`begin`] and [`handle`]. May touch:
//! [`crate::cache`], [`crate::clock`], [`crate::encode`], [`crate::files`], [`crate::filter`],
//! [`crate::http1`], [`crate::message`], [`crate::observe`], [`crate::origin`], [`crate::path`],
//! [`crate::protobuf`], [`crate::route`], [`crate::settings`], [`crate::snapshot`],
//! [`crate::task`], [`crate::template`], [`crate::tls`], [`crate::upstream`]. Called by
//! [`crate::client::service`] and [`crate::client::http1`]; nothing below calls back up.

pub mod admission;
mod answer_head;
mod attempt_spans;
mod caching;
pub mod delivery;
mod error_page;
pub mod facts;
mod field_sink;
pub mod forward;
pub mod forwarded_fields;
mod grpc;
#[cfg(feature = "leak-for-tests")]
mod leak_for_tests;
pub mod record;
pub mod refusal;
pub mod rehearsal;
pub mod request_head;
mod retry;
mod server_timing;
mod span;
mod spans;
mod trace;
mod traced;
mod verdict;

use crate::{
    encode::{self, CodingWish, Codings},
    files::{self, FileRequest, Files},
    filter::{FilterPlace, Stopped, Verdict},
    http1::{date::Date, fields::Fields, request::Head},
    message::{
        answer::Answer,
        body::Body,
        context::{Context, Peer, Scope, site_name},
        hop_by_hop::{remove_ambiguous, remove_claims, remove_nominated},
        request_id::RequestIds,
    },
    observe::worker_metrics::WorkerMetrics,
    origin::pool::Pool,
    path::normalise,
    route::{Action, FilesRoute, Redirect, Respond, Route, Tries, Wording},
    snapshot::{ListenerParts, Live, Snapshot},
    template::{Piece, Variable},
};
use arc_swap::ArcSwapOption;
use caching::CachePlace;
use delivery::Delivery;
use facts::Facts;
use http::{HeaderValue, Method, StatusCode, header};
use record::{Record, client_closed};
use refusal::Refusal;
use std::{borrow::Cow, mem::take, sync::Arc};

/// What one worker serves requests with.
pub struct Proxy {
    /// What is running.
    pub live: Arc<Live>,
    /// Idle connections to servers.
    pub pool: Arc<Pool>,
    /// Names for requests.
    pub ids: RequestIds,
    /// The date of responses: see [`Proxy::date`].
    pub cached_date: Date,
    /// The worker's number.
    pub worker: usize,
    /// What is counted of the worker.
    pub counts: Arc<WorkerMetrics>,
}

impl Proxy {
    /// Counts a request that has ended with this status, and the reason if something went wrong.
    fn count(&self, status: StatusCode, reason: Option<&str>) {
        self.counts.count_request();
        #[cfg(feature = "leak-for-tests")]
        leak_for_tests::leak();
        if status.is_server_error() || reason.is_some() {
            self.live.metrics.fail(reason.unwrap_or("http_status"));
        }
    }

    /// `Date` for a response that has none.
    pub fn date(&self) -> [u8; 29] {
        self.cached_date.at(self.live.clock.now())
    }
}

/// How a request arrived.
pub struct Arrival<'a> {
    /// The connection.
    pub peer: &'a Arc<Peer>,
    /// The listener's id.
    pub listener: usize,
    /// The request's number on its connection.
    pub number: u32,
    /// Whether its body was framed in two ways at once.
    pub framed_twice: bool,
    /// The snapshot to use if the current config lacks the listener, whose connections then end.
    pub last: &'a ArcSwapOption<Snapshot>,
}

/// Begins a request whose head has been read. From now on it is counted and logged, whatever
/// happens.
pub fn begin(proxy: &Arc<Proxy>, arrival: &Arrival<'_>, head: Head) -> Box<Record> {
    // 1. The request keeps one snapshot to its end.
    let snapshot = proxy.live.load_for(arrival.listener, arrival.last);
    Record::new(Arc::clone(proxy), snapshot, arrival, head)
}

/// The way of a request.
pub async fn handle(mut record: Box<Record>, body: Body) -> Answer<Delivery> {
    let answer = {
        let Record { proxy, snapshot, facts } = &mut *record;
        route(proxy, snapshot, facts, body).await
    };
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => refuse(&mut record, &refusal),
    };
    record.facts.status.get_or_insert(answer.status);
    answer_head::note(&mut record, &mut answer);
    // 8. The rest happens while the body is sent; its end ends the record.
    let ahead = answer.ahead;
    answer.map(|body| Delivery::new(body, ahead, record))
}

async fn route(
    proxy: &Arc<Proxy>,
    snapshot: &Arc<Snapshot>,
    facts: &mut Facts,
    body: Body,
) -> Result<Answer<Body>, Refusal> {
    let (index, unclean) = arrive(snapshot, facts)?;
    let (route, unclean) = (snapshot.route(index), unclean.as_deref());
    // As the client says it: a filter may tell the server something else.
    // Boxed: few routes have codings, and every request pays for the size of this future.
    let wish = route.codings.as_ref().map(|_| Box::new(CodingWish::by(&facts.context.head)));
    // 4. The filters see the request.
    for filter in route.filters.iter() {
        let upstream = route.upstream();
        let Live { clock, metrics, .. } = &*proxy.live;
        let place = FilterPlace { route: &route.name, upstream, clock: *clock, metrics };
        let stopped = match filter.request(&mut facts.context, place) {
            Verdict::Pass => continue,
            Verdict::Refuse(status, reason) => return Err(Refusal::new(status, reason)),
            Verdict::Answer(stopped) => Some(stopped),
            Verdict::Wait(word) => word.await,
        };
        if let Some(stopped) = stopped {
            return Ok(stop(*stopped, proxy, facts, route));
        }
    }
    // 5. The action. Futures that wait are boxed, so that the other actions do not pay for them.
    let mut answer = match &route.action {
        Action::Respond(action) => respond(action, facts, route),
        Action::Redirect(action) => redirect(action, facts, route)?,
        Action::Files(action) => files(action, facts, route, unclean).await?,
        Action::Forward(_) if admission::ends_here(&mut facts.context) => ends_here(facts)?,
        Action::Forward(action) => {
            let mut answer = match &route.caching {
                // The future must have at most 1,024 bytes. For more, the allocator is slower by
                // 300 instructions.
                None => {
                    Box::pin(forward::forward(proxy, route, action, facts, body, unclean)).await?
                }
                Some(caching) => {
                    let (forward, route) = (action, (index, route));
                    let place = CachePlace { proxy, snapshot, route, forward, caching, unclean };
                    caching::answer(place, facts, body).await?
                }
            };
            // A short body is sent in one piece with its head.
            answer.body.gather(answer.ahead).await;
            answer
        }
    };
    finish(route, facts, route.codings.as_deref().zip(wish.as_deref()), &mut answer);
    Ok(answer)
}

/// Steps 2 and 3: the route, and the normalised path if it differs from the one received.
fn arrive(snapshot: &Snapshot, facts: &mut Facts) -> Result<(u32, Option<String>), Refusal> {
    let listener = snapshot.listener(facts.listener);
    let listener = listener.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "no_listener"))?;
    // 2. The head is checked.
    admission::admit(&mut facts.context, facts.framed_twice, listener)?;
    remove_what_ends_here(&mut facts.context);
    // 3. Site and route.
    let unclean = match normalise(raw_path(&facts.context)) {
        Ok(Cow::Borrowed(_)) => None,
        Ok(Cow::Owned(path)) => Some(path),
        Err(_) => return Err(Refusal::malformed("path_invalid")),
    };
    let path = unclean.as_deref().unwrap_or(raw_path(&facts.context));
    let index = find(snapshot, listener, &facts.context, path, &mut facts.site)?;
    facts.route = Some(index);
    Ok((index, unclean))
}

/// Steps 6 and 7, after the page for an error of a server.
fn finish(
    route: &Route,
    facts: &Facts,
    coding: Option<(&Codings, &CodingWish)>,
    answer: &mut Answer<Body>,
) {
    if let Some(pages) = &route.pages {
        error_page::in_place_of_servers(pages, route, facts, answer);
    }
    // 6. The client gets the coding that it takes.
    if let Some((codings, wish)) = coding {
        let Answer { status, fields, body, .. } = answer;
        *body = encode::apply(codings, wish, *status, fields, take(body));
    }
    // 7. The filters see the response, in reverse.
    if !route.filters.is_empty() {
        let succeeded = is_success(&route.action, answer.status);
        route.filters.response(answer.fields.map(), succeeded, &facts.scope(route));
    }
}

/// Removes fields for this connection only, those that servers may take for others, and what
/// strangers claim.
fn remove_what_ends_here(context: &mut Context) {
    let Head { fields, present, .. } = &mut context.head;
    if present.nominates {
        remove_nominated(fields.map());
    }
    if present.ambiguous {
        remove_ambiguous(fields.map());
    }
    if present.claims && !context.trusted {
        remove_claims(fields.map());
    }
}

/// A filter has answered. All filters see that answer.
fn stop(stopped: Stopped, proxy: &Proxy, facts: &mut Facts, route: &Route) -> Answer<Body> {
    let Stopped { mut answer, reason } = stopped;
    proxy.live.metrics.reject(reason);
    facts.reason = Some(reason);
    let succeeded = answer.status.is_success();
    route.filters.response(answer.fields.map(), succeeded, &facts.scope(route));
    answer
}

/// The path as received. RFC 9110 §9.3.7: `OPTIONS *` is about the server as a whole.
fn raw_path(context: &Context) -> &str {
    match context.head.target.path() {
        "" => "/",
        "*" if context.head.method == Method::OPTIONS => "/",
        path => path,
    }
}

fn find(
    snapshot: &Snapshot,
    listener: &ListenerParts,
    context: &Context,
    path: &str,
    found: &mut Option<u32>,
) -> Result<u32, Refusal> {
    let host = &*site_name(context.head.target.host());
    if let Some(tls) = &listener.tls
        && tls.strict_sni
        && admission::is_misdirected(context, host, &tls.certificates)
    {
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, "misdirected"));
    }
    let not_found = |reason| move || Refusal::new(StatusCode::NOT_FOUND, reason);
    let site = listener.sites.find(host).ok_or_else(not_found("no_site"))?;
    *found = Some(site);
    let method = &context.head.method;
    snapshot.router.find(site, method, path).ok_or_else(|| {
        let methods = snapshot.router.methods(site, path);
        if methods.is_empty() {
            return not_found("no_route")();
        }
        let allow = methods.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ");
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
        let field = HeaderValue::try_from(allow).ok().map(|it| (header::ALLOW, it).into());
        Refusal { field, ..refusal }
    })
}

fn respond(action: &Respond, facts: &Facts, route: &Route) -> Answer<Body> {
    let body = match &action.body {
        Wording::Fixed(bytes) => bytes.clone(),
        Wording::Template(template) => facts.scope(route).render(template).into(),
    };
    let fields = Fields::Text(action.fields.clone());
    Answer { fields, ..Answer::new(action.status, Body::Full(body)) }
}

fn redirect(action: &Redirect, facts: &Facts, route: &Route) -> Result<Answer<Body>, Refusal> {
    if facts.context.head.target.host().is_empty() && action.to.uses(&Variable::Host) {
        // HTTP/1.0 allows a request without a host.
        return Err(Refusal::malformed("host_missing"));
    }
    let mut to = facts.scope(route).render(&action.to);
    // A target that begins with two slashes would name a host, which the client could choose.
    if to.starts_with("//") && matches!(action.to.parts(), [Piece::Variable(_), ..]) {
        to.replace_range(..to.len() - to.trim_start_matches('/').len(), "/");
    }
    let location = HeaderValue::try_from(to);
    let location = location.map_err(|_| Refusal::malformed("redirect_invalid"))?;
    Ok(Answer::new(action.status, Body::Empty).with(header::LOCATION, location))
}

async fn files(
    action: &FilesRoute,
    facts: &mut Facts,
    route: &Route,
    unclean: Option<&str>,
) -> Result<Answer<Body>, Refusal> {
    let Head { fields, present, .. } = &mut facts.context.head;
    // A filter may have set a conditional field.
    let conditional = present.conditional || !route.filters.is_empty();
    if conditional {
        fields.map();
    }
    let Context { head, .. } = &facts.context;
    let conditions = if conditional { head.fields.as_map() } else { None };
    let path = unclean.unwrap_or(raw_path(&facts.context));
    let looked_up = action.target.path(path, &facts.scope(route));
    let (method, target) = (&head.method, &head.target);
    let codings = action.files.settings().precompressed.then_some(head);
    let mut asked = FileRequest { method, target, conditions, codings, tried: false };
    let answer = match &action.tries {
        None => action.files.serve(&asked, &looked_up).await,
        Some(tries) => {
            asked.tried = true;
            let scope = Scope { path: Some(&looked_up), ..facts.scope(route) };
            Box::pin(try_files(&action.files, tries, &asked, &scope)).await
        }
    };
    match answer {
        Ok(answer) => Ok(answer),
        Err(files::Refused { status, reason, detail, field }) => {
            facts.detail = detail.map(Into::into);
            Err(Refusal { field, ..Refusal::new(status, reason) })
        }
    }
}

/// The first of several paths that there is a file for.
async fn try_files(
    files: &Files,
    tries: &Tries,
    asked: &FileRequest<'_>,
    scope: &Scope<'_>,
) -> Result<Answer<Body>, files::Refused> {
    for path in &tries.paths {
        let answer = files.serve(asked, &scope.render(path)).await;
        if !answer.as_ref().is_err_and(files::Refused::is_missing) {
            return answer;
        }
    }
    Err(files::Refused::missing(tries.missing))
}

/// Whether an answer is a success of its route. Answers of `respond` and `redirect` always are.
/// Others are if the status is 2xx or 304.
fn is_success(action: &Action, status: StatusCode) -> bool {
    match action {
        Action::Respond(_) | Action::Redirect(_) => true,
        Action::Files(_) | Action::Forward(_) => {
            status.is_success() || status == StatusCode::NOT_MODIFIED
        }
    }
}

/// RFC 9110 §7.6.2: we are the final recipient. An answer to TRACE would show the client the fields
/// that proxies in front of us have added.
fn ends_here(facts: &Facts) -> Result<Answer<Body>, Refusal> {
    if facts.context.head.method == Method::TRACE {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "trace_refused"));
    }
    Ok(Answer::new(StatusCode::NO_CONTENT, Body::Empty))
}

fn refuse(record: &mut Record, refusal: &Refusal) -> Answer<Body> {
    record.facts.reason = Some(refusal.reason);
    if refusal.reason == "client_aborted" {
        // The client went away during its upload, so nobody can read a refusal. The answer is for
        // the rare client that only stopped sending.
        record.facts.status = Some(client_closed());
    } else {
        record.proxy.live.metrics.reject(refusal.reason);
    }
    refused(&record.snapshot, &record.facts, refusal)
}

/// The answer of a refusal.
fn refused(snapshot: &Snapshot, facts: &Facts, refusal: &Refusal) -> Answer<Body> {
    let id = facts.context.id.as_str();
    let mut answer = if facts.context.head.present.grpc {
        grpc::refused(refusal, id)
    } else {
        refusal.answer(id).map(Body::Full)
    };
    let site = || snapshot.router.pages(facts.site?);
    let pages = facts.route.map_or_else(site, |it| snapshot.route(it).pages.as_deref());
    if let Some(pages) = pages.filter(|_| !facts.context.head.present.grpc) {
        error_page::put(pages, &mut answer);
    }
    let route = facts.route.map(|it| snapshot.route(it)).filter(|it| !it.filters.is_empty());
    if let Some(route) = route {
        route.filters.response(answer.fields.map(), false, &facts.scope(route));
    }
    answer
}
