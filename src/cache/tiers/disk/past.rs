//! The purges of earlier processes, for what they left.
//!
//! Owns: the last purge of each name. May touch: nothing outside this room. It is exact, unlike the
//! marks of a store: those hit too much of what is older by many purges, as all is that is found.

use crate::cache::{
    store::{PurgeState, PurgeTarget},
    tiers::{purge::Purge, record::TierRecord},
    url::host_of,
};
use std::collections::{BTreeSet, HashMap};

/// When each name was last purged.
#[derive(Debug, Default)]
pub(super) struct PastPurges {
    urls: Names,
    hosts: Names,
    tags: Names,
    prefixes: Names,
    /// The lengths of the prefixes.
    lengths: BTreeSet<usize>,
    all: LastPurges,
}

type Names = HashMap<Box<[u8]>, LastPurges>;

/// The numbers of a name's last purges.
#[derive(Clone, Copy, Debug, Default)]
struct LastPurges {
    hard: u64,
    soft: u64,
}

impl LastPurges {
    fn state(self, begun: u64) -> PurgeState {
        if self.hard > begun {
            PurgeState::Dead
        } else if self.soft > begun {
            PurgeState::Stale
        } else {
            PurgeState::Alive
        }
    }
}

impl PastPurges {
    /// From purges in the order of their numbers.
    pub(super) fn new(purges: &[(u64, Purge)]) -> Self {
        let mut past = Self::default();
        for (number, purge) in purges {
            let last = match purge.target() {
                PurgeTarget::Url(url) => past.urls.entry(url.into()).or_default(),
                PurgeTarget::Host(host) => past.hosts.entry(host.into()).or_default(),
                PurgeTarget::Tag(tag) => past.tags.entry(tag.into()).or_default(),
                PurgeTarget::Prefix(prefix) => {
                    past.lengths.insert(prefix.len());
                    past.prefixes.entry(prefix.into()).or_default()
                }
                PurgeTarget::All => &mut past.all,
            };
            *(if purge.soft { &mut last.soft } else { &mut last.hard }) = *number;
        }
        past
    }

    /// What they mean for a response.
    pub(super) fn state(&self, record: &TierRecord) -> PurgeState {
        let url = record.url.as_bytes();
        let of = |names: &Names, name: &[u8]| names.get(name).copied();
        let beginnings = self.lengths.iter().map_while(|length| url.get(..*length));
        let last = [Some(self.all), of(&self.urls, url)]
            .into_iter()
            .chain([of(&self.hosts, host_of(&record.url).as_bytes())])
            .chain(record.tags.iter().map(|tag| of(&self.tags, tag)))
            .chain(beginnings.map(|beginning| of(&self.prefixes, beginning)));
        let states = last.flatten().map(|last| last.state(record.begun));
        states.max().unwrap_or(PurgeState::Alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tiers::record::KeptRecord;
    use PurgeState::{Alive, Dead, Stale};

    #[test]
    fn each_kind_hits_what_is_older() {
        let record = |begun| TierRecord {
            key: Vec::new(),
            url: "http://a/b/c".into(),
            tags: vec![b"t".to_vec(), b"u".to_vec()],
            begun,
            shared: 0,
            kept: KeptRecord::Variants(Vec::new()),
        };
        let hits = [
            PurgeTarget::All,
            PurgeTarget::Url(b"http://a/b/c"),
            PurgeTarget::Host(b"a"),
            PurgeTarget::Tag(b"u"),
            PurgeTarget::Prefix(b"http://a/b/c"),
            PurgeTarget::Prefix(b"http://a/"),
            PurgeTarget::Prefix(b""),
        ];
        for target in hits {
            let purges = [(5, Purge::new(&target, false)), (8, Purge::new(&target, true))];
            let states = [4, 5, 7, 8].map(|begun| PastPurges::new(&purges).state(&record(begun)));
            assert_eq!(states, [Dead, Stale, Stale, Alive], "{target:?}");
        }
        let others = [
            PurgeTarget::Url(b"http://a/b"),
            PurgeTarget::Host(b"http://a"),
            PurgeTarget::Tag(b"a"),
            PurgeTarget::Prefix(b"http://a/b/c/"),
        ];
        let others = others.map(|target| (5, Purge::new(&target, false)));
        assert_eq!(PastPurges::new(&others).state(&record(0)), PurgeState::Alive);
    }
}
