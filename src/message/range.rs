//! Which part of a file or a stored response is asked for (RFC 9110 §14).
//!
//! Owns: reading `Range`. May touch: nothing outside this room. Next: the answer is made.

use super::conditional::{Validators, range_applies};
use http::{HeaderMap, Method, header::RANGE};
use std::time::SystemTime;

/// The part that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedRange {
    /// Everything: the field is wrong, uses another unit, or names several ranges.
    Whole,
    /// 206: the bytes from `first` to `last`, both included.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte, less than the length.
        last: u64,
    },
    /// 416: no byte of it exists.
    Unsatisfiable,
}

/// The range of a request. Only GET has ranges (RFC 9110 §14.2). Several `Range` fields count as
/// none.
pub fn of(method: &Method, headers: &HeaderMap, current: &Validators, length: u64) -> AskedRange {
    let mut fields = headers.get_all(RANGE).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None)
            if method == Method::GET && range_applies(headers, current, SystemTime::now()) =>
        {
            read(field.as_bytes(), length)
        }
        _ => AskedRange::Whole,
    }
}

/// Reads the value of a `Range` field against a file of `length` bytes. Several ranges count as none
/// here, which §14.2 allows: see [`several`].
pub fn read(value: &[u8], length: u64) -> AskedRange {
    match ranges(value).map(|mut it| (it.next(), it.next())) {
        Some((Some(range), None)) => one(range, length),
        _ => AskedRange::Whole,
    }
}

/// Several parts, if that is what is asked for, and if it is worth it: few, apart from each other, and
/// less than the whole together. Those that do not exist are left out.
pub fn several(
    method: &Method,
    headers: &HeaderMap,
    current: &Validators,
    length: u64,
) -> Option<Vec<(u64, u64)>> {
    let mut fields = headers.get_all(RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let applies = method == Method::GET && range_applies(headers, current, SystemTime::now());
    let mut parts = Vec::new();
    for range in ranges(field.as_bytes()).filter(|_| applies)? {
        match one(range, length) {
            AskedRange::Part { first, last } if parts.len() < MOST => parts.push((first, last)),
            AskedRange::Unsatisfiable => {}
            _ => return None,
        }
    }
    let mut sorted = parts.clone();
    sorted.sort_unstable();
    let sent: u64 = parts.iter().map(|(first, last)| last - first + 1 + FRAME).sum();
    let is_apart = sorted.windows(2).all(|two| two[0].1 < two[1].0);
    (!parts.is_empty() && is_apart && sent < length).then_some(parts)
}

/// Many small ranges are an old way to make a server work hard.
const MOST: usize = 16;

/// What stands around a part, about.
const FRAME: u64 = 120;

/// Reads one range of a set.
fn one(range: &[u8], length: u64) -> AskedRange {
    let Some(dash) = range.iter().position(|byte| *byte == b'-') else { return AskedRange::Whole };
    let (first, last) = (&range[..dash], &range[dash + 1..]);
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => part(first, last, length),
        (Some(first), None) if last.is_empty() => part(first, u64::MAX, length),
        (None, Some(0)) if first.is_empty() => AskedRange::Unsatisfiable,
        // A request for the last bytes of an empty file gets the whole file, which no Content-Range
        // can express.
        (None, Some(_)) if first.is_empty() && length == 0 => AskedRange::Whole,
        (None, Some(suffix)) if first.is_empty() => {
            part(length.saturating_sub(suffix), u64::MAX, length)
        }
        _ => AskedRange::Whole,
    }
}

/// The ranges of a set in bytes; the unit is of any case, empty list elements do not count.
fn ranges(value: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let equals = value.iter().position(|byte| *byte == b'=')?;
    let (unit, set) = (&value[..equals], &value[equals + 1..]);
    let ranges = set.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    unit.eq_ignore_ascii_case(b"bytes").then(|| ranges.filter(|range| !range.is_empty()))
}

/// A number made only of digits. If it does not fit, it becomes the largest one.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    }))
}

fn part(first: u64, last: u64, length: u64) -> AskedRange {
    if first >= length {
        return AskedRange::Unsatisfiable;
    }
    AskedRange::Part { first, last: last.min(length - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_ranges() {
        let part = |first, last| AskedRange::Part { first, last };
        for (value, length, asked) in [
            ("bytes=0-0", 10, part(0, 0)),
            ("bytes=2-4", 10, part(2, 4)),
            ("Bytes=2-4", 10, part(2, 4)),
            ("bytes= 2-4 ,", 10, part(2, 4)),
            ("bytes=2-", 10, part(2, 9)),
            ("bytes=2-99", 10, part(2, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-30", 10, part(0, 9)),
            ("bytes=9-99999999999999999999999", 10, part(9, 9)),
            ("bytes=99999999999999999999999-", 10, AskedRange::Unsatisfiable),
            ("bytes=10-", 10, AskedRange::Unsatisfiable),
            ("bytes=-0", 10, AskedRange::Unsatisfiable),
            ("bytes=0-", 0, AskedRange::Unsatisfiable),
            ("bytes=-1", 0, AskedRange::Whole),
            ("bytes=4-2", 10, AskedRange::Whole),
            ("bytes=0-1,3-4", 10, AskedRange::Whole),
            ("bytes=", 10, AskedRange::Whole),
            ("bytes=-", 10, AskedRange::Whole),
            ("bytes=--1", 10, AskedRange::Whole),
            ("bytes=1-2-3", 10, AskedRange::Whole),
            ("bytes=+1-2", 10, AskedRange::Whole),
            ("bytes=1 - 2", 10, AskedRange::Whole),
            ("bytes 1-2", 10, AskedRange::Whole),
            ("lines=1-2", 10, AskedRange::Whole),
            ("", 10, AskedRange::Whole),
        ] {
            assert_eq!(read(value.as_bytes(), length), asked, "{value} of {length}");
        }
    }

    /// The bytes asked for, found one by one.
    fn naive(first: Option<u64>, last: Option<u64>, length: u64) -> Vec<u64> {
        let wanted = |at: &u64| match (first, last) {
            (Some(first), Some(last)) => first <= *at && *at <= last,
            (Some(first), None) => first <= *at,
            (None, Some(suffix)) => length - *at <= suffix,
            (None, None) => false,
        };
        (0..length).filter(wanted).collect()
    }

    proptest! {
        #[test]
        fn is_as_the_naive_model(
            first in proptest::option::of(0_u64..40),
            last in proptest::option::of(0_u64..40),
            length in 0_u64..32,
        ) {
            let text = |number: Option<u64>| number.map_or(String::new(), |n| n.to_string());
            let value = format!("bytes={}-{}", text(first), text(last));
            let bytes = naive(first, last, length);
            match read(value.as_bytes(), length) {
                AskedRange::Part { first, last } => prop_assert_eq!((first..=last).collect::<Vec<_>>(), bytes),
                AskedRange::Unsatisfiable => prop_assert_eq!(bytes, Vec::<u64>::new()),
                AskedRange::Whole => prop_assert!(
                    (first.is_none() && last.is_none())
                        || first.zip(last).is_some_and(|(first, last)| first > last)
                        || (first.is_none() && length == 0)
                ),
            }
        }

        #[test]
        fn a_part_is_within_the_file(value in proptest::collection::vec(any::<u8>(), 0..24), length: u64) {
            for value in [value.clone(), [b"bytes=".as_slice(), &value].concat()] {
                if let AskedRange::Part { first, last } = read(&value, length) {
                    prop_assert!(first <= last && last < length);
                }
            }
        }
    }
}
