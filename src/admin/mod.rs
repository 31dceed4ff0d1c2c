//! The admin address: metrics, health, reload.
//!
//! Owns: its HTTP server, on the control thread. May touch: [`crate::cache`], [`crate::config`],
//! [`crate::credentials`], [`crate::explain`], [`crate::message`], [`crate::observe`],
//! [`crate::plan`], [`crate::route`], [`crate::settings`], [`crate::snapshot`], [`crate::task`],
//! [`crate::tls`], [`crate::upstream`]. It is never on a listener for clients. A request goes
//! `connection` → `turn` → `access` and `gate` → `resources`.

mod access;
mod answer;
mod ask;
mod audit;
mod cache;
mod cache_tiers;
mod certificates;
mod connection;
mod dashboard;
mod events;
mod explain;
mod gate;
mod health;
mod listening;
mod pace;
mod past;
mod patient;
mod peer;
mod plan;
mod process;
mod profile;
mod resources;
mod rows;
mod servers;
mod stats;
mod topology;
mod turn;
mod upstreams;
mod vitals;

pub use connection::Acceptor;
pub use process::gather;

use crate::{observe::rarely::Rarely, snapshot::Live};
use listening::{EndsEvents, Listeners};
use serde_json::Value;
use std::{fs, sync::Arc};
use tokio::sync::{mpsc, oneshot};
use turn::Desk;

/// Somebody asks for a reload.
pub struct Reload {
    /// The config is the running one: only what an operator has set is new.
    pub unchanged: bool,
    /// The new generation, or what is wrong as JSON.
    pub reply: oneshot::Sender<Result<u64, Value>>,
}

/// Answers on `socket` until dropped.
pub async fn serve(socket: Acceptor, live: Arc<Live>, reloads: mpsc::Sender<Reload>) {
    let seen = Arc::clone(&live);
    let ends = EndsEvents(Arc::new(Listeners::new(move || events::look(&seen))));
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim().to_ascii_lowercase();
    let desk = Desk {
        live,
        reloads,
        listeners: Arc::clone(&ends.0),
        machine,
        failures: Rarely::default(),
        pace: pace::RefusalPace::default(),
        audit: audit::Audit::default(),
    };
    connection::accept(socket, Arc::new(desk)).await;
}
