//! An attempt's hold on a server's in-flight slot.
//!
//! Owns: one slot, and a probe until it has a verdict. May touch: its server.
//! Next: `Upstream::report` gives the verdict; dropping gives back whatever is still held.

use super::server::Server;
use std::sync::Arc;

/// One attempt at one server.
///
/// While it lives it counts in [`Server::in_flight`], so it is to be kept until the body has ended.
pub struct Lease {
    server: Arc<Server>,
    index: usize,
    entry: Entry,
    backup: bool,
    /// The probe waits for its verdict: the next request may not probe until then.
    owes_verdict: bool,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lease").field(&self.server.address()).finish()
    }
}

/// By which door the attempt came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// The server was in.
    Ordinary,
    /// The ejection was over and this is its one probe.
    Probe,
    /// The server is out, but there was no other.
    FailOpen,
}

impl Lease {
    /// Holds a slot and, for [`Entry::Probe`], a claimed probe; both were taken by the caller.
    pub(super) fn new(server: Arc<Server>, index: usize, entry: Entry, backup: bool) -> Self {
        Self { server, index, entry, backup, owes_verdict: entry == Entry::Probe }
    }

    /// The server that is tried.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its index among [`super::Upstream::members`], for [`super::Tried::insert`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether the server is a backup.
    pub fn is_backup(&self) -> bool {
        self.backup
    }

    /// Whether this is the one request that decides if an ejected server comes back.
    pub fn is_probe(&self) -> bool {
        self.entry == Entry::Probe
    }

    /// Whether the server is ejected and was taken because there was no other.
    pub fn is_fail_open(&self) -> bool {
        self.entry == Entry::FailOpen
    }

    /// Whether the verdict on a probe is due; asking settles it.
    pub(super) fn settle(&mut self) -> bool {
        std::mem::take(&mut self.owes_verdict)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.owes_verdict {
            self.server.passive().give_back();
        }
        self.server.release();
    }
}
