//! Protobuf's bytes (protobuf.dev/programming-guides/encoding), as far as OTLP needs them.
//!
//! Owns: how a field is written and read. May touch: nothing outside this room. What a field means
//! is its caller's.

/// How a field's value is coded.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

/// A field that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireValue<'a> {
    /// A number, a boolean or an enum.
    Number(u64),
    /// A string, bytes or a message.
    Bytes(&'a [u8]),
}

/// A whole number, seven bits in each byte.
pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(out: &mut Vec<u8>, field: u32, coding: u64) {
    varint(out, u64::from(field) << 3 | coding);
}

/// A number, a boolean or an enum.
pub fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

/// A `fixed64`, also `sfixed64`, or a `double` by its bits.
pub fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A `fixed32`.
pub fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    tag(out, field, FIXED32);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A string or bytes.
pub fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    parts(out, field, &[value]);
}

/// A string or bytes, of several parts.
pub fn parts(out: &mut Vec<u8>, field: u32, parts: &[&[u8]]) {
    tag(out, field, LENGTH_DELIMITED);
    varint(out, parts.iter().map(|part| part.len() as u64).sum());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// A message: `write` appends its fields.
pub fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, LENGTH_DELIMITED);
    // Most messages are shorter than 128 bytes. A longer one is moved by a byte or two.
    let at = out.len();
    out.push(0);
    write(out);
    let mut length = (out.len() - at - 1) as u64;
    let mut place = at;
    while length > 0x7f {
        out[place] = length as u8 | 0x80;
        length >>= 7;
        place += 1;
        out.insert(place, 0);
    }
    out[place] = length as u8;
}

/// The fields of a message, up to its end or to what is no field.
pub fn fields(mut message: &[u8]) -> impl Iterator<Item = (u32, WireValue<'_>)> {
    std::iter::from_fn(move || next_field(&mut message))
}

/// How many bytes from the beginning are whole fields, and at most `limit` in all. The first field is
/// among them however long it is.
pub fn whole_fields(message: &[u8], limit: usize) -> usize {
    let mut rest = message;
    let mut end = 0;
    while next_field(&mut rest).is_some() {
        let after = message.len() - rest.len();
        if end > 0 && after > limit {
            break;
        }
        end = after;
    }
    end
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u32, WireValue<'a>)> {
    let tag = read_varint(rest)?;
    let field = u32::try_from(tag >> 3).ok()?;
    let value = match tag & 7 {
        VARINT => WireValue::Number(read_varint(rest)?),
        FIXED64 => {
            let (number, after) = rest.split_first_chunk()?;
            *rest = after;
            WireValue::Number(u64::from_le_bytes(*number))
        }
        LENGTH_DELIMITED => {
            let length = usize::try_from(read_varint(rest)?).ok()?;
            let (value, after) = rest.split_at_checked(length)?;
            *rest = after;
            WireValue::Bytes(value)
        }
        FIXED32 => {
            let (number, after) = rest.split_first_chunk()?;
            *rest = after;
            WireValue::Number(u32::from_le_bytes(*number).into())
        }
        _ => return None,
    };
    Some((field, value))
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *rest = &rest[at + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_in_the_guide() {
        let mut out = Vec::new();
        number(&mut out, 1, 150);
        assert_eq!(out, [0x08, 0x96, 0x01]);
        out.clear();
        bytes(&mut out, 2, b"testing");
        assert_eq!(out, [&[0x12, 7][..], b"testing"].concat());
        out.clear();
        message(&mut out, 3, |out| number(out, 1, 150));
        assert_eq!(out, [0x1a, 3, 0x08, 0x96, 0x01]);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            value: u64,
            field in 1u32..2000,
            text in proptest::collection::vec(any::<u8>(), 0..40_000),
        ) {
            let mut out = Vec::new();
            number(&mut out, field, value);
            fixed64(&mut out, field, value);
            message(&mut out, field, |out| bytes(out, 1, &text));
            fixed32(&mut out, field, 7);
            let mut read = fields(&out);
            prop_assert_eq!(read.next(), Some((field, WireValue::Number(value))));
            prop_assert_eq!(read.next(), Some((field, WireValue::Number(value))));
            let Some((_, WireValue::Bytes(nested))) = read.next() else { panic!("a message") };
            prop_assert_eq!(fields(nested).collect::<Vec<_>>(), [(1, WireValue::Bytes(&text))]);
            prop_assert_eq!(read.next(), Some((field, WireValue::Number(7))));
            prop_assert_eq!(read.next(), None);
        }

        #[test]
        fn any_bytes_are_read_to_an_end(
            junk in proptest::collection::vec(any::<u8>(), 0..200), limit in 0usize..300,
        ) {
            prop_assert!(fields(&junk).count() <= junk.len());
            prop_assert!(whole_fields(&junk, limit) <= junk.len());
        }

        #[test]
        fn pieces_end_between_fields(
            sizes in proptest::collection::vec(0usize..400, 1..30), limit in 1usize..1000,
        ) {
            let mut out = Vec::new();
            for size in &sizes {
                bytes(&mut out, 2, &vec![1; *size]);
            }
            let (mut rest, mut seen) = (&out[..], 0);
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(whole_fields(rest, limit));
                let count = fields(piece).count();
                prop_assert!(count == 1 || piece.len() <= limit);
                prop_assert!(count > 0);
                (rest, seen) = (after, seen + count);
            }
            prop_assert_eq!(seen, sizes.len());
        }
    }
}
