//! HTTP/1 on the wire, for both sides: the bytes of RFC 9112.
//!
//! Owns: reading into a worker's blocks, the heads of requests that come in and of responses that
//! go out, chunks, and the queue of bytes to be written. May touch: nothing outside this room. The
//! client's connection ([`crate::client::http1`]) and the exchange with a server
//! ([`mod@crate::origin::exchange`]) use it.
//!
//! HTTP/1 to clients is our own code and not hyper's, because it is most of what a request costs: a
//! small proxied request took 26,000 instructions with hyper's server. `benches/results/LOG.md` has
//! the numbers.

pub mod buffers;
pub mod chunked;
pub mod date;
pub mod fields;
pub mod known;
pub mod lexer;
pub mod lines;
pub mod moved;
pub mod outgoing;
pub mod request;
pub mod request_body;
pub mod request_head;
pub mod response_head;
pub mod socket;
pub mod target;
