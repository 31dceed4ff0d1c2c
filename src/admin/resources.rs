//! Everything that the admin address has: one table.
//!
//! Owns: each path with its method, the role that it needs, and what answers; the contents, `Allow`
//! and 404 are made of the same table. A new resource is one more line in [`RESOURCES`].

use super::{
    answer::{self, AdminAnswer},
    ask::{
        Ask,
        Handler::{self, Later, Now},
    },
    cache, dashboard, events, explain, gate, health, past, plan, process, profile, servers, stats,
    topology, upstreams,
};
use crate::settings::Role;
use http::{HeaderValue, Method, StatusCode, header};
use std::fmt::Write;

/// One method of one path.
pub(super) struct Resource {
    /// The whole path.
    pub path: &'static str,
    /// GET, which answers HEAD too, or POST.
    pub method: Method,
    /// What it needs.
    pub role: Role,
    /// What answers.
    pub handler: Handler,
    /// For the contents; empty: not in them.
    says: &'static str,
}

const fn get(path: &'static str, role: Role, handler: Handler, says: &'static str) -> Resource {
    Resource { path, method: Method::GET, role, handler, says }
}

const fn post(path: &'static str, handler: Handler, says: &'static str) -> Resource {
    Resource { path, method: Method::POST, role: Role::Write, handler, says }
}

/// Every resource, as the contents have them.
static RESOURCES: &[Resource] = &[
    get("/metrics", Role::Read, Now(process::metrics), "Prometheus"),
    get("/health", Role::Read, Now(health::health), "what is well and what is not"),
    get("/ready", Role::None, Now(process::ready), "whether to send requests here"),
    get("/live", Role::None, Now(process::live), "whether the process answers"),
    get(
        "/stats",
        Role::Read,
        Now(stats::stats),
        "rates, errors, durations; how full everything is",
    ),
    get(
        "/profile",
        Role::Write,
        Later(profile::profile),
        "?seconds=N&format=svg|pprof: where the processor time goes",
    ),
    get("/upstreams", Role::Read, Now(upstreams::upstreams), "every server and its state"),
    post(
        "/servers",
        Later(|ask| Box::pin(servers::change(ask))),
        "drain a server, or change its weight",
    ),
    get(
        "/explain",
        Role::Read,
        Later(|ask| Box::pin(explain::explained(ask))),
        "?method=GET&url=URL: what would happen to it",
    ),
    // It changes nothing: a question has more fields than a query can hold.
    Resource {
        path: "/explain",
        method: Method::POST,
        role: Role::Read,
        handler: Later(|ask| Box::pin(explain::explained(ask))),
        says: "the same, asked with JSON",
    },
    get("/cache", Role::Read, Now(cache::caches), "every cache and its counts"),
    get("/cache/explain", Role::Read, Now(cache::explain), "?url=URL: why it is or is not stored"),
    post("/purge", Later(|ask| Box::pin(cache::purge(ask))), "take responses out of the caches"),
    post("/plan", Later(|ask| Box::pin(plan::planned(ask))), "what another config would change"),
    post("/reload", Later(|ask| Box::pin(process::reload(ask))), "load the config again"),
    get("/whoami", Role::None, Now(process::whoami), "what you may do here"),
    get("/help", Role::None, Now(help), "this list"),
    get(
        "/topology",
        Role::Read,
        Now(topology::topology),
        "listeners, sites, routes, upstreams, servers",
    ),
    get("/events", Role::Read, Now(events::events), "what the dashboard shows, once a second"),
    get("/errors", Role::Read, Now(past::errors), "the last requests that failed"),
    get("/reloads", Role::Read, Now(past::reloads), "the last reloads, and what they changed"),
    get("/", Role::None, Now(root), "the dashboard, for browsers"),
    page("/dashboard/style.css"),
    page("/dashboard/icon.svg"),
    page("/dashboard/app.js"),
    page("/dashboard/feed.js"),
    page("/dashboard/model.js"),
    page("/dashboard/draw.js"),
    page("/dashboard/overview.js"),
    page("/dashboard/views.js"),
    page("/dashboard/actions.js"),
];

/// A file of the dashboard. They hold no figures, so everybody may have them.
const fn page(path: &'static str) -> Resource {
    get(path, Role::None, Now(dashboard::file), "")
}

impl Resource {
    /// Whether it is to change something, which is told of. `/plan` changes nothing: it needs the
    /// role, as it reads the files that a config names, and the config may hold secrets.
    pub(super) fn changes(&self) -> bool {
        self.role == Role::Write && self.path != "/plan"
    }

    /// The longest body that it takes, if that is more than the config says.
    pub(super) fn longest_body(&self) -> usize {
        // A whole config.
        if self.path == "/plan" { 16 << 20 } else { 0 }
    }
}

/// The line in the table that takes a request.
pub(super) fn find(method: &Method, path: &str) -> Option<&'static Resource> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    RESOURCES.iter().find(|it| it.path == path && it.method == method)
}

/// The answer if no line takes it: 405 if the path is there with another method, or else 404.
pub(super) fn none(path: &str) -> AdminAnswer {
    let at_path = RESOURCES.iter().filter(|it| it.path == path);
    let allowed: Vec<_> = at_path
        .map(|it| if it.method == Method::GET { "GET, HEAD" } else { it.method.as_str() })
        .collect();
    if allowed.is_empty() {
        return answer::text(StatusCode::NOT_FOUND, contents());
    }
    let mut refused = answer::text(StatusCode::METHOD_NOT_ALLOWED, contents());
    if let Ok(allowed) = HeaderValue::try_from(allowed.join(", ")) {
        refused.headers_mut().insert(header::ALLOW, allowed);
    }
    refused
}

/// The dashboard for browsers, the table for others.
fn root(ask: &Ask) -> AdminAnswer {
    let is_browser = gate::takes_html(&ask.head.headers);
    let mut answer = if is_browser { dashboard::file(ask) } else { help(ask) };
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    answer
}

fn help(_: &Ask) -> AdminAnswer {
    answer::text(StatusCode::OK, contents())
}

/// The table, for people.
fn contents() -> String {
    let width = RESOURCES.iter().map(|it| it.path.len()).max().unwrap_or_default();
    RESOURCES.iter().filter(|it| !it.says.is_empty()).fold(String::new(), |mut text, it| {
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "{:<4} {:<width$}  {}", it.method.as_str(), it.path, it.says);
        text
    })
}
