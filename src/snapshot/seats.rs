//! How many client connections the process may have.
//!
//! Owns: their number, on all listeners together. May touch: nothing outside this room. Without a
//! limit, clients could take every descriptor, and none would be left for servers or for a reload's
//! files. So clients get at most half of the descriptors. `client::accept` asks before it accepts.

use rustix::process::{Resource, getrlimit};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// What the process always has open: logs, signals, the admin address, watched files; and enough
/// for a reload and some admin connections.
const OWN: usize = 32;
/// What a worker has open, and what it has for each listener.
const PER_WORKER: usize = 4;
const PER_LISTENER: usize = 2;

/// Milliseconds between two warnings.
const WARN_EVERY: u64 = 60_000;

/// Places for client connections.
pub struct Seats {
    most: usize,
    taken: AtomicUsize,
    freed: Notify,
    /// When it was last logged that all places are taken; 0 means never.
    told: AtomicU64,
}

/// A place that is taken.
pub struct Seat(Arc<Seats>);

impl Seats {
    /// As many places as the limit of open files has room for.
    pub fn by_limit(workers: usize, listeners: usize) -> Arc<Self> {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |it| usize::try_from(it).unwrap_or(usize::MAX));
        Self::new(most(limit, workers, listeners))
    }

    fn new(most: usize) -> Arc<Self> {
        let (taken, told) = (AtomicUsize::new(0), AtomicU64::new(0));
        Arc::new(Self { most, taken, freed: Notify::new(), told })
    }

    /// How many places there are.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Takes a place, even if none is left: a connection that has been accepted is kept.
    pub fn take(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Relaxed);
        Seat(Arc::clone(self))
    }

    /// Whether all places are taken, at `now` on the process's clock. If so, a warning is logged
    /// now and then.
    pub fn are_taken(&self, now: u64) -> bool {
        if self.taken.load(Relaxed) < self.most {
            return false;
        }
        let told = self.told.load(Relaxed);
        let due = told == 0 || now >= told + WARN_EVERY;
        if due && self.told.compare_exchange(told, now.max(1), Relaxed, Relaxed).is_ok() {
            tracing::warn!(
                connections = self.most,
                "as many clients as the limit of open files allows; others wait. A higher \
                 `ulimit -n` (`LimitNOFILE=` of systemd) takes more"
            );
        }
        true
    }

    /// Waits until a place is free, but not for long.
    pub async fn freed(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.freed.notified()).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Nobody waits if other places were free.
        if self.0.taken.fetch_sub(1, Relaxed) >= self.0.most {
            self.0.freed.notify_one();
        }
    }
}

/// Half of the descriptors that are not reserved, and at least one.
fn most(limit: usize, workers: usize, listeners: usize) -> usize {
    let spoken_for = OWN + workers * (PER_WORKER + PER_LISTENER * listeners);
    (limit.saturating_sub(spoken_for) / 2).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_for_clients() {
        assert_eq!(most(64, 2, 1), 10);
        assert_eq!(most(1024, 2, 2), 488);
        assert_eq!(most(1 << 20, 64, 2), 524_016);
        assert_eq!(most(16, 64, 2), 1);
    }

    #[test]
    fn a_seat_is_free_again_once_its_connection_ends() {
        let seats = Seats::new(1);
        assert!(!seats.are_taken(1));
        let seat = seats.take();
        assert!(seats.are_taken(1));
        drop(seat);
        assert!(!seats.are_taken(1));
    }
}
