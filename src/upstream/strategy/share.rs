//! What a strategy is built from, and drawing a server in proportion to its weight.
//!
//! Owns: the cumulated weights. May touch: nothing outside this room.

use crate::upstream::Server;
use std::sync::Arc;

/// What a strategy knows of a server when it is built.
#[derive(Clone, Copy)]
pub struct Share<'a> {
    /// The server.
    pub server: &'a Arc<Server>,
    /// A server of weight 0 gets nothing.
    pub weight: u32,
    /// A server that is marked down takes no turns. It keeps its place in a hash, so that the
    /// clients of other servers stay where they are.
    pub down: bool,
}

impl Share<'_> {
    /// The weight for strategies that need not keep places: 0 if it is down.
    pub(super) fn turns(&self) -> u32 {
        if self.down { 0 } else { self.weight }
    }
}

/// The number line from 0 to the sum of all weights, cut into one stretch per server.
pub(super) struct NumberLine {
    /// Where the stretch of each server ends.
    ends: Box<[u64]>,
}

impl NumberLine {
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let ends = weights.scan(0, |end, weight| {
            *end += u64::from(weight);
            Some(*end)
        });
        Self { ends: ends.collect() }
    }

    /// The sum of all weights.
    pub(super) fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The server whose stretch has `position`, which must be below the total.
    pub(super) fn at(&self, position: u64) -> usize {
        self.ends.partition_point(|end| *end <= position)
    }

    /// The start and the end of the stretch of server `i`.
    pub(super) fn stretch(&self, i: usize) -> (u64, u64) {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        (start, self.ends[i])
    }
}
