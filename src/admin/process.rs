//! The process as a whole: metrics, probes, reload.
//!
//! Owns: `/metrics`, `/ready`, `/live`, `/whoami`, `/reload`. May touch:
//! [`crate::observe`], [`crate::snapshot`].

use super::{
    answer::{self, AdminAnswer, document},
    ask::Ask,
    cache, certificates, upstreams,
};
use crate::{
    observe::{
        figures::{Figures, Heap},
        metrics::Metrics,
    },
    snapshot::{Live, live::Phase},
};
use http::StatusCode;
use prometheus::proto::MetricFamily;
use serde_json::json;

/// Every metric, for Prometheus and for OTLP. First it sets those that are not counted as they happen.
pub fn gather(live: &Live) -> Vec<MetricFamily> {
    upstreams::set_gauges(live);
    live.metrics.vital.set(&Figures::read(), &Heap::read());
    cache::set_gauges(live);
    certificates::set_gauges(live);
    live.metrics.gather()
}

/// Every metric, for Prometheus.
pub(super) fn metrics(Ask { live, .. }: &Ask) -> AdminAnswer {
    let text = Metrics::text(&gather(live));
    answer::whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// Whether the process answers.
pub(super) fn live(_: &Ask) -> AdminAnswer {
    document(StatusCode::OK, &json!({ "status": "ok" }))
}

/// Whether to send requests here.
pub(super) fn ready(Ask { live, .. }: &Ask) -> AdminAnswer {
    let status = match live.phase() {
        Phase::Starting => "starting",
        Phase::Draining => "draining",
        Phase::Running if !live.load().has_live_upstream(live.clock.now()) => "no_live_upstream",
        Phase::Running => return document(StatusCode::OK, &json!({ "status": "ready" })),
    };
    document(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": status }))
}

/// What the asker may do.
pub(super) fn whoami(Ask { caller, .. }: &Ask) -> AdminAnswer {
    document(StatusCode::OK, &json!({ "role": caller.role.name(), "name": caller.name.as_deref() }))
}

/// Loads the config again; answers when it is in use or refused.
pub(super) async fn reload(ask: &Ask) -> AdminAnswer {
    match ask.reload(false).await {
        Ok(generation) => {
            document(StatusCode::OK, &json!({ "status": "reloaded", "generation": generation }))
        }
        Err(refused) => *refused,
    }
}
