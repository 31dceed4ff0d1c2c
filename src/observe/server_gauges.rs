//! The state of every server, as gauges.
//!
//! Owns: the gauges, which are set when the metrics are read. May touch: nothing outside this room.

use super::maker::Maker;
use prometheus::IntGaugeVec;

/// One series for each server.
pub struct ServerGauges {
    /// `sheave_upstream_up`.
    pub up: IntGaugeVec,
    /// `sheave_upstream_drained`.
    pub drained: IntGaugeVec,
    /// `sheave_upstream_in_flight`.
    pub in_flight: IntGaugeVec,
    /// `sheave_upstream_tunnels`.
    pub tunnels: IntGaugeVec,
}

impl ServerGauges {
    pub(super) fn new(make: &Maker) -> Self {
        let gauges = |name, help| make.gauges(name, help, &["upstream", "server"]);
        Self {
            up: gauges("sheave_upstream_up", "Whether a server gets requests."),
            drained: gauges("sheave_upstream_drained", "Whether an operator has drained a server."),
            in_flight: gauges("sheave_upstream_in_flight", "Requests at a server."),
            tunnels: gauges(
                "sheave_upstream_tunnels",
                "Tunnels (WebSocket and the like) open through a server.",
            ),
        }
    }

    /// Removes the series of a server that the config no longer has.
    pub(super) fn remove(&self, labels: &[&str; 2]) {
        for gauge in [&self.up, &self.drained, &self.in_flight, &self.tunnels] {
            let _ = gauge.remove_label_values(labels);
        }
    }
}
