//! One request at the admin address, from its head to its answer.
//!
//! Owns: the order in which it is looked at: is there such a path, may it come from there, who
//! asks, may they, the body; and only then the handler. May touch: [`crate::observe`],
//! [`crate::settings`], [`crate::snapshot`].

use super::{
    Reload, access,
    answer::{self, AdminAnswer, refusal},
    ask::{Ask, Caller},
    audit::{Admission, Audit, Audited},
    gate,
    listening::Listeners,
    pace::RefusalPace,
    peer::AdminPeer,
    resources::{self, Resource},
};
use crate::{
    observe::rarely::Rarely,
    settings::Role,
    snapshot::{Live, Snapshot},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use std::{convert::Infallible, sync::Arc};
use tokio::{sync::mpsc, time::timeout};

/// What all connections of the admin address share.
pub(super) struct Desk {
    /// What runs.
    pub live: Arc<Live>,
    /// Where a reload is asked for.
    pub reloads: mpsc::Sender<Reload>,
    /// Who hears of events.
    pub listeners: Arc<Listeners>,
    /// This machine's name, in lower case.
    pub machine: String,
    /// When refusals are answered.
    pub pace: RefusalPace,
    /// When a failed handshake is told of.
    pub failures: Rarely<()>,
    /// Where changes are told of.
    pub audit: Audit,
}

impl Desk {
    /// The answer to a request.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &AdminPeer,
    ) -> Result<AdminAnswer, Infallible> {
        let (head, body) = request.into_parts();
        let method = head.method.clone();
        let resource = resources::find(&method, head.uri.path());
        let mut noted = Noted { caller: None, body: Bytes::new() };
        let (verdict, mut answer) = match resource {
            None => (Admission::Answered, resources::none(head.uri.path())),
            Some(resource) => match self.admit(resource, head, body, peer, &mut noted).await {
                Ok(ask) => (Admission::Answered, resource.handler.answer(&ask).await),
                Err(refused) => (Admission::Refused, *refused),
            },
        };
        let about = Audited {
            path: resource.map_or("other", |it| it.path),
            method: &method,
            changes: resource.is_some_and(Resource::changes),
            caller: noted.caller.as_deref(),
            peer: &peer.told,
            body: &noted.body,
        };
        self.audit.note(&self.live, &about, verdict, &answer);
        answer::harden(&mut answer);
        Ok(answer)
    }

    /// The request with its body, if it is let in. What was found out is noted in any case.
    async fn admit(
        &self,
        resource: &Resource,
        head: Parts,
        body: Incoming,
        peer: &AdminPeer,
        noted: &mut Noted,
    ) -> Result<Ask, Box<AdminAnswer>> {
        let snapshot = self.live.load();
        let config = &snapshot.config.admin;
        if peer.secured.is_some() != snapshot.admin_tls.is_some() {
            let error = "this connection is older than the config's `tls`: make a new one";
            return Err(self.turn_away(refusal(StatusCode::MISDIRECTED_REQUEST, error)).await);
        }
        // Without `access` a token is not looked at, so that it says nothing.
        let shows_token = !config.access.is_empty() && access::is_bearer(&head.headers);
        let is_free = resource.role == Role::None || shows_token;
        if !is_free && !gate::is_own_host(&head, &config.hosts, &self.machine) {
            let error = "the `Host` of this request is not a name of this daemon: ask by its address, or \
                         add the name to `hosts` of `[admin]`";
            return Err(self.turn_away(refusal(StatusCode::MISDIRECTED_REQUEST, error)).await);
        }
        let caller = match access::caller(&snapshot, &head.headers, peer) {
            access::Asker::Caller(caller) => Arc::new(caller),
            access::Asker::WrongToken => {
                return Err(self.turn_away(challenge(&head, "this token is not known")).await);
            }
        };
        noted.caller = Some(Arc::clone(&caller));
        if caller.role < resource.role {
            return Err(self.turn_away(lacking(&snapshot, &head, &caller, resource.role)).await);
        }
        if resource.role != Role::None && gate::is_foreign(&head, &config.hosts) {
            let error = "a page of another site has made this request: that is not allowed";
            return Err(self.turn_away(refusal(StatusCode::FORBIDDEN, error)).await);
        }
        if resource.method == Method::POST {
            let reading = Limited::new(body, config.body.max(resource.longest_body())).collect();
            let read = timeout(config.timeout, reading).await;
            noted.body = whole(read)?;
            let changes = resource.role == Role::Write && !noted.body.is_empty();
            if changes && gate::is_browser(&head.headers) && !gate::is_json(&head.headers) {
                let error = "the body must be JSON, and say so: add `Content-Type: application/json` \
                             (`curl --json` does)";
                return Err(Box::new(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)));
            }
        }
        Ok(Ask {
            live: Arc::clone(&self.live),
            reloads: self.reloads.clone(),
            listeners: Arc::clone(&self.listeners),
            caller,
            head,
            body: noted.body.clone(),
        })
    }

    /// Gives a refusal when it is its turn.
    async fn turn_away(&self, answer: AdminAnswer) -> Box<AdminAnswer> {
        if self.pace.wait().await {
            return Box::new(answer);
        }
        let error = "too many requests are refused at this time: wait, then try again";
        let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, error);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("3"));
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        Box::new(answer)
    }
}

/// What is known of a request once it is answered.
struct Noted {
    caller: Option<Arc<Caller>>,
    body: Bytes,
}

type ReadBody = Result<
    Result<http_body_util::Collected<Bytes>, Box<dyn std::error::Error + Send + Sync>>,
    tokio::time::error::Elapsed,
>;

fn whole(read: ReadBody) -> Result<Bytes, Box<AdminAnswer>> {
    let (status, error) = match read {
        Ok(Ok(body)) => return Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than `body` of `[admin]`".to_owned(),
        ),
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, format!("the body can't be read: {error}")),
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time".to_owned()),
    };
    Err(Box::new(refusal(status, &error)))
}

/// 401 if a token would help, or else 403 with what to do.
fn lacking(snapshot: &Snapshot, head: &Parts, caller: &Caller, needed: Role) -> AdminAnswer {
    let needed_name = needed.name();
    if caller.name.is_none() && access::takes_tokens(&snapshot.config.admin, needed) {
        let error = format!(
            "this needs the role `{needed_name}`: send a token that has it, as `Authorization: Bearer \
             TOKEN` or as the password"
        );
        return challenge(head, &error);
    }
    let error = match &caller.name {
        Some(name) => {
            format!("`{name}` has the role `{}`, this needs `{needed_name}`", caller.role.name())
        }
        None if access::takes_certificates(&snapshot.config.admin, needed) => {
            format!("this needs the role `{needed_name}`: show a client certificate that has it")
        }
        None => format!(
            "this needs the role `{needed_name}`: add `access` to `[admin]` with a token or a client \
             certificate, or allow it to everybody with `anonymous = \"{needed_name}\"`"
        ),
    };
    refusal(StatusCode::FORBIDDEN, &error)
}

/// Status 401. Where a browser opens a page, it makes it ask for a password; the dashboard asks for a
/// token itself.
fn challenge(head: &Parts, error: &str) -> AdminAnswer {
    let mut answer = refusal(StatusCode::UNAUTHORIZED, error);
    let is_page = gate::takes_html(&head.headers);
    let basic = is_page.then_some("Basic realm=\"sheave\", charset=\"UTF-8\"");
    for scheme in [Some("Bearer realm=\"sheave\""), basic].into_iter().flatten() {
        answer.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    answer
}
