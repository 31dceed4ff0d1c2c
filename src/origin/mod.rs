//! How a server is asked: connections, their pool, and one request over one of them.
//!
//! Owns: everything that knows which protocol a server speaks. May touch: [`crate::clock`],
//! [`crate::http1`], [`crate::loopback`], [`crate::message`], [`crate::settings`], [`crate::task`],
//! [`crate::tls`], [`crate::upstream`]. It does not know the record of a client's request:
//! [`fetch()`] needs only a head, a body and a lease.

pub mod ask;
pub mod asking;
pub mod connect;
pub mod dial;
pub mod dial_times;
pub mod exchange;
pub mod failure;
pub mod fetch;
mod fetch_http1;
mod fetch_http2;
pub mod home;
pub mod http1_body;
pub mod http2;
pub mod http2_body;
pub mod http2_settings;
pub mod pool;
pub mod probe;
pub mod reply;
pub mod response_head;
pub mod session;
pub mod sessions;
pub mod tunnel;
pub mod wait;
pub mod wire;

pub use asking::{Asking, Terms, Way};
pub use dial::Destination;
pub use fetch::fetch;
pub use home::{Home, Taker};
pub use reply::{Fetched, Reply};
