//! A client's socket, plain or TLS.
//!
//! Owns: reading, writing, and the ways to end. May touch: [`crate::http1`].

use crate::http1::socket::Socket;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

/// How long to read on after an answer that ends the connection while the client still sends: in
/// all, and while nothing comes. Closing with unread bytes resets the connection, and the client
/// may lose the answer (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(30);
const LINGER_IDLE: Duration = Duration::from_secs(2);

/// How many outgoing bytes TLS holds, at least and at most. It takes a whole part of a body, so
/// that the part's block is free again.
const TLS_HOLDS: (usize, usize) = (32 * 1024, 64 * 1024);

/// A client's socket.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS. Boxed: it is large.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => {
                let read = Pin::new(&mut **stream).poll_read(cx, buffer);
                if stream.get_ref().1.wants_write() {
                    // Send what rustls answers to what it has read, such as `no_renegotiation` or a
                    // new key. Otherwise it would wait until something else is written. A failure
                    // shows at the next write.
                    let _ = Pin::new(&mut **stream).poll_flush(cx);
                }
                read
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Socket for Stream {
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(_) => None,
        }
    }
}

impl Stream {
    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Writes some last bytes, if they are taken soon.
    pub async fn say(&mut self, bytes: &[u8]) {
        let saying = async {
            self.write_all(bytes).await?;
            self.flush().await
        };
        // The connection ends in any case.
        let _ = timeout(LINGER_IDLE, saying).await;
    }

    /// Lets TLS hold what it is given in parts of `part` bytes, within limits.
    pub fn hold_at_most(&mut self, part: usize) {
        if let Self::Tls(stream) = self {
            let (least, most) = TLS_HOLDS;
            stream.get_mut().1.set_buffer_limit(Some(part.clamp(least, most)));
        }
    }

    /// Closes our side and reads what still comes, so that the client gets to read our answer.
    pub async fn linger(&mut self) {
        let drain = async {
            timeout(LINGER_IDLE, self.shutdown()).await??;
            let mut buffer = vec![0; 16 * 1024];
            while timeout(LINGER_IDLE, self.read(&mut buffer)).await?? > 0 {}
            io::Result::Ok(())
        };
        // The socket is closed in any case.
        let _ = timeout(LINGER, drain).await;
    }

    /// Dropping it will reset the connection: the client must not take what has come for all.
    pub fn reset_at_close(&self) {
        // If the client has reset it before, there is nothing to tell.
        let _ = self.tcp().set_zero_linger();
    }

    /// With TLS, sends `close_notify`, so that the end can't be mistaken for an attack. Without
    /// TLS, TCP's own end is enough.
    pub async fn close(&mut self) {
        if let Self::Tls(_) = self {
            let _ = timeout(LINGER_IDLE, self.shutdown()).await;
        }
    }
}
