//! What the servers are doing now, in the form of `/stats`.
//!
//! Owns: the states. May touch: [`crate::snapshot`].

use crate::snapshot::Live;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Every server's state and requests in flight.
pub(super) fn now(live: &Live) -> Value {
    let (snapshot, now) = (live.load(), live.clock.now());
    let upstreams = snapshot.groups.iter().map(|group| {
        let servers = group.upstream.members().iter().map(|member| {
            let server = &member.server;
            let status = server.status(member, now);
            json!({
                "address": server.address(),
                "state": status.state.as_str(),
                "reason": status.reason,
                "in_flight": server.in_flight(),
                "max_conns": member.terms.max_conns,
                "weight": member.terms.weight,
                "backup": member.terms.backup,
                "drained": server.is_drained(),
            })
        });
        json!({ "name": group.upstream.name(), "in_flight": group.upstream.running(), "servers": servers.collect::<Vec<_>>() })
    });
    json!({ "time": Timestamp::now().to_string(), "uptime": live.uptime().as_secs_f64(), "version": env!("CARGO_PKG_VERSION"), "generation": snapshot.generation, "upstreams": upstreams.collect::<Vec<_>>() })
}
