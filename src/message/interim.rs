//! Interim responses on their way from a server to the client (RFC 9110 §15.2), such as `103 Early
//! Hints`.
//!
//! Owns: those that wait for the client's connection to send them. May touch: [`crate::http1`].
//! [`mod@crate::origin::exchange`] reads them, the client's connection asks after each poll of a
//! request. A connection that gets none pays for one flag.

use crate::http1::fields::Fields;
use http::StatusCode;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// At most this many wait for a slow client; further ones are dropped.
const MOST: usize = 32;

/// An interim response.
#[derive(Debug)]
pub struct Interim {
    /// The status.
    pub status: StatusCode,
    /// The end-to-end fields.
    pub fields: Fields,
}

/// The waiting interim responses of a connection.
#[derive(Debug, Default)]
pub struct Interims {
    any: AtomicBool,
    waiting: Mutex<Vec<(u32, Interim)>>,
}

impl Interims {
    /// The number of a request that no client waits for.
    pub const NOBODY: u32 = u32::MAX;

    /// Adds one for the request of this number on the connection.
    pub fn push(&self, request: u32, interim: Interim) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST {
            waiting.push((request, interim));
            self.any.store(true, Relaxed);
        }
    }

    /// The next one for a request.
    pub fn take(&self, request: u32) -> Option<Interim> {
        if !self.any.load(Relaxed) {
            return None;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let at = waiting.iter().position(|(of, _)| *of == request)?;
        let (_, interim) = waiting.remove(at);
        self.any.store(!waiting.is_empty(), Relaxed);
        Some(interim)
    }
}
