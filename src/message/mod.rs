//! Parts of an HTTP message that every step shares.
//!
//! Owns: bodies, what a request knows of itself, and the rules for single fields. May touch:
//! [`crate::cidr`], [`crate::country`], [`crate::credentials`], [`crate::http1`],
//! [`crate::template`]. No step of a request's way is here.

pub mod answer;
pub mod body;
pub mod conditional;
pub mod context;
pub mod forwarded;
pub mod grpc;
pub mod hop_by_hop;
pub mod interim;
pub mod pile;
pub mod proxy_header;
pub mod proxy_protocol;
pub mod range;
pub mod request_id;
pub mod rfc7239;
pub mod secured;
pub mod trace_context;
pub mod upload;
pub mod websocket;
