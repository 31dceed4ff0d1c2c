//! What is known of a server's health.
//!
//! Owns: the states. [`passive`] learns from the traffic; active checks ask the server. Next:
//! `eligible` decides which servers may be used.

pub mod active;
pub mod passive;
mod tally;

/// What the active checks say of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ActiveHealth {
    /// There are no active checks, or none has ended yet: used.
    Unchecked,
    /// Added by a reload beside older servers and not yet passed: not used.
    Checking,
    /// Passed: used.
    Up,
    /// Failed: not used, not even when no other is left.
    Down,
}

impl ActiveHealth {
    /// Whether requests may go there.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Unchecked | Self::Up)
    }

    /// Back from `self as u8`.
    pub(super) fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Checking,
            2 => Self::Up,
            3 => Self::Down,
            _ => Self::Unchecked,
        }
    }
}
