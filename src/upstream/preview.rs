//! Which server a request would get, without one being taken.
//!
//! Owns: the same order as `Upstream::pick`: primaries, backups, and then an ejected server. May
//! touch: nothing outside this room. `sheave explain` asks; no turn is used up, and no slot taken.

use super::{
    Tried, Unavailable, Upstream,
    eligible::{self, Candidates},
    strategy::Foreseen,
};

/// Who would be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Indices among [`Upstream::members`]: more than one if chance decides.
    pub among: Vec<usize>,
    /// Why.
    pub why: String,
    /// Whether the server is ejected, and would be asked because there is no other.
    pub fail_open: bool,
}

/// A server's state for a request that has not chosen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It may get the request.
    Eligible,
    /// It is a backup, and a primary may get it.
    NotNeeded,
    /// It may not.
    Out,
}

impl Upstream {
    /// What [`Upstream::pick`] would do now for a request that has tried nobody.
    pub fn peek(&self, key: u64, now: u64) -> Result<Preview, Unavailable> {
        let tried = Tried::default();
        for group in [&self.primaries, &self.backups] {
            let candidates = Candidates::new(&self.members, group.indices(), &tried, now);
            if let Some(Foreseen { among, why }) = group.peek(&candidates, key) {
                let among = among.into_iter().map(|i| candidates.index(i)).collect();
                return Ok(Preview { among, why, fail_open: false });
            }
        }
        let none = Unavailable::of(&self.members, &tried, now);
        let open = self.fail_open && none.reason != eligible::FULL;
        match eligible::first_to_return(&self.members, &tried, now).filter(|_| open) {
            Some(index) => {
                let why = "no server is in, and its ejection ends first".into();
                Ok(Preview { among: vec![index], why, fail_open: true })
            }
            None => Err(none),
        }
    }

    /// What holds for each member, in their order.
    pub fn pending(&self, now: u64) -> Vec<Pending> {
        let tried = Tried::default();
        let mut pending = vec![Pending::Out; self.members.len()];
        let mut needed = true;
        for group in [&self.primaries, &self.backups] {
            let candidates = Candidates::new(&self.members, group.indices(), &tried, now);
            let eligible: Vec<_> =
                (0..candidates.len()).filter(|i| candidates.is_eligible(*i)).collect();
            for i in &eligible {
                let state = if needed { Pending::Eligible } else { Pending::NotNeeded };
                pending[candidates.index(*i)] = state;
            }
            needed &= eligible.is_empty();
        }
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        settings::ServerTerms,
        upstream::{Member, Server, StrategyKind},
    };
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = StrategyKind> {
        prop::sample::select(vec![
            StrategyKind::RoundRobin,
            StrategyKind::LeastConnections,
            StrategyKind::IpHash,
            StrategyKind::RandomTwo,
            StrategyKind::ConsistentHash,
        ])
    }

    proptest! {
        /// Whatever is looked at is what comes next, however often it is looked at.
        #[test]
        fn what_is_foreseen_is_picked(
            kind in kinds(),
            servers in prop::collection::vec((0_u32..4, any::<bool>(), any::<bool>(), 0_u32..3), 1..7),
            steps in prop::collection::vec((any::<u32>(), any::<bool>()), 1..40),
            fail_open: bool,
        ) {
            let members = servers.iter().enumerate().map(|(i, (weight, down, backup, max_conns))| {
                let terms = ServerTerms {
                    weight: *weight, down: *down, backup: *backup, max_conns: *max_conns,
                    ..ServerTerms::default()
                };
                Member { terms, ..Member::new(Server::new("app", &format!("10.0.0.{i}:1"))) }
            });
            let upstream = Upstream::new("app", kind, members.collect(), fail_open, None);
            let mut held = Vec::new();
            for (key, hold) in steps {
                let key = u64::from(key);
                let foreseen = upstream.peek(key, 0);
                prop_assert_eq!(&foreseen, &upstream.peek(key, 0));
                match (foreseen, upstream.pick(&Tried::default(), key, 0)) {
                    (Ok(preview), Ok(lease)) => {
                        prop_assert!(preview.among.contains(&lease.index()), "{preview:?} {lease:?}");
                        prop_assert!(kind == StrategyKind::RandomTwo || preview.among.len() == 1);
                        if hold {
                            held.push(lease);
                        }
                    }
                    (Err(none), Err(other)) => prop_assert_eq!(none, other),
                    (foreseen, picked) => prop_assert!(false, "{foreseen:?} {picked:?}"),
                }
            }
        }
    }
}
