//! What the bytes of a connection to a server go through.
//!
//! Owns: TCP and Unix sockets as one type, and TLS over both. May touch: [`crate::http1`].
//! [`super::connect`] opens one.

use crate::http1::socket::Socket;
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

/// A socket to a server.
#[derive(Debug)]
pub enum Bare {
    /// TCP.
    Tcp(TcpStream),
    /// A socket on this machine.
    Unix(UnixStream),
}

/// What the bytes of a connection to a server go through.
#[derive(Debug)]
pub enum Wire {
    /// The socket alone.
    Plain(Bare),
    /// TLS. Boxed: it is large.
    Tls(Box<TlsStream<Bare>>),
}

impl Wire {
    /// The socket below.
    fn bare(&self) -> &Bare {
        match self {
            Self::Plain(bare) => bare,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether a TLS handshake has agreed on HTTP/2.
    pub fn has_agreed_on_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    /// The other end's address, over TCP.
    pub fn peer(&self) -> Option<SocketAddr> {
        match self.bare() {
            Bare::Tcp(stream) => stream.peer_addr().ok(),
            Bare::Unix(_) => None,
        }
    }

    /// Whether the server has closed it, or sent something without a request. Uses only what the
    /// reactor already knows; `thorough` also asks the kernel.
    pub fn is_dead(&mut self, thorough: bool) -> bool {
        if let Self::Tls(stream) = self {
            // Bytes that have come may be only a TLS session ticket for the next connection.
            let mut byte = [0];
            let mut cx = Context::from_waker(Waker::noop());
            if Pin::new(&mut **stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready() {
                return true;
            }
        }
        let peeked = match self {
            _ if thorough => peek(self.bare()),
            Self::Tls(_) => return false,
            Self::Plain(Bare::Tcp(stream)) => stream.try_read(&mut [0]),
            Self::Plain(Bare::Unix(stream)) => stream.try_read(&mut [0]),
        };
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// TLS has a message for the end, so that the server can tell the end from an attack (RFC 8446
/// §6.1).
impl Drop for Wire {
    fn drop(&mut self) {
        if let Self::Tls(stream) = self {
            // If it can't be sent at once, it is not worth waiting for.
            let _ = Pin::new(&mut **stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

fn peek(bare: &Bare) -> io::Result<usize> {
    let mut byte = [MaybeUninit::uninit(); 1];
    match bare {
        Bare::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
        Bare::Unix(stream) => SockRef::from(stream).peek(&mut byte),
    }
}

impl Socket for Wire {
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(Bare::Tcp(stream)) => Some(stream),
            Self::Plain(Bare::Unix(_)) | Self::Tls(_) => None,
        }
    }
}

/// Passes a call on to the stream, of whichever kind it is.
macro_rules! pass {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Bare::Tcp($stream) => $call,
            Bare::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Bare {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        pass!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Bare {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        pass!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        pass!(self, stream => Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pass!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pass!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// Passes a call on to the first layer that the bytes go through.
macro_rules! through {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Wire::Plain($stream) => $call,
            Wire::Tls(tls) => {
                let $stream = &mut **tls;
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Wire::Tls(stream) => {
                let read = Pin::new(&mut **stream).poll_read(cx, buffer);
                if stream.get_ref().1.wants_write() {
                    // Send what rustls answers to what it has read, such as a new key. A failure
                    // shows at the next write.
                    let _ = Pin::new(&mut **stream).poll_flush(cx);
                }
                read
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        through!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        through!(self, stream => Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
