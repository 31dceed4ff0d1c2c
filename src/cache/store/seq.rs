//! The numbers of purges, and what they mean for a response.
//!
//! Owns: the types. May touch: nothing outside this room.

/// The number of a purge: a time, as far as purges are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seq(pub(super) u64);

impl Seq {
    /// As it is written down.
    pub fn number(self) -> u64 {
        self.0
    }

    /// From what was written down.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What the purges since its fetch mean for a response. Ordered: the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurgeState {
    /// Nothing.
    Alive,
    /// It was purged softly: to be served only as what is stale may be.
    Stale,
    /// It was purged.
    Dead,
}

impl PurgeState {
    pub(super) fn purged(soft: bool) -> Self {
        if soft { Self::Stale } else { Self::Dead }
    }
}
