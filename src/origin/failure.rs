//! Why an attempt at a server failed before there was a response head.
//!
//! Owns: the kinds of failures, and how far an attempt came. May touch: [`crate::message`],
//! [`crate::tls`]. The caller of [`mod@super::fetch`] decides what follows from one.

use super::{
    dial::{Unconnected, is_ours},
    response_head::Malformed,
};
use crate::{message::body::BodyError, tls::words};
use std::{fmt, io};

/// Why an attempt failed before there was a response head.
#[derive(Debug)]
pub enum Failure {
    /// No connection.
    Connect(io::Error),
    /// No connection in time.
    ConnectTimeout,
    /// The TLS handshake failed, and why.
    Tls(String),
    /// The server took no bytes for too long.
    SendTimeout,
    /// The connection ended or broke.
    Reset(io::Error),
    /// The server took no more requests on the connection: this one was not processed (RFC 9113
    /// §8.7).
    Refused(String),
    /// The server has not announced that it takes tunnels, so it was not asked for one (RFC 8441
    /// §3).
    NoTunnels,
    /// No head in time.
    ResponseTimeout,
    /// A head that can't be passed on.
    BadResponse(Malformed),
    /// The client's body ended early: not the server's doing.
    Client(BodyError),
    /// The client sent nothing of its body for too long.
    ClientTimeout,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectTimeout => f.write_str("no connection within `timeouts.connect`"),
            Self::SendTimeout => f.write_str("it took nothing for `timeouts.send`"),
            Self::Reset(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it closed the connection without a whole response head")
            }
            Self::Connect(error) | Self::Reset(error) => write!(f, "{error}"),
            Self::Tls(words) | Self::Refused(words) => f.write_str(words),
            Self::NoTunnels => {
                f.write_str("the server has not announced extended CONNECT (RFC 8441)")
            }
            Self::ResponseTimeout => f.write_str("no response within `timeouts.response_head`"),
            Self::BadResponse(malformed) => f.write_str(malformed),
            Self::Client(error) => write!(f, "{error}"),
            Self::ClientTimeout => f.write_str("the client's body came too slowly"),
        }
    }
}

impl From<Unconnected> for Failure {
    fn from(unconnected: Unconnected) -> Self {
        match unconnected {
            Unconnected::Io(error) => Self::Connect(error),
            Unconnected::Timeout => Self::ConnectTimeout,
            Unconnected::Tls(words) => Self::Tls(words),
        }
    }
}

impl Failure {
    /// An established connection broke.
    pub fn broken(error: io::Error) -> Self {
        match words::late_refusal(&error) {
            Some(words) => Self::Tls(words),
            None => Self::Reset(error),
        }
    }
}

/// A failed attempt, and how far it came.
#[derive(Debug)]
pub struct Failed {
    /// What went wrong.
    pub failure: Failure,
    /// Whether any byte of the request was written.
    pub sent: bool,
    /// Whether any byte of a response was read.
    pub answered: bool,
    /// Whether the connection had carried requests before.
    pub reused: bool,
}

impl Failed {
    /// Before anything was sent.
    pub fn unsent(failure: Failure) -> Self {
        Self { failure, sent: false, answered: false, reused: false }
    }

    /// Whether the server has not processed the request (RFC 9113 §8.7).
    pub fn is_refused(&self) -> bool {
        matches!(self.failure, Failure::Refused(_))
    }

    /// Whether a kept connection turned out to be closed, which every server does at times, or the
    /// attempt failed because we lack something, such as descriptors. Neither says anything about
    /// the server's health.
    pub fn is_no_fault(&self) -> bool {
        match &self.failure {
            // A connection that timed out was not closed by the server.
            Failure::Reset(error) if error.kind() == io::ErrorKind::TimedOut => false,
            Failure::Reset(_) => self.reused && !self.answered,
            // The server may refuse requests when it has enough, or when it stops.
            Failure::Refused(_) | Failure::NoTunnels => true,
            Failure::Connect(error) => is_ours(error),
            _ => false,
        }
    }
}
