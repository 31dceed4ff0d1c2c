//! `/events`: what runs, once a second, as server-sent events.
//!
//! Owns: what an event tells. May touch: [`crate::snapshot`].

use super::{
    answer::{AdminAnswer, refusal},
    ask::Ask,
    health,
    rows::{Told, rows},
    stats,
};
use crate::snapshot::{Live, live::Phase};
use futures_util::stream::poll_fn;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Map, Value, json};

/// Begins to send events.
pub(super) fn events(ask: &Ask) -> AdminAnswer {
    let most = ask.live.load().config.admin.events;
    let Some(mut events) = ask.listeners.join(most) else {
        let error = format!(
            "{most} others listen already: read `/stats` instead, or raise `events` of `[admin]`"
        );
        return refusal(StatusCode::SERVICE_UNAVAILABLE, &error);
    };
    let frames = poll_fn(move |cx| events.poll_recv(cx).map(|it| it.map(|it| Ok(Frame::data(it)))));
    let mut answer: AdminAnswer = Response::new(StreamBody::new(frames).boxed_unsync());
    for (name, value) in
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")]
    {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// What an event tells of now.
pub(super) fn look(live: &Live) -> Told {
    let stats = stats::everything(live);
    let mut rows = rows(&stats);
    rows.insert("health".into(), health_row(live).to_string());
    let mut head = Map::new();
    for key in ["time", "uptime", "version", "generation"] {
        head.insert(key.into(), stats[key].clone());
    }
    head.insert("phase".into(), phase(live).into());
    head.insert("errors_count".into(), live.failures.count().into());
    head.insert("reloads_count".into(), live.reloads.count().into());
    Told { head, rows }
}

/// `/health`, only with what is not well.
fn health_row(live: &Live) -> Value {
    let (status, health) = health::now(live);
    let checks = health["checks"].as_object().into_iter().flatten();
    let ill = checks.filter(|(_, check)| check["status"] != "ok");
    let ill: Map<_, _> = ill.map(|(name, check)| (name.clone(), check.clone())).collect();
    json!({ "status": health["status"], "serving": status.is_success(), "checks": ill })
}

fn phase(live: &Live) -> &'static str {
    match live.phase() {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Draining => "draining",
    }
}
