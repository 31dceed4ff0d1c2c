//! Connections from clients: accepting, TLS, HTTP/1 and HTTP/2.
//!
//! Owns: everything that knows which protocol a client speaks. May touch: [`crate::cidr`],
//! [`crate::clock`], [`crate::config`], [`crate::credentials`], [`crate::http1`],
//! [`crate::loopback`], [`crate::message`], [`crate::observe`], [`crate::proxy`],
//! [`crate::snapshot`], [`crate::task`]. [`accept`] takes them, [`connection`] chooses the
//! protocol, and every request goes to [`crate::proxy::handle`].

pub mod accept;
pub mod activity;
pub mod alarm;
pub mod announcement;
pub mod backlog;
pub mod connection;
pub mod frames;
pub mod handshake;
pub mod http1;
mod http1_answer;
pub mod http1_response;
pub mod http1_socket;
pub mod http1_tunnel;
pub mod http2;
pub mod http2_given;
pub mod http2_patience;
pub mod http2_request;
pub mod http2_response;
pub mod http2_stream;
pub mod http2_streams;
pub mod http2_tunnel;
pub mod io;
pub mod listener;
pub mod secured;
pub mod service;
pub mod settings;
pub mod sockets;
pub mod stream;
