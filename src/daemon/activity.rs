//! What a client's connection is doing, and until when it may.
//!
//! Owns: the moments that the client's timeouts count from. May touch: [`crate::clock`]. Written by
//! [`super::client_io`] and the service, read by [`super::connection`]'s one timer, so that no
//! request starts or stops a timer.

use crate::{clock::Clock, proxy::admission::Framing};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

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

/// What the timer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing before this moment.
    Fine(u64),
    /// A head is overdue.
    SlowHead,
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
    head_since: AtomicU64,
    blocked_since: AtomicU64,
    framing: AtomicU8,
    /// Whether the client has taken nothing for too long.
    pub stalled: AtomicBool,
    /// Whether the client has closed its side.
    pub ended: AtomicBool,
    /// Whether what the client sends may be left unread at the end.
    pub may_have_unread: AtomicBool,
}

impl Activity {
    /// A connection that has just been accepted.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            idle_since: AtomicU64::new(clock.now()),
            head_since: AtomicU64::new(0),
            blocked_since: AtomicU64::new(0),
            framing: AtomicU8::new(Framing::Unseen as u8),
            stalled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            may_have_unread: AtomicBool::new(false),
        }
    }

    /// Whether what arrives now belongs to a head.
    pub fn is_between_requests(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// Bytes of a head came; whether they are its first.
    pub fn head_came(&self) -> bool {
        let first = self.head_since.load(Relaxed) == 0;
        if first {
            self.head_since.store(self.clock.now(), Relaxed);
        }
        first
    }

    /// What is known of the coming head's framing.
    pub fn set_framing(&self, framing: Framing) {
        self.framing.store(framing as u8, Relaxed);
    }

    /// A request has begun: how many there were with it, and what was seen of its framing.
    pub fn begin(&self) -> (u64, Framing) {
        self.head_since.store(0, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        let framing = match self.framing.swap(Framing::Unseen as u8, Relaxed) {
            0 => Framing::Clean,
            1 => Framing::Both,
            _ => Framing::Unseen,
        };
        (self.requests.fetch_add(1, Relaxed) + 1, framing)
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
        if !self.is_between_requests() {
            // Whatever begins from now on can't be overdue before the shortest wait.
            return Finding::Fine(now + waits.request_head.min(waits.idle).min(waits.send));
        }
        match self.head_since.load(Relaxed) {
            0 => {
                let idle = self.idle_since.load(Relaxed);
                match due(idle, waits.idle, Finding::Idle) {
                    Finding::Fine(at) => Finding::Fine(at.min(now + waits.request_head)),
                    found => found,
                }
            }
            since => due(since, waits.request_head, Finding::SlowHead),
        }
    }
}
