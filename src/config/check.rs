//! The rules across tables: names that must exist, values that must be unique, routes that must be
//! reachable.
//!
//! Owns: those rules. Rules for a single table are checked where the table is read. May touch:
//! nothing outside this room. Next: [`super::parse`] decides.

use super::{
    Config, HostPattern, ListenAddress, Upstream, cache_tiers, certificate, client_certificates,
    document::ConfigText, geo, log_sink, nearest::did_you_mean, shadow::shadowed_by, system,
    ticket_keys,
};
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    path::Path,
};

/// Reports every broken rule. `databases` of countries are in memory already.
pub(super) fn check(document: &ConfigText<'_>, config: &Config, databases: &[&Path]) {
    something_is_served(document, config);
    addresses(document, config);
    let listeners = config.listeners.iter().map(|it| (format!("listener.{}", it.name), &it.tls));
    for (place, tls) in listeners.chain([("admin".to_owned(), &config.admin.tls)]) {
        let Some(tls) = tls else { continue };
        let path = |key: &str| format!("{place}.tls.{key}");
        for (index, pair) in tls.certificates.iter().enumerate() {
            certificate::check(document, &path(&format!("certificates[{index}]")), pair);
        }
        if let Some(client) = &tls.client {
            client_certificates::check(document, &path("client"), client);
        }
        if let Some(file) = &tls.ticket_keys {
            ticket_keys::check(document, &path("ticket_keys"), file);
        }
    }
    geo::check(document, config, databases);
    for upstream in &config.upstreams {
        servers(document, upstream);
    }
    hosts(document, config);
    listener_names(document, config);
    upstream_names(document, config);
    cache_names(document, config);
    cache_tiers::check(document, config);
    log_sink::check(document, config);
    shadows(document, config);
    // With a mistake, something may only seem to be unused.
    if document.errors() == 0 {
        unused(document, config);
        system::check(document, config);
    }
}

fn something_is_served(document: &ConfigText<'_>, config: &Config) {
    // An empty table counts as absent, unless its mistake has been reported already.
    let clean = document.errors() == 0;
    if config.listeners.is_empty() && (clean || document.key_at("listener").is_empty()) {
        let hint = "add `[listener.http]` with `address = \"127.0.0.1:8080\"`";
        let at = document.key_at("listener");
        document.error(at, "there is no listener: nothing would be served", Some(hint.into()));
    }
    if config.sites.is_empty() && (clean || document.key_at("site").is_empty()) {
        let hint = "add a `[[site]]` with a `[[site.route]]`";
        let at = document.key_at("site");
        document.error(at, "there is no site: nothing would be served", Some(hint.into()));
    }
}

/// Listeners and the admin address must not have the same address.
fn addresses(document: &ConfigText<'_>, config: &Config) {
    let listeners = config.listeners.iter().map(|listener| {
        let path = format!("listener.{}.address", listener.name);
        (format!("[listener.{}]", listener.name), path, listener.address.clone())
    });
    let admin =
        config.admin.address.clone().map(|it| ("[admin]".into(), "admin.address".into(), it));
    let all: Vec<(String, String, ListenAddress)> = listeners.chain(admin).collect();
    for (index, (name, path, address)) in all.iter().enumerate() {
        for (other_name, other_path, other) in &all[..index] {
            if !clash(address, other) {
                continue;
            }
            // If the admin address is the default, the message points at the listener.
            let (at, beside) = match document.value_at(path) {
                at if at.is_empty() => (document.value_at(other_path), None),
                at => (at, Some(document.line(&document.value_at(other_path)))),
            };
            let message = match beside {
                Some(line) if address == other => {
                    format!("{name} has the address of {other_name}, line {line}")
                }
                Some(line) => {
                    format!("{name} clashes with {other_name}, {other} on line {line}")
                }
                None => format!("{other_name} has the default address of [admin], {address}"),
            };
            let hint = match beside {
                Some(_) if matches!(address, ListenAddress::Unix(_)) => {
                    "give one of them another path"
                }
                Some(_) => "give one of them another port",
                None => "choose another port, or give `[admin]` another `address`",
            };
            document.error(at, message, Some(hint.into()));
            break;
        }
    }
}

/// Whether two addresses cannot be bound at once; `[::]` takes IPv4 too.
pub fn clash(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (&ListenAddress::Ip(one), &ListenAddress::Ip(other)) = (one, other) else {
        return one == other;
    };
    let canonical = |it: SocketAddr| SocketAddr::new(it.ip().to_canonical(), it.port());
    let (one, other) = (canonical(one), canonical(other));
    let takes_all =
        |a: SocketAddr, b: SocketAddr| a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || takes_all(one, other) || takes_all(other, one))
}

fn servers(document: &ConfigText<'_>, upstream: &Upstream) {
    let path = format!("upstream.{}.servers", upstream.name);
    let at = |index: usize| document.value_at(&format!("{path}[{index}].address"));
    let mut seen = HashMap::new();
    for (index, server) in upstream.servers.iter().enumerate() {
        // Host names are the only part where upper and lower case are the same.
        let address = match &server.socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => server.address.to_lowercase(),
        };
        if server.address.is_empty() {
            continue;
        }
        if let Some(first) = seen.insert(address, index) {
            let line = document.line(&at(first));
            let message = format!("`{}` is in this upstream already, line {line}", server.address);
            let hint = Some("to send it more requests, give it a larger `weight`".into());
            document.error(at(index), message, hint);
        }
    }
    if upstream.servers.is_empty() {
        return;
    }
    let name = &upstream.name;
    if upstream.servers.iter().all(|server| server.terms.down || server.terms.weight == 0) {
        let message = format!("no server of [upstream.{name}] may get requests");
        let hint = Some("each has `down = true` or `weight = 0`: allow at least one".into());
        document.error(document.key_at(&path), message, hint);
    } else if upstream.servers.iter().all(|server| server.terms.backup) {
        let message = format!("every server of [upstream.{name}] is a backup");
        let hint = Some("a backup stands in for others: take `backup = true` off some".into());
        document.error(document.key_at(&path), message, hint);
    }
}

/// On each listener a host belongs to one site, and only one site is the default.
fn hosts(document: &ConfigText<'_>, config: &Config) {
    let mut owners: HashMap<(&str, Option<&HostPattern>), (usize, usize)> = HashMap::new();
    let mut reported = BTreeSet::new();
    for (index, site) in config.sites.iter().enumerate() {
        let wanted: Vec<_> = if site.hosts.is_empty() {
            vec![(None, document.value_at(&format!("site[{index}]")))]
        } else {
            let at = |host| document.value_at(&format!("site[{index}].hosts[{host}]"));
            site.hosts.iter().enumerate().map(|(host, it)| (Some(it), at(host))).collect()
        };
        for listener in &site.listeners {
            for (host, at) in &wanted {
                if matches!(host, Some(HostPattern::Exact(unread)) if unread.is_empty()) {
                    continue;
                }
                let here = (index, at.start);
                let first = *owners.entry((listener.as_str(), *host)).or_insert(here);
                if first == here {
                    continue;
                }
                // Once is enough, even if the two sites share several listeners.
                if !reported.insert(at.start) {
                    continue;
                }
                let (message, hint) =
                    taken(*host, (first.0, document.line(&(first.1..first.1))), index, listener);
                document.error(at.clone(), message, Some(hint));
            }
        }
    }
}

fn taken(
    host: Option<&HostPattern>,
    (owner, line): (usize, usize),
    index: usize,
    listener: &str,
) -> (String, String) {
    let host = match host {
        None => {
            let message = format!(
                "two default sites on [listener.{listener}]: the site on line {line} is one too"
            );
            let hint = "give one of them `hosts`, or other `listeners`";
            return (message, hint.into());
        }
        Some(HostPattern::Exact(host)) => host.clone(),
        Some(HostPattern::Wildcard(host)) => format!("*.{host}"),
    };
    if owner == index {
        return (format!("`{host}` is written twice"), "leave one of them out".into());
    }
    let message = format!("`{host}` belongs to another site on [listener.{listener}], line {line}");
    (message, "take it off one of them, or give them different `listeners`".into())
}

fn listener_names(document: &ConfigText<'_>, config: &Config) {
    let known: Vec<_> = config.listeners.iter().map(|it| it.name.as_str()).collect();
    for (index, site) in config.sites.iter().enumerate() {
        for (place, name) in site.listeners.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let at = document.value_at(&format!("site[{index}].listeners[{place}]"));
                let hint = did_you_mean(name, known.iter().copied(), "listeners");
                document.error(at, format!("there is no listener `{name}`"), Some(hint));
            }
        }
    }
}

fn upstream_names(document: &ConfigText<'_>, config: &Config) {
    let known: BTreeSet<_> = config.upstreams.iter().map(|it| it.name.as_str()).collect();
    for (index, site) in config.sites.iter().enumerate() {
        for (place, route) in site.routes.iter().enumerate() {
            let Some(name) = route.action.upstream() else { continue };
            if !known.contains(name) {
                let at = document.value_at(&format!("site[{index}].route[{place}].upstream"));
                let hint = did_you_mean(name, known.iter().copied(), "upstreams");
                document.error(at, format!("there is no upstream `{name}`"), Some(hint));
            }
        }
    }
}

fn cache_names(document: &ConfigText<'_>, config: &Config) {
    let known: Vec<_> = config.caches.iter().map(|it| it.name.as_str()).collect();
    for (index, site) in config.sites.iter().enumerate() {
        for (place, route) in site.routes.iter().enumerate() {
            let Some(cache) = route.cache.as_ref().filter(|it| !it.store.is_empty()) else {
                continue;
            };
            if !known.contains(&cache.store.as_str()) {
                let path = format!("site[{index}].route[{place}].cache");
                let at = document.value_at(&format!("{path}.store"));
                let at = if at.is_empty() { document.value_at(&path) } else { at };
                let hint = if known.is_empty() {
                    format!("add `[cache.{}]` with `memory = \"256MiB\"`", cache.store)
                } else {
                    did_you_mean(&cache.store, known.iter().copied(), "caches")
                };
                document.error(at, format!("there is no cache `{}`", cache.store), Some(hint));
            }
        }
    }
}

fn shadows(document: &ConfigText<'_>, config: &Config) {
    for (index, site) in config.sites.iter().enumerate() {
        for (place, route) in site.routes.iter().enumerate() {
            let Some(above) = shadowed_by(&site.routes[..place], route) else { continue };
            let path = |place| format!("site[{index}].route[{place}].path");
            let line = document.line(&document.value_at(&path(above)));
            let message = format!("this route never matches: the one on line {line} takes all");
            let hint = Some("put the narrower route first: the first that matches wins".into());
            document.error(document.value_at(&path(place)), message, hint);
        }
    }
}

fn unused(document: &ConfigText<'_>, config: &Config) {
    let listeners: BTreeSet<_> = config.sites.iter().flat_map(|it| &it.listeners).collect();
    for name in config.listeners.iter().map(|it| &it.name).filter(|it| !listeners.contains(it)) {
        let hint = Some("name it in the `listeners` of a site, or remove it".into());
        let at = document.value_at(&format!("listener.{name}"));
        document.warning(at, format!("no site uses [listener.{name}]"), hint);
    }
    let routes = config.sites.iter().flat_map(|it| &it.routes);
    let upstreams: BTreeSet<_> = routes.filter_map(|it| it.action.upstream()).collect();
    for name in config.upstreams.iter().map(|it| it.name.as_str()) {
        if !upstreams.contains(name) {
            let hint = Some("name it in the `upstream` of a route, or remove it".into());
            let at = document.value_at(&format!("upstream.{name}"));
            document.warning(at, format!("no route uses [upstream.{name}]"), hint);
        }
    }
    let routes = config.sites.iter().flat_map(|it| &it.routes);
    let caches: BTreeSet<_> = routes.filter_map(|it| Some(&*it.cache.as_ref()?.store)).collect();
    for name in config.caches.iter().map(|it| it.name.as_str()).filter(|it| !caches.contains(it)) {
        let hint = Some(format!("write `cache = \"{name}\"` in a route, or remove it"));
        let at = document.value_at(&format!("cache.{name}"));
        document.warning(at, format!("no route uses [cache.{name}]"), hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_clash_where_one_socket_would_get_what_is_the_others() {
        let ip = |text: &str| ListenAddress::Ip(text.parse().unwrap());
        let clashes = |one, other| clash(&ip(one), &ip(other));
        assert!(clashes("127.0.0.1:80", "[::]:80"));
        assert!(clashes("0.0.0.0:80", "127.0.0.1:80"));
        assert!(clashes("127.0.0.1:80", "[::ffff:127.0.0.1]:80"));
        assert!(!clashes("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!clashes("127.0.0.1:80", "[::]:81"));
    }
}
