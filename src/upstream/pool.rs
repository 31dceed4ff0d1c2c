//! Idle connections to servers, one pool per worker.
//!
//! Owns: which connection is used again, and for how long one is kept. May touch:
//! [`super::connect`]. The lock is for the type's sake: a pool is used by its worker's thread only.

use super::connect::Connection;
use foldhash::fast::FixedState;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How long and how many; an upstream's `keepalive*` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Idle connections per server.
    pub idle: usize,
    /// Milliseconds that an idle connection is kept, less up to a tenth.
    pub idle_timeout: u64,
    /// Requests on one connection, 0 = unlimited.
    pub requests: u64,
    /// Milliseconds of a connection's life, 0 = unlimited.
    pub age: u64,
}

/// Idle connections by server.
#[derive(Debug, Default)]
pub struct Pool {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_server: HashMap<u64, Vec<Idle>, FixedState>,
    /// Memory for heads, the last used last: it is in the processor's cache, and that of a connection
    /// to one of many servers is not.
    rooms: Vec<Vec<u8>>,
}

/// Rooms kept: what a busy worker has under way at a time.
const ROOMS: usize = 64;

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    expires: u64,
}

impl Pool {
    /// The connection to `server` that was used last and is alive, if any.
    pub fn check_out(&self, server: u64, now: u64, thorough: bool) -> Option<Box<Connection>> {
        loop {
            let mut kept = self.lock();
            let Idle { mut connection, expires } = kept.by_server.get_mut(&server)?.pop()?;
            let room = kept.rooms.pop();
            drop(kept);
            connection.outgoing.give_room(room.unwrap_or_default());
            if now < expires && !connection.is_dead(thorough) {
                return Some(connection);
            }
        }
    }

    /// Keeps `connection` for another request, within `limits`, unless something is left on it that
    /// was not read or not sent.
    pub fn check_in(
        &self,
        server: u64,
        mut connection: Box<Connection>,
        limits: &Limits,
        now: u64,
    ) {
        let worn = limits.requests != 0 && connection.requests >= limits.requests
            || limits.age != 0 && now.saturating_sub(connection.opened) >= limits.age;
        let clean = connection.unread.is_empty() && connection.outgoing.is_done();
        if worn || !clean || limits.idle == 0 {
            return;
        }
        let expires = now + limits.idle_timeout - jitter(limits.idle_timeout, &connection);
        let room = connection.outgoing.take_room();
        let mut kept = self.lock();
        if kept.rooms.len() < ROOMS {
            kept.rooms.push(room);
        }
        let idle = kept.by_server.entry(server).or_default();
        if idle.len() >= limits.idle {
            // The one used longest ago is the likeliest to be closed soon.
            idle.remove(0);
        }
        idle.push(Idle { connection, expires });
    }

    /// Drops what has expired or died, and all that leads to servers other than `current`; called
    /// once a second.
    pub fn sweep(&self, now: u64, current: &HashSet<u64>) {
        self.lock().by_server.retain(|server, idle| {
            idle.retain(|it| now < it.expires && !it.connection.is_dead(false));
            !idle.is_empty() && current.contains(server)
        });
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to a tenth of `timeout`, so that connections opened together do not end together.
fn jitter(timeout: u64, connection: &Connection) -> u64 {
    let seed = connection.requests.wrapping_mul(31).wrapping_add(connection.opened);
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (timeout / 10 + 1)
}
