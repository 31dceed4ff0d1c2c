//! What an HTTP/2 connection is doing, and until when it may.
//!
//! Owns: the moments that the client's timeouts count from. May touch: [`crate::clock`]. Written by
//! [`super::client_io`] and the service, read by the one alarm of [`super::serve_http2`], so that no
//! request starts or stops a timer.

use super::settings::Waits;
use crate::clock::Clock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What the alarm finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing before this moment.
    Fine(u64),
    /// Nothing has been asked for long enough.
    Idle,
    /// The client takes nothing.
    Stalled,
}

/// What a connection is doing. Moments are the clock's milliseconds; 0 is "not now".
#[derive(Debug)]
pub struct Activity {
    /// The process's time.
    pub clock: Clock,
    in_flight: AtomicU32,
    requests: AtomicU64,
    idle_since: AtomicU64,
    blocked_since: AtomicU64,
    /// Whether the client has taken nothing for too long.
    pub stalled: AtomicBool,
}

impl Activity {
    /// A connection that has just been accepted.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            idle_since: AtomicU64::new(clock.now()),
            blocked_since: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
        }
    }

    /// A request has begun: how many there were with it.
    pub fn begin(&self) -> u64 {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed) + 1
    }

    /// A request has ended.
    pub fn end(&self) {
        if self.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.idle_since.store(self.clock.now(), Relaxed);
        }
    }

    /// A write succeeded, or could not proceed.
    pub fn wrote(&self, blocked: bool) {
        let before = self.blocked_since.load(Relaxed);
        if blocked && before == 0 {
            self.blocked_since.store(self.clock.now(), Relaxed);
        } else if !blocked && before != 0 {
            self.blocked_since.store(0, Relaxed);
        }
    }

    /// What is overdue now, or when to look again.
    pub fn look(&self, waits: &Waits) -> Finding {
        let now = self.clock.now();
        let due = |since: u64, wait: u64, finding| {
            if now >= since + wait { finding } else { Finding::Fine(since + wait) }
        };
        let blocked = self.blocked_since.load(Relaxed);
        if blocked != 0 {
            return due(blocked, waits.send, Finding::Stalled);
        }
        // Whatever begins from now on can't be overdue before the shortest wait.
        let soonest = now + waits.shortest();
        if self.in_flight.load(Relaxed) != 0 {
            return Finding::Fine(soonest);
        }
        match due(self.idle_since.load(Relaxed), waits.idle, Finding::Idle) {
            Finding::Fine(at) => Finding::Fine(at.min(soonest)),
            found => found,
        }
    }
}
