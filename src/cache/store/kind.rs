//! What the first byte under a mark is, so that a tag isn't a host.
//!
//! Owns: the bytes. May touch: nothing outside this room.

/// Of a URL.
pub(super) const URL: u8 = 1;
/// Of a host.
pub(super) const HOST: u8 = 2;
/// Of a tag.
pub(super) const TAG: u8 = 3;
