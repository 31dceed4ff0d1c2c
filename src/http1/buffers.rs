//! Reading from sockets, and the blocks of memory that bytes are read into.
//!
//! Owns: a thread's free blocks. May touch: nothing outside this room. The block that was used last
//! is used next, because it is still in the processor's cache; a connection that waits holds none.
//! A block is free again when the last slice of it is dropped. Blocks come in sizes, and a reader
//! gets a larger one only after it has filled a smaller one, so that a client can't make us hold
//! much more than it has sent. The free blocks are thread-local and not part of the worker: a
//! shared list would need a lock, and a request takes and gives back four times.

use super::socket::{Socket, poll_read, poll_readable};
use bytes::Bytes;
use std::{
    cell::RefCell,
    io,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncRead;

/// The smallest block: room for a head and, mostly, its whole body.
pub const SMALL: usize = 16 * 1024;

/// The largest block. Measured at 32, 64, 128 and 256 KiB for 1 MB: CPU to nginx 0.76, 0.67, 0.62,
/// 0.59 for responses, 1.15, 0.99, 0.92, 0.80 for requests.
pub const LARGE: usize = 256 * 1024;

/// Blocks come in five sizes, each twice the one before.
const SIZES: usize = 5;

/// At most this many free blocks of each size are kept: about as many as a busy worker uses at a
/// time, two for each request with a body.
const KEPT: [usize; SIZES] = [128, 32, 16, 16, 16];

/// The smallest size with room for so many bytes, or the largest of all.
fn size_for(bytes: usize) -> usize {
    (bytes.min(LARGE).div_ceil(SMALL).next_power_of_two().trailing_zeros()) as usize
}

/// The size of the whole block that so many bytes are read into. Read with this much room even if
/// no more than `bytes` can come. A read that fills all of its room does not show that the socket
/// is empty, so the next use of the socket would ask in vain.
pub fn with_room(bytes: usize) -> usize {
    SMALL << size_for(bytes)
}

/// How many bytes of a body are taken at a time for a client. The client may take none of them, and
/// we hold them for as long as its timeouts allow. So they are few at first, and later a small
/// share of what the client has taken.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    least: usize,
    most: usize,
    /// Which share of the taken bytes: one part in so many.
    share: u64,
}

impl Parts {
    /// For HTTP/1 without TLS: nothing else holds what the socket does not take.
    pub const PLAIN: Self = Self { least: 64 * 1024, most: LARGE, share: 32 };
    /// For TLS, which holds what it was given, too. A record of the least part, with a chunk's head
    /// and what TLS adds, fits into memory of 16 KiB; the allocator's next size is 20 KiB.
    pub const TLS: Self = Self { least: SMALL - 256, most: LARGE, share: 256 };
    /// For HTTP/2, by what the whole connection has taken. Each of a hundred streams may hold a
    /// part that h2 has been given, and that the socket does not take.
    pub const HTTP2: Self = Self { least: SMALL, most: LARGE, share: 256 };

    /// The size for a client that has taken `taken` bytes before.
    pub fn after(self, taken: u64) -> usize {
        let part = (taken / self.share).clamp(self.least as u64, self.most as u64) as usize;
        // A little more than a small block's size would need the next block, twice as large. For
        // large parts such steps would cost more in calls than they save in memory.
        if part < 64 * 1024 { part - part % self.least } else { part }
    }
}

/// How much of a client's body is read at a time. It doubles with each read that fills it. So a
/// client must have sent much before we hold a large block for it.
#[derive(Clone, Copy, Debug)]
pub struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(SMALL)
    }
}

impl Pace {
    /// How many bytes to read next of a body of which at most `left` are still to come. The next
    /// request may follow them.
    pub fn next(self, left: u64) -> usize {
        left.clamp(SMALL as u64, self.0 as u64) as usize
    }

    /// Notes that so many bytes came.
    pub fn came(&mut self, bytes: usize) {
        if bytes >= self.0 {
            self.0 = LARGE.min(self.0 * 2);
        }
    }
}

/// A thread's free blocks of one size, the last used last.
#[derive(Debug, Default)]
struct Free {
    blocks: Vec<Box<[u8]>>,
    /// The fewest free blocks since the last [`trim`]: these were not needed.
    idle: usize,
}

thread_local! {
    static FREE: RefCell<[Free; SIZES]> =
        const { RefCell::new([const { Free { blocks: Vec::new(), idle: 0 } }; SIZES]) };
}

fn take(size: usize) -> Box<[u8]> {
    let free = FREE.with_borrow_mut(|free| {
        let free = &mut free[size];
        let block = free.blocks.pop();
        free.idle = free.idle.min(free.blocks.len());
        block
    });
    free.unwrap_or_else(|| vec![0; SMALL << size].into_boxed_slice())
}

fn give(block: Box<[u8]>) {
    if block.is_empty() {
        return;
    }
    // A thread that ends keeps nothing.
    let _ = FREE.try_with(|free| {
        let size = size_for(block.len());
        let free = &mut free.borrow_mut()[size].blocks;
        if free.len() < KEPT[size] {
            free.push(block);
        }
    });
}

/// Gives the free blocks of this thread that were not needed since the last call back to the
/// system. A worker calls it once a second.
pub fn trim() {
    FREE.with_borrow_mut(|free| {
        for free in free {
            free.blocks.drain(..free.idle);
            free.blocks.shrink_to(free.blocks.len() * 2);
            free.idle = free.blocks.len();
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

/// Reads what is there and puts it after what is `unread`; returns how many bytes came, 0 at the
/// end. It reads until there are `want` bytes, including the unread ones, or some more if as many
/// are unread already. What is unread must be less than [`LARGE`]; callers limit heads and chunk
/// lines to that. If something is `likely` to be there, it reads without asking for readiness
/// first.
pub fn poll_fill<S: AsyncRead + Socket>(
    cx: &mut Context<'_>,
    stream: &mut S,
    unread: &mut Bytes,
    want: usize,
    likely: bool,
) -> Poll<io::Result<usize>> {
    if !likely {
        // Ask first, so that no block is taken if nothing has arrived.
        ready!(poll_readable(cx, stream))?;
    }
    let before = unread.len();
    // The room must not be empty: a read of 0 bytes would look like the end.
    let want = if before < want { want } else { before + (before / 4).max(16) };
    read_block(size_for(want), before, |block| {
        let end = want.min(block.len());
        let came = ready!(poll_read(cx, stream, &mut block[before..end]))?;
        block[..before].copy_from_slice(unread);
        Poll::Ready(Ok(came))
    })
    .map_ok(|(came, bytes)| {
        if came > 0 {
            *unread = bytes;
        }
        came
    })
}

/// Copies what is `unread` out of its block, so that the block is free again. Used for a client
/// that has sent a beginning, and may take long to send the rest.
pub fn settle(unread: &mut Bytes) {
    if !unread.is_empty() {
        *unread = Bytes::copy_from_slice(unread);
    }
}

/// Lets `read` fill a block of one of the sizes, behind its first `before` bytes.
fn read_block(
    size: usize,
    before: usize,
    read: impl FnOnce(&mut [u8]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<(usize, Bytes)>> {
    let mut block = take(size);
    if before >= block.len() {
        give(block);
        return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
    }
    match read(&mut block) {
        Poll::Ready(Ok(came @ 1..)) => {
            let block = Block { bytes: block, filled: before + came };
            Poll::Ready(Ok((came, Bytes::from_owner(block))))
        }
        nothing => {
            give(block);
            nothing.map_ok(|came| (came, Bytes::new()))
        }
    }
}

/// Lets `read` fill a block with up to `most` bytes, by a call that does not wait.
pub fn read_up_to(
    most: usize,
    read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Bytes> {
    let read = read_block(size_for(most), 0, |block| {
        let most = most.min(block.len());
        Poll::Ready(read(&mut block[..most]))
    });
    match read {
        Poll::Ready(read) => read.map(|(_, bytes)| bytes),
        Poll::Pending => Ok(Bytes::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;
    use std::task::Waker;

    impl Socket for &[u8] {}

    fn fill(stream: &mut &[u8], unread: &mut Bytes) -> usize {
        fill_to(stream, unread, SMALL)
    }

    fn fill_to(stream: &mut &[u8], unread: &mut Bytes, want: usize) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        match poll_fill(&mut cx, stream, unread, want, false) {
            Poll::Ready(Ok(read)) => read,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn blocks_are_free_with_their_last_slice_and_serve_again() {
        let free = || FREE.with_borrow(|free| free[0].blocks.len());
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
    fn blocks_that_nobody_needed_between_two_trims_are_given_back() {
        let free = || FREE.with_borrow(|free| free[0].blocks.len());
        FREE.take();
        [take(0), take(0), take(0)].into_iter().for_each(give);
        trim();
        assert_eq!(free(), 3, "they have just been needed");
        give(take(0));
        trim();
        assert_eq!(free(), 1, "one of them was needed");
        trim();
        assert_eq!(free(), 0);
    }

    #[test]
    fn a_body_is_read_with_more_room_only_once_it_has_filled_the_room_before() {
        let (mut pace, mut came) = (Pace::default(), 0);
        for read in [1, SMALL, 100, 2 * SMALL, 4 * SMALL, 8 * SMALL, LARGE, LARGE] {
            assert!(pace.next(u64::MAX) <= came + SMALL, "{came} bytes came");
            pace.came(read);
            came += read;
        }
        assert_eq!((pace.next(u64::MAX), pace.next(9)), (LARGE, SMALL));
    }

    #[test]
    fn parts_are_a_share_of_what_was_taken_within_limits() {
        for parts in [Parts::PLAIN, Parts::TLS, Parts::HTTP2] {
            let Parts { least, most, share } = parts;
            assert_eq!((parts.after(0), parts.after(u64::MAX)), (least, most));
            assert_eq!(parts.after(200_000 * share), 200_000, "a {share}th");
            if least < 20_000 {
                assert_eq!(parts.after((3 * least as u64 - 1) * share), 2 * least, "in steps");
            }
        }
    }

    #[test]
    fn what_is_settled_holds_no_block() {
        let free = || FREE.with_borrow(|free| free[0].blocks.len());
        FREE.take();
        let mut unread = Bytes::new();
        fill(&mut &b"GET / HT"[..], &mut unread);
        assert_eq!(free(), 0);
        settle(&mut unread);
        assert_eq!((&unread[..], free()), (&b"GET / HT"[..], 1));
    }

    #[test]
    fn what_is_unread_stays_before_what_comes() {
        let mut unread = Bytes::from("abc");
        assert_eq!(fill(&mut &b"def"[..], &mut unread), 3);
        assert_eq!(&unread[..], b"abcdef");
        let more = vec![b'y'; 2 * SMALL];
        assert_eq!(fill(&mut &more[..], &mut unread), SMALL - 6, "as many as are wanted");
        // Less is wanted than there is, and the chunk's size line is not complete.
        let mut begun = Bytes::from("1");
        assert_eq!((fill_to(&mut &b"f\r\n"[..], &mut begun, 1), &begun[..]), (3, &b"1f\r\n"[..]));
        let mut much = Bytes::from(vec![b'x'; SMALL]);
        assert_eq!(fill(&mut &b"y"[..], &mut much), 1);
        assert_eq!((much.len(), much[0], much.last()), (16 * 1024 + 1, b'x', Some(&b'y')));
    }
}
