//! What the process is told by signals.
//!
//! Owns: the handlers. May touch: nothing outside this room. [`super::control`] does what they ask
//! for.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that we answer to.
pub struct Signals {
    hangup: Signal,
    user1: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What a signal asks for.
#[derive(PartialEq, Eq)]
pub enum SignalAsk {
    /// Stop the daemon.
    Stop,
    /// Load the config again.
    Reload,
    /// Open log files again that were moved away.
    ReopenLogs,
}

impl Signals {
    /// Receives signals from now on. Make it before anything else: then a signal that comes during
    /// the start is handled after it.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> SignalAsk {
        tokio::select! {
            _ = self.terminate.recv() => SignalAsk::Stop,
            _ = self.interrupt.recv() => SignalAsk::Stop,
            _ = self.hangup.recv() => SignalAsk::Reload,
            _ = self.user1.recv() => SignalAsk::ReopenLogs,
        }
    }
}
