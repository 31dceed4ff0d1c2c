//! What TLS's files have besides chains and keys: names, OCSP responses, ticket keys.
//!
//! Owns: reading them from bytes. May touch: no file. The config checks files with this;
//! [`crate::tls`] then uses them.

pub mod identity;
pub mod staple;
pub mod ticket_keys;
