//! What a connection takes from its listener's config when it begins.

use crate::{config::ListenerLimits, snapshot::ListenerParts};
use std::time::Duration;

/// What a connection takes from its listener's config.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// The client's timeouts.
    pub waits: Waits,
    /// Once the connection is older than this, the next answer ends it; zero means never.
    pub age: Duration,
    /// How much a client may ask for.
    pub limits: ListenerLimits,
}

/// Milliseconds; a listener's timeouts.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// From a head's first byte to its end.
    pub request_head: u64,
    /// Between requests.
    pub idle: u64,
    /// Between two successful writes.
    pub send: u64,
}

impl Waits {
    /// The shortest of them.
    pub fn shortest(&self) -> u64 {
        self.request_head.min(self.idle).min(self.send)
    }
}

impl ConnectionSettings {
    /// What a connection of this listener takes.
    pub fn of(parts: &ListenerParts) -> Self {
        let millis = |duration: Duration| duration.as_millis() as u64;
        Self {
            waits: Waits {
                request_head: millis(parts.timeouts.request_head),
                idle: millis(parts.timeouts.idle),
                send: millis(parts.timeouts.send),
            },
            age: parts.limits.connection_age,
            limits: parts.limits,
        }
    }
}
