//! What a change means for what runs now.
//!
//! Owns: the counts of connections, requests and stored responses. May touch: [`crate::config`],
//! [`crate::snapshot`].

use super::changes::{Changed, PlannedChange};
use crate::{config::Config, snapshot::Live};

/// What follows from a change, if anything is lost, ends or has to wait.
pub(super) fn effect(
    change: &PlannedChange,
    old: &Config,
    new: &Config,
    live: Option<&Live>,
) -> Option<String> {
    let name = change.table.name.as_str();
    let edits = |key: &str| change.keys.iter().any(|it| it.0 == key);
    match (change.what, change.table.kind.as_str()) {
        (Changed::Removed, "listener") => Some(closed(name, old, new, live)),
        (Changed::Edited, "listener") if edits("address") => Some(closed(name, old, new, live)),
        (Changed::Edited, "listener") => Some("for new connections".into()),
        (Changed::Removed, "server") => Some(of_server(&change.table.of, Some(name), live)),
        (Changed::Removed, "upstream") => Some(of_server(name, None, live)),
        (Changed::Removed, "cache") => Some(of_cache(name, live)),
        (Changed::Edited, "") if edits("workers") => Some("at the next start".into()),
        _ => None,
    }
}

/// A listener's socket goes, unless another listener has its address.
fn closed(name: &str, old: &Config, new: &Config, live: Option<&Live>) -> String {
    let address = old.listeners.iter().find(|it| it.name == name).map(|it| &it.address);
    // One that has had the address already keeps its own socket.
    let had = |name: &str| old.listeners.iter().find(|it| it.name == name).map(|it| &it.address);
    let heir = new
        .listeners
        .iter()
        .find(|it| Some(&it.address) == address && it.name != name && had(&it.name) != address);
    if let Some(heir) = heir {
        return format!("its socket is [listener.{}]'s from then on", heir.name);
    }
    match live {
        None => "its connections drain".into(),
        Some(live) => {
            let open = live.metrics.connections_open.with_label_values(&[name]).get();
            format!("{} drain", counted(open.max(0) as u64, "open connection"))
        }
    }
}

fn of_server(upstream: &str, address: Option<&str>, live: Option<&Live>) -> String {
    let Some(live) = live else { return "requests in flight end where they are".into() };
    let snapshot = live.load();
    let group = snapshot.groups.iter().find(|it| it.upstream.name() == upstream);
    let members = group.map_or(&[][..], |it| it.upstream.members());
    let servers = members.iter().map(|it| &it.server);
    let servers = servers.filter(|it| address.is_none_or(|address| it.address() == address));
    let (mut requests, mut tunnels) = (0, 0);
    for server in servers {
        tunnels += u64::from(server.tunnels());
        requests += u64::from(server.in_flight());
    }
    let requests = counted(requests.saturating_sub(tunnels), "request");
    if tunnels == 0 {
        return format!("{requests} in flight end where they are");
    }
    format!("{requests} in flight and {} end where they are", counted(tunnels, "tunnel"))
}

fn of_cache(name: &str, live: Option<&Live>) -> String {
    let cache = live.and_then(|it| it.load().caches.iter().find(|it| *it.name == *name).cloned());
    match cache {
        None => "what it has in memory is lost".into(),
        Some(cache) => {
            let stats = cache.store.stats();
            let responses = counted(stats.objects, "response");
            format!("{responses}, {} KiB, in memory are lost", stats.bytes / 1024)
        }
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
