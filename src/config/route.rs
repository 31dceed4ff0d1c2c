//! `[[site.route]]`: match → action.

use super::{Files, Retry};
use crate::template::Template;
use http::{HeaderName, Method};
use std::time::Duration;

/// Match → action.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// `name`, default `SITE:PATH` (`SITE:PATH:METHODS` joined with `,` where methods are named); unique, made so with `-2` and so on.
    pub name: String,
    /// `path`, default `/*`.
    pub path: PathPattern,
    /// `methods`; empty = all.
    pub methods: Vec<Method>,
    /// Exactly one of `upstream`, `files`, `redirect`, `respond`.
    pub action: Action,
    /// `strip_prefix`: cut from the path before it is forwarded or looked up.
    pub strip_prefix: Option<String>,
    /// `rewrite`: the new path (and query, where it has a `?`), after `strip_prefix`.
    pub rewrite: Option<Template>,
    /// `request_headers`.
    pub request_headers: HeaderEdits,
    /// `response_headers`.
    pub response_headers: HeaderEdits,
    /// `timeouts`.
    pub timeouts: RouteTimeouts,
    /// `retry`, default the upstream's; only with `upstream`.
    pub retry: Option<Retry>,
    /// `response_buffer`: bytes taken off a server ahead of a slow client, default 32 KiB, 0 = none.
    pub response_buffer: usize,
    /// `max_body`: of a request, default 10 MiB, 0 = unlimited; 413.
    pub max_body: u64,
}

/// Which paths a route takes, compared with the normalised path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// `/x`.
    Exact(String),
    /// `/x/*`, kept as `/x/`; it also takes `/x` itself. `/*` is kept as `/`.
    Prefix(String),
    /// `*.css`, kept as `.css`.
    Suffix(String),
}

/// What a route does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `upstream = "NAME"`.
    Forward(String),
    /// `files = { … }`.
    Files(Files),
    /// `redirect = { to, status }`.
    Redirect(Redirect),
    /// `respond = { status, body, content_type }`.
    Respond(Respond),
}

/// `redirect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    /// `to`.
    pub to: Template,
    /// `status`: 301, 302, 303, 307 or 308, default 308.
    pub status: u16,
}

/// `respond`.
#[derive(Clone, Debug, PartialEq)]
pub struct Respond {
    /// `status`: 200 to 599, default 200.
    pub status: u16,
    /// `body`, default empty.
    pub body: Template,
    /// `content_type`, default `text/plain; charset=utf-8`.
    pub content_type: String,
}

/// `request_headers` or `response_headers`: removed first, then set, then added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderEdits {
    /// `set`: replaces every value.
    pub set: Vec<(HeaderName, Template)>,
    /// `add`: beside those that are there.
    pub add: Vec<(HeaderName, Template)>,
    /// `remove`.
    pub remove: Vec<HeaderName>,
}

/// `timeouts` of a route. Zero is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteTimeouts {
    /// `connect`, default 3 s.
    pub connect: Duration,
    /// `send`: between two successful writes to the server, default 60 s.
    pub send: Duration,
    /// `response_head`: from the request's last byte to the head, default `read`.
    pub response_head: Duration,
    /// `read`: between two reads of the response, default 60 s.
    pub read: Duration,
    /// `body_idle`: between two parts of the client's body, default 30 s; 408.
    pub body_idle: Duration,
}
