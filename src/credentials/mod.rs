//! What stands in TLS's files beside chains and keys: names, OCSP responses, ticket keys.
//!
//! Owns: reading them from bytes. May touch: nothing of ours, and no file. The config judges with
//! this what [`crate::tls`] then uses.

pub mod identity;
pub mod staple;
pub mod ticket_keys;
