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

/// Makes ids that do not repeat and cannot be guessed from outside; one per worker.
#[derive(Debug)]
pub struct RequestIds {
    high: u64,
    low: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// A new sequence with a random start.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let random = || RandomState::new().hash_one(std::process::id());
        Self { high: random(), low: random(), next: AtomicU64::new(random()) }
    }

    /// The client's id where there is one, short and printable, else a new one.
    pub fn take(&self, fields: &RequestFields, there_is_one: bool) -> RequestId {
        let told = there_is_one.then(|| fields.get(&X_REQUEST_ID).and_then(sane)).flatten();
        told.map_or_else(|| self.make(), |id| RequestId::Passed(id.into()))
    }

    fn make(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut digits = [0; 32];
        write_hex(mix(count ^ self.high), &mut digits[..16]);
        write_hex(mix(count.wrapping_add(self.low)), &mut digits[16..]);
        RequestId::Made(digits)
    }
}

fn sane(value: &[u8]) -> Option<&str> {
    let is_sane =
        !value.is_empty() && value.len() <= LONGEST && value.iter().all(u8::is_ascii_graphic);
    is_sane.then(|| std::str::from_utf8(value).ok()).flatten()
}

/// splitmix64's finaliser: a bijection that spreads every bit.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Eight digits at a time: each nibble in a byte of its own, and then all made digits at once.
fn write_hex(x: u64, out: &mut [u8]) {
    for (half, out) in [x >> 32, x & 0xffff_ffff].into_iter().zip(out.chunks_mut(8)) {
        let mut x = (half | half << 16) & 0x0000_ffff_0000_ffff;
        x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
        x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        // 1 in the bytes of a to f, which lie 39 past the digits.
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
