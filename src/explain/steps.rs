//! What is told of the steps before the upstream: client, site, route, filters, files, coding.
//!
//! Owns: the words. May touch: [`crate::config`], [`crate::encode`], [`crate::message`],
//! [`crate::proxy`], [`crate::route`], [`crate::settings`], [`crate::snapshot`].

use crate::{
    config::{self, Config},
    encode::{self, CodingWish, Codings},
    message::context::{Context, site_name},
    proxy::{facts::Facts, rehearsal::FilterView},
    route::HostMatch,
    settings::Coding,
    snapshot::Snapshot,
};
use http::{HeaderMap, HeaderName, header};
use serde_json::{Value, json};

/// At most so many routes that do not match are told: the last ones.
const MOST_ROUTES: usize = 200;

/// Who the client is.
pub(super) fn client(config: &Config, context: &Context) -> Value {
    let by = if context.told.by_forwarded { "Forwarded" } else { "X-Forwarded-For" };
    json!({
        "peer": context.peer.address_text(),
        "trusted": context.trusted,
        "place": context.trusted.then(|| config.source.told(config.trusted_place)),
        "address": context.client_text(),
        "scheme": context.scheme(),
        "told_by": context.told.client.map(|_| by),
    })
}

/// Which site, and by which of its hosts.
pub(super) fn site(snapshot: &Snapshot, facts: &Facts, index: u32) -> Value {
    let config = &snapshot.config;
    let host = site_name(facts.context.head.target.host()).to_ascii_lowercase();
    let listener = snapshot.listener(facts.listener);
    let found = listener.and_then(|it| it.sites.matched(&host)).map(|it| it.1);
    let (by, pattern) = match found {
        Some(HostMatch::Exact) => ("host", Some(host.clone())),
        Some(HostMatch::Below(length)) => {
            ("wildcard", Some(format!("*.{}", &host[host.len() - length..])))
        }
        _ => ("default", None),
    };
    let Some(site) = config.sites.get(index as usize) else { return Value::Null };
    json!({
        "name": site.name,
        "place": config.source.told(site.place),
        "host": host,
        "by": by,
        "pattern": pattern,
    })
}

/// A route as it is written.
pub(super) fn config_of(snapshot: &Snapshot, site: u32, index: u32) -> Option<&config::Route> {
    let place = index.checked_sub(snapshot.router.of_site(site).start)?;
    snapshot.config.sites.get(site as usize)?.routes.get(place as usize)
}

/// The routes that were asked, and why those before the last did not match.
pub(super) fn routes(snapshot: &Snapshot, facts: &Facts, site: u32, path: &str) -> Value {
    let mut asked = snapshot.router.of_site(site);
    if let Some(found) = facts.route {
        asked.end = found + 1;
    }
    let skipped = asked.len().saturating_sub(MOST_ROUTES);
    let told = asked.skip(skipped).filter_map(|index| {
        let wanted = config_of(snapshot, site, index)?;
        let matcher = &snapshot.route(index).matcher;
        let method = &facts.context.head.method;
        let by_path = matcher.path.takes(path);
        let why = if !by_path {
            Some(format!("its path is {}", wanted.path))
        } else if !matcher.takes_method(method) {
            let methods: Vec<_> = wanted.methods.iter().map(http::Method::as_str).collect();
            Some(format!("it is for {}", methods.join(", ")))
        } else {
            None
        };
        Some(json!({
            "name": wanted.name,
            "place": snapshot.config.source.told(wanted.place),
            "matches": why.is_none(),
            "why_not": why,
        }))
    });
    told.collect()
}

/// The route that takes the request.
pub(super) fn route(config: &Config, wanted: &config::Route) -> Value {
    let action = match &wanted.action {
        config::Action::Forward(_) => "upstream",
        config::Action::Files(_) => "files",
        config::Action::Redirect(_) => "redirect",
        config::Action::Respond(_) => "respond",
    };
    json!({
        "name": wanted.name,
        "place": config.source.told(wanted.place),
        "path": wanted.path.to_string(),
        "methods": wanted.methods.iter().map(http::Method::as_str).collect::<Vec<_>>(),
        "action": action,
    })
}

/// What a filter did.
pub(super) fn filter(
    config: &Config,
    wanted: &config::Route,
    seen: &FilterView,
    facts: &Facts,
) -> Value {
    let place = match seen.name {
        "geo" => wanted.geo.as_ref().map(|it| it.place),
        "request_headers" => Some(wanted.request_headers.place),
        "response_headers" => Some(wanted.response_headers.place),
        _ => None,
    };
    let mut does = changes(&seen.before, &seen.after);
    if seen.name == "geo" {
        let country = facts.context.country.as_ref().map_or("", |it| it.as_str());
        let country = if country.is_empty() { "no known country" } else { country };
        let verdict = if seen.passed == Some(false) { "refuses it" } else { "lets it pass" };
        does.push(format!("finds the client in {country}, and {verdict}"));
    }
    if does.is_empty() {
        let told = match seen.name {
            "response_headers" => "edits the response",
            _ => "changes nothing of the request",
        };
        does.push(told.into());
    }
    json!({
        "name": seen.name,
        "place": place.filter(|it| it.line > 0).map(|it| config.source.told(it)),
        "does": does,
        "passed": seen.passed,
    })
}

fn changes(before: &HeaderMap, after: &HeaderMap) -> Vec<String> {
    let values = |map: &HeaderMap, name: &HeaderName| {
        let values = map.get_all(name).iter();
        values.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()).collect::<Vec<_>>()
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let mut changes: Vec<_> = gone.map(|name| format!("removes {name}")).collect();
    for name in after.keys() {
        let (was, is) = (values(before, name), values(after, name));
        if was == is {
            continue;
        }
        let more = is.starts_with(&was) && !was.is_empty();
        let (verb, told) = if more { ("adds", &is[was.len()..]) } else { ("sets", &is[..]) };
        changes.push(format!("{verb} {name}: {}", told.join(", ")));
    }
    changes
}

/// What is looked up in a directory.
pub(super) fn files(wanted: Option<&config::Route>, looked_up: &[String]) -> Value {
    let Some(config::Action::Files(files)) = wanted.map(|it| &it.action) else {
        return Value::Null;
    };
    let full = looked_up.iter().map(|it| files.root.join(it.trim_start_matches('/')));
    json!({
        "root": files.root.display().to_string(),
        "looked_up": looked_up,
        "paths": full.map(|it| it.display().to_string()).collect::<Vec<_>>(),
    })
}

/// Which coding the client may get.
pub(super) fn coding(codings: &Codings, wish: &CodingWish) -> Value {
    let name = |coding: Coding| match coding {
        Coding::Gzip => "gzip",
        Coding::Brotli => "br",
        Coding::Zstd => "zstd",
    };
    let takes = [Coding::Brotli, Coding::Gzip, Coding::Zstd].into_iter();
    let takes: Vec<_> = takes.filter(|it| wish.takes(*it)).map(name).collect();
    json!({
        "field": header::ACCEPT_ENCODING.as_str(),
        "takes": takes,
        "compress": encode::choose(codings, wish).map(name),
    })
}
