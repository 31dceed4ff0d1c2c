//! Idle connections to servers, one pool per worker.
//!
//! Owns: which connection is used again, and for how long one is kept. May touch:
//! [`crate::upstream`]. A pool is used by its worker's thread only; the lock is there because the
//! type must be `Sync`.

use super::{
    connect::{Connection, Gear, Link},
    dial::Destination,
    sessions::Sessions,
};
use crate::upstream::Server;
use foldhash::fast::FixedState;
use std::{
    collections::HashMap,
    mem::replace,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// How long connections are kept and how many; an upstream's `keepalive*` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Idle connections per server.
    pub idle: usize,
    /// Milliseconds that an idle connection is kept. Up to a tenth is taken off, and it is always
    /// less than the time that the server says.
    pub idle_timeout: u64,
    /// Requests on one connection, 0 = unlimited.
    pub requests: u64,
    /// Milliseconds of a connection's life, 0 = unlimited.
    pub age: u64,
}

/// How often a worker has wanted a descriptor and had none to give back. Descriptors are the
/// process's, so all its pools share this, and those that keep connections give some back.
#[derive(Clone, Debug, Default)]
pub struct Shortages(Arc<AtomicU64>);

/// Idle connections by server.
#[derive(Debug, Default)]
pub struct Pool {
    kept: Mutex<Kept>,
    shortages: Shortages,
    /// Connections that carry many requests at once.
    pub sessions: Sessions,
}

#[derive(Debug, Default)]
struct Kept {
    /// Connections by [`Reach::key`](crate::upstream::Reach::key).
    by_reach: HashMap<u64, Vec<Idle>, FixedState>,
    /// The most recently used one is last.
    #[expect(clippy::vec_box, reason = "a connection's gear is boxed: it changes hands often")]
    gears: Vec<Box<Gear>>,
    /// The last of the [`Shortages`] that this pool has heeded.
    heeded: u64,
}

/// How many gears are kept: about as many as a busy worker has requests under way.
const GEARS: usize = 64;

/// If the server says how long it keeps a connection, we close it so many milliseconds earlier.
const MARGIN: u64 = 1000;

#[derive(Debug)]
struct Idle {
    link: Link,
    expires: u64,
}

impl Pool {
    /// An empty one that heeds these.
    pub fn heeding(shortages: Shortages) -> Self {
        Self { shortages, ..Self::default() }
    }

    /// The most recently used connection that leads there and is alive, if any.
    pub fn check_out(&self, to: &Destination<'_>, now: u64, thorough: bool) -> Option<Connection> {
        let mut kept = self.lock();
        let idle = kept.by_reach.get_mut(&to.reach.key())?;
        loop {
            // Mostly the last one.
            let at = idle.iter().rposition(|it| it.link.client == to.client)?;
            let Idle { mut link, expires } = idle.remove(at);
            if now < expires && !link.is_dead(thorough) {
                return Some(Connection { link, gear: gear(&mut kept) });
            }
        }
    }

    /// Whether a connection that leads there is kept.
    pub fn has_idle(&self, to: &Destination<'_>) -> bool {
        self.lock().by_reach.get(&to.reach.key()).is_some_and(|idle| !idle.is_empty())
    }

    /// Takes back a gear whose connection goes on without it, or has ended.
    pub fn give(&self, gear: Box<Gear>) {
        let mut kept = self.lock();
        if gear.is_unused() && kept.gears.len() < GEARS {
            kept.gears.push(gear);
        }
    }

    /// The gear for a new connection.
    pub fn gear(&self) -> Box<Gear> {
        gear(&mut self.lock())
    }

    /// Keeps `connection` for another request, within `limits`, if everything on it was read and
    /// sent.
    pub fn check_in(&self, connection: Connection, limits: &PoolLimits, now: u64) {
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
        let kept = &mut *kept;
        let idle = kept.by_reach.entry(link.key).or_default();
        // The last one is kept, as in `make_room`.
        if !idle.is_empty() && self.is_short(&mut kept.heeded) {
            return;
        }
        let timeout = link.kept_for.map_or(limits.idle_timeout, |seconds| {
            let most = u64::from(seconds.get()) * 1000;
            limits.idle_timeout.min(most - MARGIN.min(most / 2))
        });
        let old = if limits.age == 0 { u64::MAX } else { link.opened + limits.age };
        let expires = (now + timeout - jitter(timeout, &link)).min(old);
        if idle.len() >= limits.idle {
            // The one that was used longest ago would be closed soonest.
            idle.remove(0);
        }
        idle.push(Idle { link, expires });
    }

    /// Drops connections that have expired or ended, those whose server is not `current` or is now
    /// reached in another way, and those to addresses that a server no longer has. Called once a
    /// second. Returns how many wait for a request.
    pub fn sweep(&self, now: u64, current: &HashMap<u64, &Server>) -> usize {
        self.sessions.sweep(now, |key| current.contains_key(&key));
        let mut kept = self.lock();
        if self.is_short(&mut kept.heeded) {
            make_room(&mut kept);
        }
        kept.by_reach.retain(|key, idle| {
            let Some(server) = current.get(key) else { return false };
            idle.retain_mut(|it| {
                now < it.expires && !it.link.is_dead(false) && !it.link.is_astray(server)
            });
            !idle.is_empty()
        });
        kept.by_reach.values().map(Vec::len).sum()
    }

    /// Called when descriptors run out. Closes each server's idle connections except the one that
    /// was used last, so that the server can still be asked. False if there were no others: then
    /// other workers do the same within a second.
    pub fn make_room(&self) -> bool {
        let mut kept = self.lock();
        let room = make_room(&mut kept);
        if !room {
            self.shortages.0.fetch_add(1, Relaxed);
        }
        room
    }

    /// Whether a worker has wanted a descriptor since this was asked last.
    fn is_short(&self, heeded: &mut u64) -> bool {
        let before = replace(heeded, self.shortages.0.load(Relaxed));
        before != *heeded
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(kept: &mut Kept) -> bool {
    let mut room = false;
    for idle in kept.by_reach.values_mut() {
        room |= idle.len() > 1;
        idle.drain(..idle.len().saturating_sub(1));
    }
    room
}

fn gear(kept: &mut Kept) -> Box<Gear> {
    kept.gears.pop().unwrap_or_else(Gear::new)
}

/// A part of `timeout`, at most a tenth, which differs by connection: so connections that were
/// opened together do not end together.
fn jitter(timeout: u64, link: &Link) -> u64 {
    let seed = link.requests.wrapping_mul(31).wrapping_add(link.opened);
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (timeout / 10 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Reach;
    use std::{net::TcpListener, time::Duration};

    #[tokio::test]
    async fn connections_to_addresses_that_a_name_has_no_more_are_dropped() {
        let listeners = ["127.0.0.1:0", "127.0.0.2:0"].map(|it| TcpListener::bind(it).unwrap());
        let addresses = listeners.each_ref().map(|it| it.local_addr().unwrap());
        let server = Server::new("app", "name:80");
        let limits = PoolLimits { idle: 9, idle_timeout: 1000, requests: 0, age: 0 };
        let reach = Reach::default();
        let to = Destination::new(&server, &reach);
        let (pool, current) = (Pool::default(), HashMap::from([(reach.key(), &*server)]));
        for address in addresses {
            server.set_addresses(vec![address]);
            let opened = Connection::open(&to, Duration::from_secs(9), 0, Gear::new()).await;
            let mut connection = opened.unwrap();
            connection.gear.outgoing.begin();
            connection.gear.outgoing.end(None);
            pool.check_in(connection, &limits, 0);
        }
        let kept = || pool.lock().by_reach.get(&reach.key()).map_or(0, Vec::len);
        server.set_addresses(addresses.to_vec());
        pool.sweep(1, &current);
        assert_eq!(kept(), 2);
        server.set_addresses(vec![addresses[1]]);
        pool.sweep(1, &current);
        assert_eq!(kept(), 1);
        assert!(pool.check_out(&to, 1, true).is_some());
        pool.sweep(1, &HashMap::new());
        assert_eq!(kept(), 0);
    }
}
