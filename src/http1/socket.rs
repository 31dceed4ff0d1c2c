//! A stream that may be a plain socket, and the calls on it.
//!
//! Owns: reading and writing a socket without asking for readiness first, and without the C
//! library: its calls check for the cancellation of threads, which we never use. May touch: nothing
//! outside this room. [`super::buffers`] reads with it, [`super::outgoing`] and [`super::moved`]
//! write.

use rustix::{
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    task::coop::poll_proceed,
};

/// A stream that may be a plain socket.
pub trait Socket: Unpin {
    /// The socket, if everything read from the stream and written to it goes through it unchanged.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl Socket for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// Ready once there may be something to read.
pub fn poll_readable<S: Socket>(cx: &mut Context<'_>, stream: &S) -> Poll<io::Result<()>> {
    stream.socket().map_or(Poll::Ready(Ok(())), |socket| socket.poll_read_ready(cx))
}

/// Reads what is there; 0 bytes at the end. The reactor is asked only if there was nothing.
pub fn poll_read<S: Socket + AsyncRead>(
    cx: &mut Context<'_>,
    stream: &mut S,
    room: &mut [u8],
) -> Poll<io::Result<usize>> {
    let Some(socket) = stream.socket() else {
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        return Poll::Ready(Ok(room.filled().len()));
    };
    loop {
        // A short read means that the socket is empty. `WouldBlock` tells the reactor so, which
        // saves a read that would find nothing.
        let mut all = None;
        let read = socket.try_io(Interest::READABLE, || {
            let (came, _) = recv(socket, &mut *room, RecvFlags::empty())?;
            if 0 < came && came < room.len() {
                all = Some(came);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(came)
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Some(came) = all {
                    return Poll::Ready(Ok(came));
                }
                ready!(socket.poll_read_ready(cx))?;
            }
            read => return Poll::Ready(read),
        }
    }
}

/// Writes one buffer.
pub fn poll_write<S: Socket + AsyncWrite>(
    cx: &mut Context<'_>,
    stream: &mut S,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(poll_at_once(cx, stream, |socket| send(socket, bytes, SendFlags::NOSIGNAL))) {
        Some(written) => Poll::Ready(written),
        None => Pin::new(stream).poll_write(cx, bytes),
    }
}

/// The same for several buffers. `sendmsg`, because `writev` first goes through the file layer.
pub fn poll_write_parts<S: Socket + AsyncWrite>(
    cx: &mut Context<'_>,
    stream: &mut S,
    parts: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let send = |socket: &TcpStream| {
        let mut nothing = SendAncillaryBuffer::default();
        sendmsg(socket, parts, &mut nothing, SendFlags::NOSIGNAL)
    };
    match ready!(poll_at_once(cx, stream, send)) {
        Some(written) => Poll::Ready(written),
        None => Pin::new(stream).poll_write_vectored(cx, parts),
    }
}

/// Makes a call on a socket. Nearly always a socket has room, so the reactor is asked only if a
/// call found none: `None`.
fn poll_at_once<S: Socket>(
    cx: &mut Context<'_>,
    stream: &S,
    write: impl FnOnce(&TcpStream) -> Result<usize, Errno>,
) -> Poll<Option<io::Result<usize>>> {
    let Some(socket) = stream.socket() else { return Poll::Ready(None) };
    // With many small parts, a worker must still serve its other connections.
    let turn = ready!(poll_proceed(cx));
    match socket.try_io(Interest::WRITABLE, || Ok(write(socket)?)) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Ready(None),
        written => {
            turn.made_progress();
            Poll::Ready(Some(written))
        }
    }
}

/// Writes `head` to a socket with `MSG_MORE`, so that it isn't sent alone.
pub fn poll_write_before_more(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    head: &[u8],
) -> Poll<io::Result<usize>> {
    poll_writable(cx, socket, || send(socket, head, SendFlags::MORE | SendFlags::NOSIGNAL))
}

/// Calls a function on a socket that is ready, until the function reports that it is not.
pub fn poll_writable<T>(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    mut what: impl FnMut() -> Result<T, Errno>,
) -> Poll<io::Result<T>> {
    loop {
        ready!(socket.poll_write_ready(cx))?;
        match socket.try_io(Interest::WRITABLE, || Ok(what()?)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    /// Two ends of a connection.
    pub(in crate::http1) async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (one, other) = tokio::join!(connecting, listener.accept());
        (one.unwrap(), other.unwrap().0)
    }

    #[tokio::test]
    async fn all_that_comes_is_read_however_small_the_room() {
        let (mut server, mut client) = pair().await;
        for size in [1, 7, 100, 4096] {
            server.write_all(&[b'x'; 100]).await.unwrap();
            let (mut room, mut read) = (vec![0; size], 0);
            while read < 100 {
                read += poll_fn(|cx| poll_read(cx, &mut client, &mut room)).await.unwrap();
            }
            let nothing = poll_fn(|cx| Poll::Ready(poll_read(cx, &mut client, &mut room)));
            assert!(nothing.await.is_pending(), "there is no more");
        }
        drop(server);
        let end = poll_fn(|cx| poll_read(cx, &mut client, &mut [0; 10])).await.unwrap();
        assert_eq!(end, 0);
    }
}
