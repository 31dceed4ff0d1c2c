//! A client's address always leads to the same server, with nginx's mapping.
//!
//! Owns: the mapping. May touch: [`crate::cidr`]. Falls back on `round_robin`.
//!
//! nginx hashes the address byte by byte, `h = (h · 113 + byte) mod 6271`. If the server can't be
//! used, it hashes the address again, starting from that `h`. For a whole address this is one step,
//! `h = (h · 113^n + c) mod 6271`, so a key needs only these two numbers.

use super::{Candidates, Foreseen, Share, Strategy, round_robin::RoundRobin, share::NumberLine};
use crate::cidr::PeerAddress;
use std::net::IpAddr;

const START: u64 = 89;
const MODULUS: u64 = 6271;
const REHASHES: usize = 20;

/// An address as a key: three bytes of IPv4 count, and all of IPv6. All clients of Unix sockets
/// count as one client, as with nginx.
pub fn key(address: PeerAddress) -> u64 {
    fn affine(bytes: &[u8]) -> u64 {
        let (factor, offset) = bytes.iter().fold((1, 0), |(factor, offset), byte| {
            (factor * 113 % MODULUS, (offset * 113 + u64::from(*byte)) % MODULUS)
        });
        factor << 32 | offset
    }
    match address {
        PeerAddress::Ip(IpAddr::V4(address)) => affine(&address.octets()[..3]),
        PeerAddress::Ip(IpAddr::V6(address)) => affine(&address.octets()),
        PeerAddress::Unix => affine(&[0; 3]),
    }
}

/// The positions of an address on the number line of the weights: first choice, second and so on.
fn positions(key: u64) -> impl Iterator<Item = u64> {
    // A key that was not made by `key` must not overflow.
    let (factor, offset) = ((key >> 32) % MODULUS, (key & u64::from(u32::MAX)) % MODULUS);
    let step = move |hash: &u64| Some((hash * factor + offset) % MODULUS);
    std::iter::successors(Some(START), step).skip(1)
}

/// Finds a server by the client's address.
pub(super) struct IpHash {
    line: NumberLine,
    turns: RoundRobin,
}

impl IpHash {
    pub(super) fn new(shares: &[Share<'_>], turns: RoundRobin) -> Self {
        Self { line: NumberLine::new(shares.iter().map(|share| share.weight)), turns }
    }
}

impl Strategy for IpHash {
    fn pick(&self, candidates: &Candidates<'_>, key: u64) -> Option<usize> {
        self.places(key)
            .find(|i| candidates.is_eligible(*i))
            .or_else(|| self.turns.pick(candidates, key))
    }

    fn peek(&self, candidates: &Candidates<'_>, key: u64) -> Option<Foreseen> {
        match self.places(key).enumerate().find(|(_, i)| candidates.is_eligible(*i)) {
            Some((0, i)) => Some(Foreseen::one(i, "the client's address leads to it")),
            Some((times, i)) => {
                let why = format!(
                    "the client's address leads to it, after {times} places that cannot be used"
                );
                Some(Foreseen::one(i, why))
            }
            None => self.turns.peek(candidates, key),
        }
    }
}

impl IpHash {
    /// The servers that an address leads to, one after the other.
    fn places(&self, key: u64) -> impl Iterator<Item = usize> {
        let total = self.line.total();
        let places = if total == 0 { 0 } else { 1 + REHASHES };
        positions(key).take(places).map(move |hash| self.line.at(hash % total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(address: &str) -> (u64, [usize; 3]) {
        let key = key(address.parse().expect("address"));
        let line = NumberLine::new([1, 1, 1].into_iter());
        let mut positions = positions(key);
        let mut next = || positions.next().expect("endless");
        let first = next();
        (first, [line.at(first % 3), line.at(next() % 3), line.at(next() % 3)])
    }

    #[test]
    fn vectors_of_nginx() {
        assert_eq!(vector("192.168.1.10"), (154, [1, 2, 2]));
        assert_eq!(vector("192.168.1.200"), (154, [1, 2, 2]));
        assert_eq!(vector("::ffff:192.168.1.10"), (154, [1, 2, 2]));
        assert_eq!(vector("10.0.0.1"), (2565, [0, 1, 0]));
        assert_eq!(vector("203.0.113.7"), (2592, [0, 2, 2]));
        assert_eq!(vector("2001:db8::1"), (2600, [2, 2, 2]));
        assert_eq!(vector("::1"), (5945, [2, 0, 2]));
    }

    #[test]
    fn any_key_is_safe() {
        assert!(positions(u64::MAX).take(30).all(|hash| hash < MODULUS));
    }
}
