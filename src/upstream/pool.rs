//! Idle connections to servers, one pool per worker.
//!
//! Owns: which connection is used again, and for how long one is kept. May touch:
//! [`super::connect`]. The lock is for the type's sake: a pool is used by its worker's thread only.

use super::connect::{Connection, Gear, Link};
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
    /// The last used last.
    #[expect(clippy::vec_box, reason = "a connection's gear is boxed: it changes hands often")]
    gears: Vec<Box<Gear>>,
}

/// Gears kept: what a busy worker has under way at a time.
const GEARS: usize = 64;

#[derive(Debug)]
struct Idle {
    link: Link,
    expires: u64,
}

impl Pool {
    /// The connection to `server` that was used last and is alive, if any.
    pub fn check_out(&self, server: u64, now: u64, thorough: bool) -> Option<Connection> {
        let mut kept = self.lock();
        let idle = kept.by_server.get_mut(&server)?;
        loop {
            let Idle { link, expires } = idle.pop()?;
            if now < expires && !link.is_dead(thorough) {
                return Some(Connection { link, gear: gear(&mut kept) });
            }
        }
    }

    /// What a new connection is used with.
    pub fn gear(&self) -> Box<Gear> {
        gear(&mut self.lock())
    }

    /// Keeps `connection` for another request, within `limits`, unless something is left on it that
    /// was not read or not sent.
    pub fn check_in(&self, server: u64, connection: Connection, limits: &Limits, now: u64) {
        let Connection { link, gear } = connection;
        if !gear.is_clean() {
            return;
        }
        let worn = limits.requests != 0 && link.requests >= limits.requests
            || limits.age != 0 && now.saturating_sub(link.opened) >= limits.age;
        let mut kept = self.lock();
        if kept.gears.len() < GEARS {
            kept.gears.push(gear);
        }
        if worn || limits.idle == 0 {
            return;
        }
        let expires = now + limits.idle_timeout - jitter(limits.idle_timeout, &link);
        let idle = kept.by_server.entry(server).or_default();
        if idle.len() >= limits.idle {
            // The one used longest ago is the likeliest to be closed soon.
            idle.remove(0);
        }
        idle.push(Idle { link, expires });
    }

    /// Drops what has expired or died, and all that leads to servers other than `current`; called
    /// once a second.
    pub fn sweep(&self, now: u64, current: &HashSet<u64>) {
        self.lock().by_server.retain(|server, idle| {
            idle.retain(|it| now < it.expires && !it.link.is_dead(false));
            !idle.is_empty() && current.contains(server)
        });
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gear(kept: &mut Kept) -> Box<Gear> {
    kept.gears.pop().unwrap_or_else(Gear::new)
}

/// Up to a tenth of `timeout`, so that connections opened together do not end together.
fn jitter(timeout: u64, link: &Link) -> u64 {
    let seed = link.requests.wrapping_mul(31).wrapping_add(link.opened);
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (timeout / 10 + 1)
}
