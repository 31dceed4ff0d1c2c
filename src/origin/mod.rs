//! How a server is asked: connections, their pool, and one request over one of them.
//!
//! Owns: everything that knows which protocol a server speaks. May touch: [`crate::upstream`],
//! [`crate::http1`], [`crate::message`]. It does not know the record of a client's request:
//! [`fetch()`] needs only a head, a body and a lease.

pub mod ask;
pub mod connect;
pub mod dial;
pub mod exchange;
pub mod failure;
pub mod fetch;
mod fetch_http2;
pub mod http1_body;
pub mod http2;
pub mod http2_body;
pub mod pool;
pub mod probe;
pub mod reply;
pub mod response_head;
pub mod sessions;
pub mod timeouts;
pub mod tunnel;
pub mod wait;
pub mod wire;

pub use dial::Destination;
pub use fetch::{Asking, Fetched, Terms, Way, fetch};
pub use reply::{Home, Reply, Taker};
