//! Where a request's time went.
//!
//! Owns: the phases and their names. May touch: nothing outside this room. Measured by
//! [`crate::proxy::record`] for those who want it; read by the access log and `Server-Timing`.

use std::time::Duration;

/// How long each phase of a request took; `None` where there was no such phase, or nobody wants to
/// know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseTimes {
    /// From the request's head to the begin of the last attempt: filters, earlier attempts, waits.
    pub queue: Option<Duration>,
    /// Until the last attempt's connection was open; `None` over a kept one.
    pub connect: Option<Duration>,
    /// Its TLS handshake.
    pub tls: Option<Duration>,
    /// From there to the response's head.
    pub first_byte: Option<Duration>,
    /// From the head to the end of the server's body.
    pub body: Option<Duration>,
    /// From there until the client had taken everything.
    pub client: Option<Duration>,
}

impl PhaseTimes {
    /// The phases in their order, each with its name.
    pub fn named(&self) -> [(&'static str, Option<Duration>); 6] {
        [
            ("queue", self.queue),
            ("connect", self.connect),
            ("tls", self.tls),
            ("first_byte", self.first_byte),
            ("body", self.body),
            ("client", self.client),
        ]
    }
}
