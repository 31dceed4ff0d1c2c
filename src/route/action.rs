//! What a route does, compiled.

use super::PathEdit;
use crate::{
    files::Files,
    http1::{fields::FieldText, request_head::HeadLimits},
    message::{forwarded::Written, hop_by_hop::EditedNames},
    observe::UpstreamMetrics,
    origin::{Terms, http2_settings::Http2Settings, pool},
    settings::{HealthCheck, Retry, Timeouts},
    template::Template,
    upstream::Upstream,
};
use bytes::Bytes;
use http::StatusCode;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What a route does.
pub enum Action {
    /// Answers by itself.
    Respond(Box<Respond>),
    /// Sends the client elsewhere.
    Redirect(Box<Redirect>),
    /// Serves a directory.
    Files(Box<FilesRoute>),
    /// Asks a server. Routes with the same settings share one value, so that it stays in the
    /// processor's cache even with many routes.
    Forward(Arc<Forward>),
}

/// An answer from the config.
pub struct Respond {
    /// Its status.
    pub status: StatusCode,
    /// Its body; already rendered if it has no variable.
    pub body: Wording,
    /// Its fields, written once.
    pub fields: FieldText,
}

/// A text: fixed, or with variables.
pub enum Wording {
    /// The same for all requests.
    Fixed(Bytes),
    /// A text with variables.
    Template(Template),
}

/// A redirect.
pub struct Redirect {
    /// `Location`.
    pub to: Template,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// A directory, and how the path is changed before it is looked up.
pub struct FilesRoute {
    /// The directory.
    pub files: Arc<Files>,
    /// `strip_prefix` and `rewrite`.
    pub target: PathEdit,
    /// What is looked up in place of the path.
    pub tries: Option<Tries>,
}

/// Paths that are looked up in turn; the first that there is a file for is served.
pub struct Tries {
    /// Their `{path}` is the path after `strip_prefix` and `rewrite`.
    pub paths: Vec<Template>,
    /// The answer if there is none.
    pub missing: StatusCode,
}

/// An upstream, and how its servers are spoken to.
pub struct Forward {
    /// The upstream, shared by the routes that name it.
    pub group: Arc<Group>,
    /// What the balancing key is made of.
    pub key: Key,
    /// `strip_prefix` and `rewrite`.
    pub target: PathEdit,
    /// The server's side of the waits.
    pub timeouts: Timeouts,
    /// When another server is tried.
    pub retry: Retry,
    /// Bytes read ahead from a server for a slow client.
    pub response_buffer: usize,
    /// Which of the forwarded fields servers get.
    pub written: Written,
    /// Fields that the route's edits name. Trailers with these names do not pass.
    pub edited_in_requests: EditedNames,
    /// The same for responses.
    pub edited_in_responses: EditedNames,
    /// Whether an edit may replace `Host`, so that the client's must be kept.
    pub edits_host: bool,
}

impl Forward {
    /// The terms of an attempt that has `begun` at this moment, which is also given in the clock's
    /// milliseconds.
    pub fn terms<'a>(&'a self, timeouts: &'a Timeouts, begun: (Instant, u64)) -> Terms<'a> {
        let Group { response, http2, .. } = &*self.group;
        Terms { timeouts, head: *response, http2, begun }
    }
}

/// An upstream with what belongs to it in this process.
pub struct Group {
    /// Servers, strategy and health.
    pub upstream: Upstream,
    /// Its counters.
    pub metrics: UpstreamMetrics,
    /// How large a response's head may be.
    pub response: HeadLimits,
    /// What the pools keep.
    pub pool: pool::PoolLimits,
    /// How HTTP/2 is spoken to its servers.
    pub http2: Http2Settings,
    /// Statuses that count as a server's failure.
    pub fail_on: Vec<StatusCode>,
    /// How often its servers' names are looked up.
    pub resolve_interval: Duration,
    /// Active checks.
    pub health_check: Option<HealthCheck>,
}

/// What a strategy's key is made of.
pub enum Key {
    /// The strategy needs none.
    None,
    /// The client's address, as nginx uses it.
    ClientIp,
    /// A rendered text.
    Text(Template),
}
