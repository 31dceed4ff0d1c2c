//! A purge as tiers note it and tell each other of it.
//!
//! Owns: its form. May touch: nothing outside this room.

use crate::cache::store::PurgeTarget;
use serde::{Deserialize, Serialize};

/// What is purged. The order of the kinds is part of what is written down: a new one goes to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    kind: PurgedKind,
    name: Box<[u8]>,
    /// Marked stale only.
    pub soft: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PurgedKind {
    Url,
    Host,
    Tag,
    Prefix,
    All,
}

impl Purge {
    /// Of this.
    pub fn new(target: &PurgeTarget<'_>, soft: bool) -> Self {
        let (kind, name) = match *target {
            PurgeTarget::Url(url) => (PurgedKind::Url, url),
            PurgeTarget::Host(host) => (PurgedKind::Host, host),
            PurgeTarget::Tag(tag) => (PurgedKind::Tag, tag),
            PurgeTarget::Prefix(prefix) => (PurgedKind::Prefix, prefix),
            PurgeTarget::All => (PurgedKind::All, &[][..]),
        };
        Self { kind, name: name.into(), soft }
    }

    /// What it was made of.
    pub fn target(&self) -> PurgeTarget<'_> {
        match self.kind {
            PurgedKind::Url => PurgeTarget::Url(&self.name),
            PurgedKind::Host => PurgeTarget::Host(&self.name),
            PurgedKind::Tag => PurgeTarget::Tag(&self.name),
            PurgedKind::Prefix => PurgeTarget::Prefix(&self.name),
            PurgedKind::All => PurgeTarget::All,
        }
    }
}
