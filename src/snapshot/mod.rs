//! What is running: everything compiled from one config, immutable.
//!
//! Owns: the compiled parts of one config. May touch: [`crate::cache`], [`crate::cidr`],
//! [`crate::clock`], [`crate::condition`], [`crate::config`], [`crate::country`],
//! [`crate::encode`], [`crate::files`], [`crate::filter`], [`crate::http1`], [`crate::message`],
//! [`crate::observe`], [`crate::origin`], [`crate::otlp`], [`crate::route`], [`crate::settings`],
//! [`crate::tls`], [`crate::upstream`]. Built by [`build`], published by [`live`], taken once per
//! request by [`crate::proxy::begin`]; it lives until the last request that took it has ended.

pub mod build;
mod listening;
pub mod live;
pub mod logs;
mod reaches;
pub mod reload_history;
mod routes;
pub mod seats;
mod telemetry;

pub use live::Live;

use crate::{
    cache::Cache,
    cidr::AddressSet,
    config,
    country::CountryDatabase,
    files::Files,
    message::forwarded::Believed,
    observe::{access_log::AccessLogs, custom_metrics::CustomCounter, trace_terms::TraceTerms},
    otlp::ExportTerms,
    route::{Action, Group, Route, Router, Sites},
    tls::{Certificates, Lifetime, TrustScope},
    upstream::Server,
};
use http::HeaderName;
use std::{collections::HashMap, path::Path, sync::Arc};

/// Databases of countries, one for each file.
pub type Databases = Vec<Arc<CountryDatabase>>;

/// Everything compiled from one config.
pub struct Snapshot {
    /// The number of this config, counted from the start.
    pub generation: u64,
    /// Counts the snapshots that there are.
    pub alive: Arc<()>,
    /// Indexed by the listener's id; ids of listeners that this config lacks are `None`.
    pub listeners: Vec<Option<ListenerParts>>,
    /// All sites' routes.
    pub router: Router,
    /// Who may speak for a client.
    pub trusted_proxies: AddressSet,
    /// Which fields the trusted proxies write.
    pub believed: Believed,
    /// Whether any server is told of both ends of a client's connection.
    pub announces: bool,
    /// The TLS side of the admin address.
    pub admin_tls: Option<TlsParts>,
    /// Every upstream once, in the order of the config.
    pub groups: Vec<Arc<Group>>,
    /// Every cache of responses.
    pub caches: Vec<Arc<Cache>>,
    /// Every database of countries.
    pub databases: Databases,
    /// Whether anybody wants to know where a request's time went.
    pub wants_times: bool,
    /// The answers' fields that a log or a counter asks about.
    pub noted_fields: Box<[HeaderName]>,
    /// Counters of the config's own; `None` without any.
    pub custom: Option<Box<[CustomCounter]>>,
    /// Where requests are logged.
    pub access_logs: AccessLogs,
    /// Where traces and metrics are sent, if anywhere.
    pub export: Option<Arc<ExportTerms>>,
    /// How requests are traced, if they are.
    pub tracing: Option<Arc<TraceTerms>>,
    /// The config that it was built from. The next build and the control thread read it, requests
    /// never.
    pub config: Arc<config::Config>,
}

/// What a listener's connections need of the config.
pub struct ListenerParts {
    /// Its name.
    pub name: Arc<str>,
    /// Its sites.
    pub sites: Sites,
    /// The client's side of the limits.
    pub limits: config::ListenerLimits,
    /// The client's side of the waits.
    pub timeouts: config::ListenerTimeouts,
    /// The addresses whose connections begin with the PROXY protocol's header.
    pub proxy_protocol: Option<config::ProxyProtocol>,
    /// Its TLS side.
    pub tls: Option<TlsParts>,
}

/// A TLS listener's part.
#[derive(Clone)]
pub struct TlsParts {
    /// What handshakes are made with.
    pub server: Arc<rustls::ServerConfig>,
    /// The same certificates, to tell whether a host is one of theirs.
    pub certificates: Arc<Certificates>,
    /// Whether a host that the connection's certificate does not cover is answered with 421.
    pub strict_sni: bool,
    /// What client certificates are verified with, if they are asked for.
    pub trust: Option<TrustScope>,
}

impl Snapshot {
    /// The parts of the listener `id`, unless this config lacks it.
    pub fn listener(&self, id: usize) -> Option<&ListenerParts> {
        self.listeners.get(id)?.as_ref()
    }

    /// When the certificates hold, by listener.
    pub fn lifetimes(&self) -> impl Iterator<Item = (&str, &Lifetime)> {
        let listeners = self.listeners.iter().flatten();
        let all = listeners.map(|it| (&*it.name, &it.tls)).chain([("admin", &self.admin_tls)]);
        all.flat_map(|(name, tls)| {
            let tls = tls.iter().flat_map(|tls| tls.certificates.lifetimes());
            tls.map(move |lifetime| (name, lifetime))
        })
    }

    /// The files of OCSP responses that have ended by `now`.
    pub fn ended_staples(&self, now: i64) -> impl Iterator<Item = &Path> {
        let tls = self.listeners.iter().flatten().filter_map(|it| it.tls.as_ref());
        tls.flat_map(move |it| it.certificates.ended_staples(now))
    }

    /// A route by its number.
    pub fn route(&self, index: u32) -> &Route {
        self.router.route(index)
    }

    /// Every server, by the key of the connections to it.
    pub fn servers(&self) -> HashMap<u64, &Server> {
        let members = self.groups.iter().flat_map(|group| group.upstream.members());
        members.map(|member| (member.reach.key(), &*member.server)).collect()
    }

    /// Look-ups that the directories' memory could answer, and those that it could not.
    pub fn files_lookups(&self) -> (u64, u64) {
        let mut seen: Vec<*const Files> = Vec::new();
        let mut sum = (0, 0);
        for route in self.router.routes() {
            let Action::Files(route) = &route.action else { continue };
            let files = &route.files;
            if !seen.contains(&Arc::as_ptr(files)) {
                seen.push(Arc::as_ptr(files));
                sum = (sum.0 + files.hits(), sum.1 + files.misses());
            }
        }
        sum
    }

    /// What is kept in memory to be sent again, and lines and spans that wait, in bytes.
    pub fn kept_bytes(&self) -> u64 {
        let caches = self.caches.iter().map(|it| it.store.stats().bytes).sum::<u64>();
        let mut seen: Vec<*const Files> = Vec::new();
        let mut files = 0;
        for route in self.router.routes() {
            let Action::Files(route) = &route.action else { continue };
            if !seen.contains(&Arc::as_ptr(&route.files)) {
                seen.push(Arc::as_ptr(&route.files));
                files += route.files.kept_size();
            }
        }
        let lines = self.access_logs.writers().map(|it| it.fill().0 as u64).sum::<u64>();
        let spans = self.tracing.as_ref().map_or(0, |it| it.queue.fill().0 as u64);
        caches + files + lines + spans
    }

    /// Whether some upstream has a server that gets requests; true without upstreams.
    pub fn has_live_upstream(&self, now: u64) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| group.upstream.has_live(now))
    }
}
