//! How a server is asked: connections, their pool, and one request over one of them.
//!
//! Owns: everything that knows which protocol a server speaks. May touch: [`crate::upstream`],
//! [`crate::http1`], [`crate::message`]. [`crate::proxy::forward`] calls it.

pub mod body;
pub mod connect;
pub mod exchange;
pub mod pool;
pub mod probe;
pub mod response_head;
pub mod timeouts;
