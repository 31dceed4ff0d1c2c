//! Parts of bodies that are held until somebody takes them.
//!
//! Owns: copying small parts, so that what is held takes about as much memory as it has bytes. May
//! touch: nothing outside this room. A part is a slice of the block that it was read into
//! ([`crate::http1::buffers`]): without the copy a single byte could hold a whole block.

use bytes::{Bytes, BytesMut};

/// Parts of at least this size are held as they are.
const LARGE: usize = 64 * 1024;
/// Parts up to this size are put together.
const SMALL: usize = 8 * 1024;
/// Room is made for so many bytes at a time.
const STEP: usize = 1024;

/// Returns `part`, copied to memory of its own if it is small.
pub fn compact(part: Bytes) -> Bytes {
    if part.len() < LARGE { Bytes::copy_from_slice(&part) } else { part }
}

/// Appends `part` to `last` if both are small; otherwise returns it, compact.
pub fn join(last: &mut Bytes, part: Bytes) -> Option<Bytes> {
    if part.len() >= SMALL || last.len() >= SMALL {
        return Some(compact(part));
    }
    let length = last.len() + part.len();
    let mut joined = match std::mem::take(last).try_into_mut() {
        Ok(joined) if joined.capacity() >= length => joined,
        // Grow in steps: a vector that grows by itself doubles, and half of it may stay empty.
        held => {
            let held = held.map_or_else(|it| it, BytesMut::freeze);
            let mut joined = BytesMut::with_capacity(length.next_multiple_of(STEP));
            joined.extend_from_slice(&held);
            joined
        }
    };
    joined.extend_from_slice(&part);
    *last = joined.freeze();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_are_put_together_and_large_ones_are_left_alone() {
        let block = Bytes::from(vec![b'x'; 1 << 18]);
        let mut held = vec![compact(block.slice(..1))];
        for at in 1..10_000 {
            let part = block.slice(at..=at);
            let rest = held.last_mut().and_then(|last| join(last, part));
            held.extend(rest);
        }
        assert_eq!(held.iter().map(Bytes::len).collect::<Vec<_>>(), [SMALL, 10_000 - SMALL]);
        let large = block.slice(..LARGE);
        assert_eq!(compact(large.clone()).as_ptr(), large.as_ptr());
        assert_eq!(held.last_mut().and_then(|last| join(last, large.clone())), Some(large));
        let middling = block.slice(..SMALL);
        assert_ne!(compact(middling.clone()).as_ptr(), middling.as_ptr());
    }
}
