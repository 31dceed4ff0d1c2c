//! The daemon's own log, on stderr, and what happens at a panic.
//!
//! Owns: the subscriber and the panic hook. May touch: nothing outside this room.

use super::{foreign::Foreign, metrics::Metrics};
use std::sync::Arc;
use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// Changes the level while the daemon runs.
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub fn set(&self, level: &str) {
        // This fails only once the subscriber is gone, and then there is no log.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts logging: once, before anything logs.
pub fn start(level: &str, json: bool) -> Level {
    let (filter, handle) = reload::Layer::new(filter(level));
    let registry = tracing_subscriber::registry().with(filter).with(Foreign::default());
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let started = if json {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()
    } else {
        let layer = fmt::layer().with_ansi(colours).with_target(false);
        registry.with(layer.with_writer(std::io::stderr)).try_init()
    };
    // A second start in one process, as in tests, keeps the first subscriber.
    drop(started);
    Level(handle)
}

/// Lets our own events pass at `level`, and only warnings and errors of libraries.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("warn,sheave={level}"))
}

/// Logs and counts every panic. The previous hook runs, too (it prints a backtrace if the
/// environment asks for one). The thread or task that panics still ends.
pub fn count_panics(metrics: &Arc<Metrics>) {
    let metrics = Arc::clone(metrics);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        metrics.panics.inc();
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(message, place, "a panic: please report it");
        before(panic);
    }));
}
