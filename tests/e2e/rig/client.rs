//! A client that writes exactly the bytes it is given and reads exactly one response.

use super::{
    PATIENCE,
    wire::{Reader, Response},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

/// One connection, plain or (with [`super::secure`]) over TLS.
pub struct Client<S = TcpStream> {
    reader: Reader<S>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the daemon accepts connections")
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { reader: Reader::new(stream) }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the daemon takes what is sent");
    }

    /// Like `send`, for a daemon that may close before it has all bytes.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.stream.write_all(bytes.as_ref())?;
        self.reader.stream.flush()
    }

    pub fn response(&mut self) -> Response {
        self.try_response("GET").expect("a whole response")
    }

    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        self.reader.response(method)
    }

    /// Sends a whole request and reads its response, on this connection.
    pub fn ask(&mut self, request: &str) -> Response {
        self.send(request);
        let method = request.split(' ').next().unwrap_or_default();
        self.try_response(method)
            .unwrap_or_else(|e| panic!("no whole response to {request:?}: {e}"))
    }

    /// `GET path` on this connection.
    pub fn get(&mut self, path: &str) -> Response {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// Everything until the daemon closes.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.reader.rest()
    }

    /// Next byte of the stream arrives, or the end.
    pub fn first_byte(&mut self) -> io::Result<bool> {
        self.reader.begun()
    }

    /// The socket itself.
    pub fn stream(&self) -> &S {
        &self.reader.stream
    }

    /// As in [`Reader::chunked`].
    pub fn chunked(&mut self) -> io::Result<(Vec<u8>, super::wire::Head)> {
        self.reader.chunked()
    }

    /// As in [`Reader::exactly`].
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.reader.exactly(length)
    }

    pub fn head(&mut self) -> io::Result<super::wire::Head> {
        self.reader.head()
    }

    /// Fails unless the daemon closes without another byte.
    pub fn expect_close(&mut self) {
        match self.reader.rest() {
            Ok(rest) => {
                let rest = String::from_utf8_lossy(&rest).into_owned();
                assert!(rest.is_empty(), "the daemon sent more instead of closing: {rest:?}");
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Err(e) => panic!("the daemon did not close: {e}"),
        }
    }
}

/// `GET path` on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Response {
    Client::connect(address).get(path)
}

/// A whole request on a connection of its own.
pub fn ask(address: SocketAddr, request: &str) -> Response {
    Client::connect(address).ask(request)
}

/// `method path` with more header lines (each ended with CRLF) and a body with its length.
pub fn request(method: &str, path: &str, fields: &str, body: &str) -> String {
    let length = match body.len() {
        0 => String::new(),
        n => format!("Content-Length: {n}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}")
}
