//! A key always leads to the same server, by nginx's ketama ring. When a server leaves, only its
//! keys move.
//!
//! Owns: the ring. May touch: nothing outside this room. Falls back on `round_robin`.

use super::{Candidates, Foreseen, Share, Strategy, round_robin::RoundRobin};
use crc32fast::Hasher;

const POINTS_PER_WEIGHT: u64 = 160;
/// The ring's limit: 2 MiB, which is 1,600 servers of weight 1.
const MAX_POINTS: u64 = 1 << 18;
const STEPS: usize = 20;
/// Above every CRC: the key of an empty text. Such a request takes turns.
const NO_KEY: u64 = u64::MAX;

/// A text as a key.
pub fn key(text: &[u8]) -> u64 {
    if text.is_empty() { NO_KEY } else { u64::from(crc32fast::hash(text)) }
}

/// Finds a server by a key.
pub(super) struct ConsistentHash {
    /// In ascending order. They are not in one list with the servers, so that a search touches less
    /// memory.
    points: Box<[u32]>,
    /// The server of each point.
    servers: Box<[u32]>,
    turns: RoundRobin,
}

impl ConsistentHash {
    pub(super) fn new(shares: &[Share<'_>], turns: RoundRobin) -> Self {
        let shift = shift(shares);
        let mut ring: Vec<(u32, u32)> = (0_u32..)
            .zip(shares)
            .flat_map(|(i, share)| {
                let count = count(share.weight, shift) as usize;
                points(share.server.address()).take(count).map(move |point| (point, i))
            })
            .collect();
        ring.sort_unstable();
        ring.dedup_by_key(|(point, _)| *point);
        let (points, servers): (Vec<u32>, Vec<u32>) = ring.into_iter().unzip();
        Self { points: points.into(), servers: servers.into(), turns }
    }
}

impl Strategy for ConsistentHash {
    fn pick(&self, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        self.owners(key)
            .find(|i| candidates.is_eligible(*i))
            .or_else(|| self.turns.pick(candidates, key))
    }

    fn peek(&self, candidates: &Candidates<'_>, key: u64) -> Option<Foreseen> {
        match self.owners(key).enumerate().find(|(_, i)| candidates.is_eligible(*i)) {
            Some((0, i)) => Some(Foreseen::one(i, "the key's place on the ring is its own")),
            Some((steps, i)) => {
                let why = format!(
                    "the key's place on the ring is its own, after {steps} that cannot be used"
                );
                Some(Foreseen::one(i, why))
            }
            None if key == NO_KEY => {
                let foreseen = self.turns.peek(candidates, key)?;
                Some(Foreseen {
                    why: format!("the key is empty, and {}", foreseen.why),
                    ..foreseen
                })
            }
            None => self.turns.peek(candidates, key),
        }
    }
}

impl ConsistentHash {
    /// The servers whose points follow a key's place on the ring; none without a key.
    fn owners(&self, key: u64) -> impl Iterator<Item = usize> {
        let start = self.points.partition_point(|point| u64::from(*point) < key);
        let steps = if key == NO_KEY || self.points.is_empty() { 0 } else { STEPS + 1 };
        (start..start + steps).map(|at| self.servers[at % self.servers.len()] as usize)
    }
}

/// How many points a weight has.
fn count(weight: u32, shift: u32) -> u64 {
    if weight == 0 { 0 } else { ((u64::from(weight) * POINTS_PER_WEIGHT) >> shift).max(1) }
}

/// How often the number of points is halved to stay within the limit. If it were fitted exactly,
/// the whole ring would change whenever one server of many comes or goes.
fn shift(shares: &[Share<'_>]) -> u32 {
    let total = |shift| shares.iter().map(|share| count(share.weight, shift)).sum::<u64>();
    (0..40).find(|shift| total(*shift) <= MAX_POINTS).unwrap_or(40)
}

/// The points of an address: each is the checksum of `HOST \0 PORT` and the point before.
fn points(address: &str) -> impl Iterator<Item = u32> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let mut base = Hasher::new();
    base.update(host.as_bytes());
    base.update(b"\0");
    base.update(port.as_bytes());
    let next = move |previous: &u32| {
        let mut hasher = base.clone();
        hasher.update(&previous.to_le_bytes());
        Some(hasher.finalize())
    };
    std::iter::successors(Some(0), next).skip(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Server;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn ring(addresses: &[String], weight: u32) -> ConsistentHash {
        let servers: Vec<_> = addresses.iter().map(|it| Server::new("app", it)).collect();
        let shares: Vec<_> =
            servers.iter().map(|server| Share { server, weight, down: false }).collect();
        ConsistentHash::new(&shares, RoundRobin::new(&shares, Arc::default()))
    }

    fn addresses(count: usize) -> Vec<String> {
        (1..=count).map(|i| format!("10.0.{}.{}:8080", i / 256, i % 256)).collect()
    }

    fn owner(ring: &ConsistentHash, text: &str) -> usize {
        let start = ring.points.partition_point(|point| u64::from(*point) < key(text.as_bytes()));
        ring.servers[start % ring.servers.len()] as usize
    }

    #[test]
    fn vectors_of_nginx() {
        let ring = ring(&addresses(3), 1);
        assert_eq!(ring.points.len(), 480);
        assert_eq!((ring.points[0], ring.servers[0]), (17_423_363, 2));
        assert_eq!(key(b"/"), 2_043_925_204);
        for (text, server) in [("/", 2), ("/index.html", 0), ("user-42", 2), ("/img/logo.png", 2)] {
            assert_eq!(owner(&ring, text), server, "{text}");
        }
        let mut counts = [0_u32; 3];
        (0..20_000).for_each(|i| counts[owner(&ring, &format!("k{i}"))] += 1);
        assert_eq!(counts.map(|count| (count + 100) / 200), [31, 32, 37]);
    }

    #[test]
    fn the_ring_is_bounded() {
        assert!(ring(&addresses(300), 1_000).points.len() as u64 <= MAX_POINTS);
        assert!(ring(&addresses(2_000), 1).points.len() as u64 <= MAX_POINTS);
    }

    proptest! {
        #[test]
        fn only_the_keys_of_a_server_that_leaves_move(
            count in 2_usize..12, leaves in any::<prop::sample::Index>(), weight in 1_u32..4,
        ) {
            let before = addresses(count);
            let leaves = leaves.index(count);
            let mut after = before.clone();
            after.remove(leaves);
            let (old, new) = (ring(&before, weight), ring(&after, weight));
            for i in 0..500 {
                let text = format!("k{i}");
                let was = owner(&old, &text);
                if was != leaves {
                    prop_assert_eq!(&before[was], &after[owner(&new, &text)]);
                }
            }
        }
    }
}
