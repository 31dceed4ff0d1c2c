//! How long a connection took to open.
//!
//! Owns: the times of the attempt that it was opened for. May touch: nothing outside this room.
//! Written by [`super::dial`]; over a kept connection nothing is written.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

/// How long one attempt's connection took to open. An attempt has it to itself; atomics let its
/// future move between threads.
#[derive(Debug, Default)]
pub struct DialTimes {
    /// Microseconds; 0: there was none.
    connect: AtomicU32,
    tls: AtomicU32,
}

impl Clone for DialTimes {
    fn clone(&self) -> Self {
        let copy = |micros: &AtomicU32| AtomicU32::new(micros.load(Relaxed));
        Self { connect: copy(&self.connect), tls: copy(&self.tls) }
    }
}

impl DialTimes {
    /// Another attempt begins.
    pub fn reset(&self) {
        self.connect.store(0, Relaxed);
        self.tls.store(0, Relaxed);
    }

    /// Until the connection was open, or could not be.
    pub fn connect(&self) -> Option<Duration> {
        told(&self.connect)
    }

    /// The TLS handshake.
    pub fn tls(&self) -> Option<Duration> {
        told(&self.tls)
    }

    pub(super) fn connected(&self, took: Duration) {
        note(&self.connect, took);
    }

    pub(super) fn shaken(&self, took: Duration) {
        note(&self.tls, took);
    }
}

fn told(micros: &AtomicU32) -> Option<Duration> {
    let micros = micros.load(Relaxed);
    (micros > 0).then(|| Duration::from_micros(micros.into()))
}

/// Less than a microsecond counts as one, so that it is not taken for none.
fn note(micros: &AtomicU32, took: Duration) {
    let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
    micros.store(took, Relaxed);
}
