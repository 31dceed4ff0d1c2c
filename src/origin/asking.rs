//! What is needed to ask a server: a head, and terms.
//!
//! Owns: what a sender of requests has to know how to do. May touch: [`crate::http1`],
//! [`crate::message`], [`crate::settings`], [`crate::upstream`]. Implemented for clients' requests
//! and for checks; read by every file of this room that sends.

use super::http2_settings::Http2Settings;
use crate::{
    http1::{fields::Fields, outgoing::Outgoing, request_head::HeadLimits},
    message::body::Length,
    settings::Timeouts,
    upstream::Server,
};
use http::{HeaderMap, Method, Request, StatusCode};
use std::time::Instant;

/// A request's head, as its sender has it.
pub trait Asking: Sync {
    /// The method.
    fn method(&self) -> &Method;

    /// Begins the request by HTTP/1: the whole head, with a body of `length`.
    fn write_http1(&self, outgoing: &mut Outgoing, server: &Server, length: Length);

    /// Makes the same head for HTTP/2. `tls` says whether the connection has TLS.
    fn to_http2(&self, server: &Server, tls: bool, length: Length) -> Request<()>;

    /// The protocols that it wants to change to, if any.
    fn protocols(&self) -> Option<&str> {
        None
    }

    /// Called once the server has agreed by HTTP/2: adds the fields that HTTP/1 would have.
    fn agreed(&self, _fields: &mut HeaderMap) {}

    /// Takes an interim response (RFC 9110 §15.2), with its end-to-end fields.
    fn interim(&self, _status: StatusCode, _fields: Fields) {}
}

/// How long a server may take, and how much it may send.
#[derive(Clone, Copy)]
pub struct Terms<'a> {
    /// How long each wait may take.
    pub timeouts: &'a Timeouts,
    /// The largest response head.
    pub head: HeadLimits,
    /// How HTTP/2 is spoken.
    pub http2: &'a Http2Settings,
    /// When the attempt began, also in the clock's milliseconds: reading a clock costs as much as
    /// choosing a server.
    pub begun: (Instant, u64),
}

/// How an attempt came to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over a kept connection.
    Kept,
    /// Over a new connection.
    Fresh,
    /// Over a new connection, after a kept one had turned out to be closed.
    Stale,
}
