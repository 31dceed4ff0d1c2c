//! The cache of responses (RFC 9111).
//!
//! Owns: what is stored, by which rules, and who fetches it. May touch: nothing outside this room.
//! It does not know routes nor requests under way: [`crate::proxy`] asks it before it asks a
//! server.

pub mod store;
