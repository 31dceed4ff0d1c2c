//! `/plan`: what a reload with another config would change.
//!
//! Owns: the new text as if it stood where the running config does. May touch: [`crate::config`],
//! [`crate::plan`], [`crate::snapshot`]. It is read with the daemon's environment and files, so
//! that its errors are those that a reload would have.

use super::{
    answer::{AdminAnswer, document, refusal},
    ask::Ask,
};
use crate::{
    config::{self, ConfigError, Loaded},
    plan::plan,
    snapshot::Live,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::timeout};

/// How long the files that the config names may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// By POST with `{"text": the config, "file": its name}`.
pub(super) async fn planned(ask: &Ask) -> AdminAnswer {
    let question: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
    let Some(text) = question["text"].as_str().map(str::to_owned) else {
        let error = "send {\"text\": the new config, \"file\": its name}";
        return refusal(StatusCode::BAD_REQUEST, error);
    };
    let name = question["file"].as_str().unwrap_or("new.toml").to_owned();
    let live = Arc::clone(&ask.live);
    let planned = spawn_blocking(move || compare(&live, &text, &name));
    match timeout(PATIENCE, planned).await {
        Ok(Ok(Ok(plan))) => document(StatusCode::OK, &plan),
        Ok(Ok(Err(error))) => {
            let told = json!({ "error": "the config is wrong", "text": error.to_string() });
            document(StatusCode::UNPROCESSABLE_ENTITY, &told)
        }
        _ => refusal(StatusCode::GATEWAY_TIMEOUT, "the files of the config can't be read in time"),
    }
}

fn compare(live: &Live, text: &str, name: &str) -> Result<Value, ConfigError> {
    let snapshot = live.load();
    let running = &snapshot.config;
    // Relative paths start beside the file that runs.
    let name = Path::new(name).file_name().unwrap_or("new.toml".as_ref());
    let file = running.source.file.with_file_name(name);
    let Loaded { config, warnings, .. } =
        config::parse(text, &file, &|name| std::env::var(name).ok())?;
    Ok(plan(running, &config, &warnings, Some(live)))
}
