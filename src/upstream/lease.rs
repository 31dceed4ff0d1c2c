//! An attempt's hold on a server's in-flight slot.
//!
//! Owns: one slot, and a probe until it has a verdict. May touch: nothing outside this room. Next:
//! `Upstream::report` gives the verdict. Dropping the lease gives back everything that it still
//! holds.

use super::{health::passive::Claim, server::Server};
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// One attempt at one server.
///
/// While it lives it counts in [`Server::in_flight`], so keep it until the body has ended.
pub struct Lease {
    server: Arc<Server>,
    index: u32,
    backup: bool,
    probe: bool,
    fail_open: bool,
    /// The probe, as long as it has no verdict. Until it has one, or its time is over, no other
    /// request probes.
    claim: Option<Claim>,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lease").field(&self.server.address()).finish()
    }
}

/// Why the server could be taken.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    /// The server was in.
    Ordinary,
    /// The ejection was over. This attempt is its one probe.
    Probe(Claim),
    /// The server is out, but there was no other.
    FailOpen,
}

impl Lease {
    /// Holds a slot and, for [`Entry::Probe`], a claimed probe; both were taken by the caller.
    pub(super) fn new(server: Arc<Server>, index: usize, entry: Entry, backup: bool) -> Self {
        let claim = match entry {
            Entry::Probe(claim) => Some(claim),
            Entry::Ordinary | Entry::FailOpen => None,
        };
        let fail_open = matches!(entry, Entry::FailOpen);
        Self { server, index: index as u32, backup, probe: claim.is_some(), fail_open, claim }
    }

    /// The server that is tried.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its index among [`super::Upstream::members`], for [`super::Tried::insert`].
    pub fn index(&self) -> usize {
        self.index as usize
    }

    /// Whether the server is a backup.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// Whether this is the one request that decides if an ejected server comes back.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// Whether the server is ejected and was taken because there was no other.
    pub fn is_fail_open(&self) -> bool {
        self.fail_open
    }

    /// Counts a tunnel as long as the returned value lives.
    pub fn open_tunnel(&self) -> OpenTunnel {
        OpenTunnel::new(Arc::clone(&self.server))
    }

    /// Takes the probe whose verdict is due.
    pub(super) fn settle(&mut self) -> Option<Claim> {
        self.claim.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(claim) = self.claim {
            self.server.passive().give_back(claim);
        }
        self.server.release();
    }
}

/// A tunnel through a server, which counts in [`Server::tunnels`].
pub struct OpenTunnel(Arc<Server>);

impl OpenTunnel {
    fn new(server: Arc<Server>) -> Self {
        server.tunnels.fetch_add(1, Relaxed);
        Self(server)
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Relaxed);
    }
}
