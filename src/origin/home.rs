//! Where an answer's connection goes at the end, and who takes its body.
//!
//! Owns: what a body needs to know of its caller. May touch: [`crate::clock`], [`crate::http1`],
//! [`crate::message`], [`crate::upstream`]. Given to [`super::reply`] by its callers.

use super::{
    connect::Connection,
    pool::{self, Pool},
};
use crate::{
    clock::Clock, http1::buffers::SMALL, message::hop_by_hop::EditedNames, upstream::Lease,
};
use std::{sync::Arc, time::Duration};

/// Where a connection and a lease go at the end.
#[derive(Debug)]
pub struct Home {
    /// The worker's pool.
    pub pool: Arc<Pool>,
    /// What the pool keeps.
    pub limits: pool::PoolLimits,
    /// Held until the body has ended; a check has none.
    pub lease: Option<Lease>,
    /// Tells when the connection and the lease go back.
    pub clock: Clock,
}

/// What is known of the body's taker.
pub struct Taker {
    /// How much is read at a time.
    pub part: usize,
    /// Whether the kernel may move the bytes.
    pub may_move: bool,
    /// Trailers of these names don't pass.
    pub edited: EditedNames,
    /// Whether the connection must not be used for anybody else.
    pub personal: bool,
    /// How long the server may send nothing.
    pub read: Duration,
    /// How long nothing may pass a tunnel.
    pub tunnel: Duration,
    /// When the head came, on the process's clock.
    pub now: u64,
}

impl Taker {
    /// A taker that wants all of the body, within a time.
    pub fn whole(within: Duration) -> Self {
        Self {
            part: SMALL,
            may_move: false,
            edited: None,
            personal: true,
            read: within,
            tunnel: within,
            now: 0,
        }
    }
}

impl Home {
    /// Keeps a connection on which everything was read and sent, and gives the lease back.
    pub(super) fn keep(self, connection: Connection, now: u64) {
        self.pool.check_in(connection, &self.limits, now);
    }
}
