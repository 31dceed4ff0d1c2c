//! What the scenarios are built from: the daemon as a child process, upstream servers that
//! misbehave on command, and clients that write exact bytes.
//!
//! No port, path or time is fixed: addresses come from the daemon's log, directories from
//! `tempfile`, and waiting is polling with a deadline.

pub mod behaviour;
pub mod certs;
pub mod chance;
pub mod client;
pub mod collector;
pub mod config;
pub mod daemon;
pub mod frames;
pub mod front;
pub mod http2_server;
pub mod load;
pub mod log_book;
pub mod metrics;
pub mod noise;
pub mod recorder;
pub mod reference;
pub mod request_cases;
pub mod response_cases;
pub mod script;
pub mod secure;
mod self_test;
pub mod server;
pub mod wire;

pub use behaviour::{Behaviour, Gate, Step};
pub use client::Client;
pub use config::Config;
pub use daemon::Daemon;
pub use load::Load;
pub use server::Server;
pub use wire::Response;

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up: far longer than on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until `check` gives something, and fails naming `what` past the deadline.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Polls until `check` holds.
pub fn until(what: &str, mut check: impl FnMut() -> bool) {
    eventually(what, || check().then_some(()));
}
