//! `/explain`: what would happen to a request.
//!
//! Owns: the question as JSON, or in the query. May touch: [`crate::explain`]. A directory that
//! hangs must not hold the answer up.

use super::{
    answer::{AdminAnswer, document, refusal},
    ask::Ask,
};
use crate::explain::{asked::AskedRequest, explain};
use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::timeout;

/// How long a directory may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// By `GET /explain?method=GET&url=URL`, or by POST with JSON.
pub(super) async fn explained(ask: &Ask) -> AdminAnswer {
    let question = match ask.query() {
        _ if !ask.body.is_empty() => serde_json::from_slice(&ask.body)
            .map_err(|error| format!("the body is no JSON: {error}")),
        Some(query) => Ok(by_query(query)),
        None => Err("ask `/explain?method=GET&url=URL`, or send JSON".into()),
    };
    let asked = question.and_then(|it| AskedRequest::from_json(&it));
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => return refusal(StatusCode::UNPROCESSABLE_ENTITY, &error),
    };
    let (snapshot, live) = (ask.live.load(), &ask.live);
    match timeout(PATIENCE, explain(&snapshot, live.clock, &live.metrics, &asked)).await {
        Ok(Ok(told)) => document(StatusCode::OK, &told),
        Ok(Err(error)) => refusal(StatusCode::UNPROCESSABLE_ENTITY, &error),
        Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "the directory's disk does not answer"),
    }
}

/// Every key of the query is a text.
fn by_query(query: &str) -> Value {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let decoded = pairs.map(|(key, value)| {
        (key.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned().into())
    });
    Value::Object(decoded.collect::<Map<_, _>>())
}
