//! `/upstreams`: every server and its state; the same as gauges.

use super::{
    answer::{AdminAnswer, document},
    ask::Ask,
};
use crate::snapshot::Live;
use http::StatusCode;
use prometheus::IntGaugeVec;
use serde_json::json;

/// Every server of every upstream.
pub(super) fn upstreams(Ask { live, .. }: &Ask) -> AdminAnswer {
    let (snapshot, now) = (live.load(), live.clock.now());
    let groups = snapshot.groups.iter().map(|group| {
        let servers = group.upstream.members().iter().map(|member| {
            let server = &member.server;
            let status = server.status(member, now);
            let addresses: Vec<_> = server.addresses().iter().map(ToString::to_string).collect();
            let set = server
                .overruled()
                .map(|set| json!({ "drained": set.drained, "weight": set.weight, "by": &*set.by }));
            json!({
                "address": server.address(),
                "resolved": addresses,
                "state": status.state.as_str(),
                "reason": status.reason,
                "last_failure": status.last_failure,
                "fails": status.fails,
                "ejected_for_ms": status.ejected_for_ms,
                "in_flight": server.in_flight(),
                "tunnels": server.tunnels(),
                "requests": server.requests(),
                "failures": server.failures(),
                "latency_ms": server.latency_us() as f64 / 1000.0,
                "weight": member.terms.weight,
                "drained": server.is_drained(),
                "set": set,
                "backup": member.terms.backup,
            })
        });
        json!({ "name": group.upstream.name(), "servers": servers.collect::<Vec<_>>() })
    });
    document(StatusCode::OK, &json!({ "upstreams": groups.collect::<Vec<_>>() }))
}

/// Sets the gauges to their current values.
pub(super) fn set_gauges(live: &Live) {
    let (snapshot, now) = (live.load(), live.clock.now());
    for group in &snapshot.groups {
        let upstream = group.upstream.name();
        for member in group.upstream.members() {
            let server = &member.server;
            let labels = [upstream, server.address()];
            let gauges = &live.metrics.server_gauges;
            let set = |family: &IntGaugeVec, value| family.with_label_values(&labels).set(value);
            set(&gauges.up, server.status(member, now).state.is_up().into());
            set(&gauges.drained, server.is_drained().into());
            set(&gauges.in_flight, server.in_flight().into());
            set(&gauges.tunnels, server.tunnels().into());
        }
    }
    let (hits, misses) = snapshot.files_lookups();
    for (counter, value) in [(&live.metrics.files_hits, hits), (&live.metrics.files_misses, misses)]
    {
        counter.reset();
        counter.inc_by(value);
    }
    live.metrics.uptime.set(live.uptime().as_secs_f64());
}
