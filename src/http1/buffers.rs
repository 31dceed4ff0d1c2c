//! What is read from sockets, and the blocks of memory that it is read into.
//!
//! Owns: a thread's free blocks. May touch: nothing of ours. The block used last is used next, for
//! it is warm in the processor's cache; a connection that waits holds none. A block is free again
//! when the last slice of it is dropped. They are the thread's, as an allocator's would be, and not
//! the worker's: what is shared has to be locked, and a request takes and gives four times.

use super::socket::{Socket, poll_read, poll_readable};
use bytes::Bytes;
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncRead;

/// How much is read at once, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A head and, mostly, its whole body.
    Small,
    /// A piece of a large body.
    Large,
}

impl Size {
    const fn bytes(self) -> usize {
        match self {
            Self::Small => 16 * 1024,
            // Measured at 32, 64, 128 and 256 KiB for 1 MB: CPU to nginx 0.76, 0.67, 0.62, 0.59 for
            // responses, 1.15, 0.99, 0.92, 0.80 for requests.
            Self::Large => 256 * 1024,
        }
    }

    /// For a body with `left` bytes to come.
    pub fn of(left: u64) -> Self {
        if left < Self::Small.bytes() as u64 { Self::Small } else { Self::Large }
    }
}

/// Free blocks kept of each size: what a busy worker has under way at a time, which is two for each
/// request with a body.
const KEPT_SMALL: usize = 128;
const KEPT_LARGE: usize = 16;

/// Free blocks, the last used last.
#[derive(Default)]
struct Free {
    small: Vec<Box<[u8]>>,
    large: Vec<Box<[u8]>>,
}

thread_local! {
    static FREE: RefCell<Free> = const { RefCell::new(Free { small: Vec::new(), large: Vec::new() }) };
}

fn take(size: Size) -> Box<[u8]> {
    let free = FREE.with_borrow_mut(|free| match size {
        Size::Small => free.small.pop(),
        Size::Large => free.large.pop(),
    });
    free.unwrap_or_else(|| vec![0; size.bytes()].into_boxed_slice())
}

fn give(block: Box<[u8]>) {
    // A thread that ends keeps nothing.
    let _ = FREE.try_with(|free| {
        let mut free = free.borrow_mut();
        let (free, kept) = match block.len() {
            0 => return,
            length if length == Size::Small.bytes() => (&mut free.small, KEPT_SMALL),
            _ => (&mut free.large, KEPT_LARGE),
        };
        if free.len() < kept {
            free.push(block);
        }
    });
}

/// A block that has been read into.
struct Block {
    bytes: Box<[u8]>,
    filled: usize,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.bytes));
    }
}

/// Reads what is there and puts it after what is `unread`; says how many bytes came, 0 at the end.
/// What is unread must be less than a large block holds: who reads heads and chunks limits them. If
/// it is `likely` that there is something, that is not asked first.
pub fn poll_fill<S: AsyncRead + Socket>(
    cx: &mut Context<'_>,
    stream: &mut S,
    unread: &mut Bytes,
    size: Size,
    likely: bool,
) -> Poll<io::Result<usize>> {
    if !likely {
        // No block is needed to find that there is nothing.
        ready!(poll_readable(cx, stream))?;
    }
    let before = unread.len();
    let size = if before >= Size::Small.bytes() / 2 { Size::Large } else { size };
    let mut block = take(size);
    let Some(room) = block.get_mut(before..).filter(|room| !room.is_empty()) else {
        give(block);
        return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
    };
    let came = match poll_read(cx, stream, room) {
        Poll::Ready(Ok(came @ 1..)) => came,
        nothing => {
            give(block);
            return nothing;
        }
    };
    block[..before].copy_from_slice(unread);
    let filled = before + came;
    *unread = Bytes::from_owner(Block { bytes: block, filled });
    Poll::Ready(Ok(came))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;
    use std::task::Waker;

    impl Socket for &[u8] {}

    fn fill(stream: &mut &[u8], unread: &mut Bytes) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        match poll_fill(&mut cx, stream, unread, Size::Small, false) {
            Poll::Ready(Ok(read)) => read,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blocks_are_free_with_their_last_slice_and_serve_again() {
        let free = || FREE.with_borrow(|free| free.small.len());
        FREE.take();
        let (mut stream, mut unread) = (&b"abcdef"[..], Bytes::new());
        assert_eq!(fill(&mut stream, &mut unread), 6);
        let slice = unread.split_to(3);
        unread.advance(3);
        unread = Bytes::new();
        assert_eq!((&slice[..], free()), (&b"abc"[..], 0));
        drop(slice);
        assert_eq!(free(), 1);
        assert_eq!(fill(&mut stream, &mut unread), 0, "the end");
        assert_eq!(free(), 1, "an end keeps no block");
    }

    #[test]
    fn what_is_unread_stays_before_what_comes() {
        let mut unread = Bytes::from("abc");
        assert_eq!(fill(&mut &b"def"[..], &mut unread), 3);
        assert_eq!(&unread[..], b"abcdef");
        let mut much = Bytes::from(vec![b'x'; Size::Small.bytes()]);
        assert_eq!(fill(&mut &b"y"[..], &mut much), 1);
        assert_eq!((much.len(), much[0], much.last()), (16 * 1024 + 1, b'x', Some(&b'y')));
    }
}
