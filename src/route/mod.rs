//! From a request's listener, host, method and path to what is done with it.
//!
//! Owns: the compiled sites and routes. May touch: [`crate::cache`], [`crate::encode`],
//! [`crate::files`], [`crate::filter`], [`crate::http1`], [`crate::message`], [`crate::observe`],
//! [`crate::origin`], [`crate::path`], [`crate::settings`], [`crate::template`],
//! [`crate::upstream`]. Built by [`crate::snapshot::build`]; [`crate::proxy::handle`] asks it once
//! per request.

pub mod action;
mod error_pages;
pub mod matcher;
pub mod router;
mod target;

pub use action::{Action, FilesRoute, Forward, Group, Key, Redirect, Respond, Tries, Wording};
pub use error_pages::{ErrorPage, ErrorPages};
pub use matcher::{PathMatcher, RouteMatcher};
pub use router::{HostMatch, Router, Sites};
pub use target::PathEdit;

use crate::{cache::Caching, encode::Codings, filter::Chain, observe::RouteMetrics};
use std::sync::Arc;

/// Match → action, ready to run.
pub struct Route {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// What it takes.
    pub matcher: RouteMatcher,
    /// What sees the heads on their way.
    pub filters: Chain,
    /// Whether its responses are compressed.
    pub codings: Option<Box<Codings>>,
    /// What it does.
    pub action: Action,
    /// What clients see in place of errors' texts.
    pub pages: Option<Arc<ErrorPages>>,
    /// Its use of a cache, if it forwards.
    pub caching: Option<Arc<Caching>>,
    /// Whether its answers have `Server-Timing`.
    pub server_timing: bool,
    /// Bytes of a request's body let through, 0 = all.
    pub max_body: u64,
    /// Its histograms.
    pub metrics: Arc<RouteMetrics>,
}

impl Route {
    /// The name of its upstream, or empty.
    pub fn upstream(&self) -> &str {
        match &self.action {
            Action::Forward(forward) => forward.group.upstream.name(),
            _ => "",
        }
    }
}
