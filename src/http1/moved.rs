//! Bytes that the kernel moves to a socket from a pipe or a file, without a copy.
//!
//! Owns: a thread's pipes, and the calls `splice` and `sendfile`. May touch: nothing outside this
//! room. Used only for sockets without TLS, and for bodies whose bytes are not looked at. A body
//! offers its next part this way if it can, and otherwise as memory; [`super::outgoing`] sends
//! both.

use super::socket::poll_writable;
use rustix::{
    fs::sendfile,
    io::{Errno, ReadWriteFlags, preadv2},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    cell::RefCell,
    fs::File,
    io::{self, IoSliceMut},
    os::fd::OwnedFd,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{io::Interest, net::TcpStream};

/// Bodies shorter than this are copied: the calls would cost more than the copy.
pub const WORTH_MOVING: u64 = 64 * 1024;

/// The size of a pipe in bytes: the most that every user may have (`/proc/sys/fs/pipe-max-size`).
/// With the usual 64 KiB, moving would gain nothing.
const PIPE_SIZE: usize = 1024 * 1024;

/// A thread has at most so many pipes, used and free. If there are more responses at once, the
/// others are copied. The kernel allows a user without privileges 64 MiB in pipes.
const MOST_PIPES: usize = 32;

/// How much of a file is sent before we check again that it is in memory; less if the kernel has
/// just begun to read it.
const FILE_PARTS: [u64; 2] = [1024 * 1024, 128 * 1024];

/// Bytes for the kernel to move.
#[derive(Debug)]
pub enum Moved {
    /// In a pipe.
    Piped(Piped),
    /// In a file.
    InFile(InFile),
}

impl Moved {
    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        match self {
            Self::Piped(piped) => piped.left as u64,
            Self::InFile(part) => part.left,
        }
    }

    /// Moves what the socket takes. Fails with [`io::ErrorKind::UnexpectedEof`] if the file has
    /// become too short.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &TcpStream,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Piped(piped) => piped.poll_write(cx, socket),
            Self::InFile(part) => part.poll_write(cx, socket),
        }
    }
}

/// A part of a file.
#[derive(Debug)]
pub struct InFile {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl InFile {
    /// Up to `left` bytes from `at` on, as many as are sent before the next check, if the kernel
    /// has them in memory: a worker must not wait for a disk.
    pub fn at_hand(file: &Arc<File>, at: u64, left: u64) -> Option<Self> {
        let is_there = |at| read_at_hand(file, &mut [0], at).is_ok_and(|read| read == 1);
        if left == 0 || !is_there(at) {
            return None;
        }
        // The bytes between came by the same reads, and leave memory at about the same time.
        let parts = FILE_PARTS.map(|part| left.min(part));
        let left = parts.into_iter().find(|left| is_there(at + left - 1))?;
        Some(Self { file: Arc::clone(file), at, left })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, socket: &TcpStream) -> Poll<io::Result<usize>> {
        let Self { file, at, left } = self;
        // `at` is moved on by the kernel.
        let sent = ready!(poll_writable(cx, socket, || {
            sendfile(socket, &*file, Some(at), *left as usize)
        }))?;
        if sent == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        *left -= sent as u64;
        Poll::Ready(Ok(sent))
    }
}

/// Reads what the kernel has of a file in memory, from `at` on. If that is nothing, fails with an
/// error that is [`is_not_at_hand`].
pub fn read_at_hand(file: &File, room: &mut [u8], at: u64) -> io::Result<usize> {
    Ok(preadv2(file, &mut [IoSliceMut::new(room)], at, ReadWriteFlags::NOWAIT)?)
}

/// Whether a part of a file can't be read without waiting, or its file system can't tell.
pub fn is_not_at_hand(error: &io::Error) -> bool {
    let codes = [Errno::AGAIN, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL];
    error.raw_os_error().is_some_and(|code| codes.iter().any(|it| it.raw_os_error() == code))
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn new() -> Result<Self, Errno> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&write, PIPE_SIZE)?;
        Ok(Self { read, write })
    }
}

/// A thread's pipes.
#[derive(Default)]
struct Pipes {
    free: Vec<Pipe>,
    /// How many pipes there are, free or in use.
    made: usize,
}

thread_local! {
    static PIPES: RefCell<Pipes> = const { RefCell::new(Pipes { free: Vec::new(), made: 0 }) };
}

impl Pipes {
    fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.free.pop() {
            return Some(pipe);
        }
        if self.made >= MOST_PIPES {
            return None;
        }
        match Pipe::new() {
            Ok(pipe) => {
                self.made += 1;
                Some(pipe)
            }
            // There are no descriptors, or the user has as many bytes in pipes as it may.
            Err(error) => {
                tracing::debug!(%error, "no pipe");
                None
            }
        }
    }

    /// Takes back a pipe that is empty, or notes that one is gone.
    fn give(&mut self, pipe: Option<Pipe>) {
        match pipe {
            Some(pipe) if self.free.len() < MOST_PIPES => self.free.push(pipe),
            _ => self.made = self.made.saturating_sub(1),
        }
    }
}

fn give(pipe: Option<Pipe>) {
    // A thread that ends keeps nothing.
    let _ = PIPES.try_with(|pipes| pipes.borrow_mut().give(pipe));
}

/// Takes up to `most` bytes off `socket`. `None` if that can't be done, or at the socket's end:
/// then an ordinary read takes the bytes, or sees the end.
pub fn poll_fill(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    most: u64,
) -> Poll<io::Result<Option<Piped>>> {
    loop {
        ready!(socket.poll_read_ready(cx))?;
        let Some(pipe) = PIPES.with_borrow_mut(Pipes::take) else { return Poll::Ready(Ok(None)) };
        let most = most.min(PIPE_SIZE as u64) as usize;
        let flags = SpliceFlags::NONBLOCK;
        // The pipe is empty: if nothing can be moved now, that is because of the socket.
        let moved = socket.try_io(Interest::READABLE, || {
            match splice(socket, None, &pipe.write, None, most, flags) {
                // The call does not work with this socket, or not on this system.
                Err(Errno::INVAL | Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => Ok(0),
                moved => Ok(moved?),
            }
        });
        match moved {
            Ok(left @ 1..) => return Poll::Ready(Ok(Some(Piped { pipe: Some(pipe), left }))),
            Ok(0) => {
                give(Some(pipe));
                return Poll::Ready(Ok(None));
            }
            Err(error) => {
                give(Some(pipe));
                if error.kind() != io::ErrorKind::WouldBlock {
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// Bytes in a pipe.
#[derive(Debug)]
pub struct Piped {
    /// There until `self` is dropped.
    pipe: Option<Pipe>,
    left: usize,
}

impl Piped {
    fn poll_write(&mut self, cx: &mut Context<'_>, socket: &TcpStream) -> Poll<io::Result<usize>> {
        let Some(pipe) = &self.pipe else { return Poll::Ready(Ok(0)) };
        let left = self.left;
        let sent = ready!(poll_writable(cx, socket, || {
            splice(&pipe.read, None, socket, None, left, SpliceFlags::NONBLOCK)
        }))?;
        self.left -= sent;
        Poll::Ready(Ok(sent))
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // The bytes left in it are no longer wanted.
        give(self.pipe.take().filter(|_| self.left == 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::socket::tests::pair;
    use std::{future::poll_fn, io::Write as _};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn write_all(moved: &mut Moved, socket: &TcpStream) {
        while moved.left() > 0 {
            assert!(poll_fn(|cx| moved.poll_write(cx, socket)).await.unwrap() > 0);
        }
    }

    #[tokio::test]
    async fn what_comes_goes_on_and_the_pipe_is_used_again() {
        let ((mut server, from), (to, mut client)) = (pair().await, pair().await);
        let counts = || PIPES.with_borrow(|pipes| (pipes.made, pipes.free.len()));
        PIPES.take();
        for round in 0..3u8 {
            let sent: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8 ^ round).collect();
            let moving = async {
                let mut left = sent.len() as u64;
                while left > 0 {
                    let taken = poll_fn(|cx| poll_fill(cx, &from, left)).await.unwrap();
                    let mut moved = Moved::Piped(taken.expect("a pipe"));
                    left -= moved.left();
                    write_all(&mut moved, &to).await;
                }
            };
            let mut got = vec![0; sent.len()];
            let (wrote, (), read) =
                tokio::join!(server.write_all(&sent), moving, client.read_exact(&mut got));
            assert!(wrote.is_ok() && read.is_ok() && got == sent);
        }
        assert_eq!(counts(), (1, 1));
        drop(server);
        assert!(poll_fn(|cx| poll_fill(cx, &from, 1)).await.unwrap().is_none(), "the end");
        assert_eq!(counts(), (1, 1));
    }

    #[tokio::test]
    async fn a_pipe_that_is_not_empty_is_not_used_again_and_there_are_not_too_many() {
        let (mut server, from) = pair().await;
        let counts = || PIPES.with_borrow(|pipes| (pipes.made, pipes.free.len()));
        PIPES.take();
        server.write_all(&[7; MOST_PIPES + 2]).await.unwrap();
        let mut held = Vec::new();
        for _ in 0..MOST_PIPES {
            let taken = poll_fn(|cx| poll_fill(cx, &from, 1)).await.unwrap();
            held.push(taken.expect("a pipe"));
        }
        assert!(poll_fn(|cx| poll_fill(cx, &from, 1)).await.unwrap().is_none(), "all out");
        held.clear();
        assert_eq!(counts(), (0, 0));
        let taken = poll_fn(|cx| poll_fill(cx, &from, 9)).await.unwrap().expect("a pipe");
        assert_eq!(taken.left, 2);
    }

    #[tokio::test]
    async fn a_file_is_sent_as_far_as_it_goes() {
        let (to, mut client) = pair().await;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = Arc::new(file);
        assert!(InFile::at_hand(&file, 3, 0).is_none() && InFile::at_hand(&file, 3, 8).is_none());
        // A file system may not be able to tell. Then there is nothing to test here.
        let Some(part) = InFile::at_hand(&file, 3, 7) else { return };
        let mut moved = Moved::InFile(part);
        file.set_len(8).unwrap();
        assert_eq!(poll_fn(|cx| moved.poll_write(cx, &to)).await.unwrap(), 5);
        let error = poll_fn(|cx| moved.poll_write(cx, &to)).await.unwrap_err();
        assert_eq!((error.kind(), moved.left()), (io::ErrorKind::UnexpectedEof, 2));
        let mut got = [0; 5];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"34567");
    }
}
