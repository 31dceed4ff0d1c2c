//! `X-Request-Id`: made here, or passed on when a client's is sane.

use crate::http1::request::RequestFields;
use http::HeaderName;
use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// The header's name.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones from clients are replaced, so that logs stay bounded.
const LONGEST: usize = 128;

/// The digits of a trace's id.
pub type TraceId = [u8; 32];
/// The digits of a span's id.
pub type SpanId = [u8; 16];

/// A request's id.
#[derive(Clone, Debug)]
pub enum RequestId {
    /// 32 hexadecimal digits.
    Made([u8; 32]),
    /// The client's.
    Passed(Box<str>),
}

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Made(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Self::Passed(id) => id,
        }
    }

    /// The id as it is sent.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Made(digits) => digits,
            Self::Passed(value) => value.as_bytes(),
        }
    }
}

/// Makes ids that do not repeat, and that cannot be guessed from other ids. Each worker has one
/// maker.
///
/// Each half is a keyed hash of a counter: SipHash-1-3 with a random key that never leaves the
/// process. The standard library uses the same hash against clients that choose a map's keys. A
/// simple mixing function would make different ids, too, but it can be computed backwards: two ids
/// would reveal all others, and how many requests there were between them.
#[derive(Debug)]
pub struct RequestIds {
    high: RandomState,
    low: RandomState,
    span: RandomState,
    next: AtomicU64,
}

impl RequestIds {
    /// A new sequence with random keys.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let next = RandomState::new().hash_one(std::process::id());
        Self {
            high: RandomState::new(),
            low: RandomState::new(),
            span: RandomState::new(),
            next: AtomicU64::new(next),
        }
    }

    /// The client's id if it is short and printable, otherwise a new one.
    pub fn take(&self, fields: &RequestFields, there_is_one: bool) -> RequestId {
        let told = there_is_one.then(|| fields.get(&X_REQUEST_ID).and_then(sane)).flatten();
        told.map_or_else(|| self.make(), |id| RequestId::Passed(id.into()))
    }

    fn make(&self) -> RequestId {
        RequestId::Made(self.trace())
    }

    /// The digits of a new trace's id.
    #[inline]
    pub fn trace(&self) -> TraceId {
        let count = self.count();
        let mut digits = [0; 32];
        write_hex(self.high.hash_one(count), &mut digits[..16]);
        write_hex(self.low.hash_one(count), &mut digits[16..]);
        digits
    }

    /// The digits of a new span's id.
    pub fn span(&self) -> SpanId {
        let mut digits = [0; 16];
        // An id must not be zero (W3C Trace Context §3.2.2.4).
        write_hex(self.span.hash_one(self.count()).max(1), &mut digits);
        digits
    }

    /// Only its worker's thread makes ids, so there is no need for a locked addition.
    fn count(&self) -> u64 {
        let count = self.next.load(Ordering::Relaxed);
        self.next.store(count.wrapping_add(1), Ordering::Relaxed);
        count
    }
}

fn sane(value: &[u8]) -> Option<&str> {
    let is_sane =
        !value.is_empty() && value.len() <= LONGEST && value.iter().all(u8::is_ascii_graphic);
    is_sane.then(|| std::str::from_utf8(value).ok()).flatten()
}

/// Eight digits at a time: each nibble in a byte of its own, and then all made digits at once.
fn write_hex(x: u64, out: &mut [u8]) {
    for (half, out) in [x >> 32, x & 0xffff_ffff].into_iter().zip(out.chunks_mut(8)) {
        let mut x = (half | half << 16) & 0x0000_ffff_0000_ffff;
        x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
        x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        // 1 in the bytes of the digits a to f, whose characters lie 39 past those of 0 to 9.
        let letters = ((x + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
        out.copy_from_slice(&(x + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn made_ids_differ_and_are_hexadecimal() {
        let ids = RequestIds::new();
        let made: std::collections::HashSet<_> =
            (0..1000).map(|_| ids.make().as_str().to_owned()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    /// The standard library hashes with keys of zero; its hasher is SipHash-1-3.
    #[test]
    fn two_ids_do_not_give_away_a_third() {
        let unmix = |mut x: u64| {
            x = (x ^ (x >> 31) ^ (x >> 62)).wrapping_mul(0x3196_42b2_d24d_8ec3);
            x = (x ^ (x >> 27) ^ (x >> 54)).wrapping_mul(0x96de_1b17_3f11_9089);
            x ^ (x >> 30) ^ (x >> 60)
        };
        let ids = RequestIds::new();
        let halves = || {
            let id = ids.make();
            let half = |at: std::ops::Range<usize>| u64::from_str_radix(&id.as_str()[at], 16);
            (half(0..16).unwrap(), half(16..32).unwrap())
        };
        let (one, two) = (halves(), halves());
        assert_ne!(unmix(two.1).wrapping_sub(unmix(one.1)), 1);
        assert!((unmix(two.0) ^ unmix(one.0)).count_ones() > 4);
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for x in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            let mut digits = [0; 16];
            write_hex(x, &mut digits);
            assert_eq!(std::str::from_utf8(&digits).unwrap(), format!("{x:016x}"));
        }
    }

    #[test]
    fn only_a_sane_id_is_passed_on() {
        let ids = RequestIds::new();
        let take = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, id.parse().unwrap());
            ids.take(&RequestFields::Map(headers.into()), true)
        };
        assert_eq!(take("abc-123").as_str(), "abc-123");
        assert_ne!(take("a b").as_str(), "a b");
        assert_eq!(take(&"x".repeat(129)).as_str().len(), 32);
    }
}
