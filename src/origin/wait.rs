//! What an attempt waits for, by either version of HTTP.
//!
//! Owns: how long each wait may take, and what failed if it is over. May touch: [`crate::message`],
//! [`crate::settings`]. Used by [`mod@super::exchange`] and [`super::http2`].

use super::failure::Failure;
use crate::message::upload::Upload;
use crate::settings::Timeouts;
use std::time::Duration;

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The server has to take bytes.
    Send,
    /// The client has to send more of its body.
    Client,
    /// The response's head has to come.
    Head,
}

impl Wait {
    /// How long the wait may take.
    pub fn limit(self, timeouts: &Timeouts, body: &Upload) -> Duration {
        match self {
            Self::Send => timeouts.send,
            Self::Client => timeouts.client(body.waited(), body.received_bytes()),
            Self::Head => timeouts.response_head,
        }
    }

    /// What has failed if the wait takes too long.
    pub fn failure(self) -> Failure {
        match self {
            Self::Send => Failure::SendTimeout,
            Self::Client => Failure::ClientTimeout,
            Self::Head => Failure::ResponseTimeout,
        }
    }
}
