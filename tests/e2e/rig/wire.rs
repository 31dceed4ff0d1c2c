//! HTTP/1 messages read off a socket, byte for byte: what servers and clients of the rig share.

use std::io::{self, ErrorKind, Read};

/// Reads messages, keeping what comes past one for the next.
pub struct Reader<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// One read more; 0 is the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    return Ok(n);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Through the first `end`, which is included.
    fn through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut searched: usize = 0;
        loop {
            let from = searched.saturating_sub(end.len());
            if let Some(at) = self.buffer[from..].windows(end.len()).position(|w| w == end) {
                return Ok(self.buffer.drain(..from + at + end.len()).collect());
            }
            searched = self.buffer.len();
            if self.fill()? == 0 {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("closed after {:?}", String::from_utf8_lossy(&self.buffer)),
                ));
            }
        }
    }

    /// Whether a message has begun; false at a clean end.
    pub fn begun(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.fill()? > 0)
    }

    /// What has come, or comes next; nothing at the end.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        self.begun()?;
        Ok(std::mem::take(&mut self.buffer))
    }

    pub fn head(&mut self) -> io::Result<Head> {
        Ok(Head { raw: String::from_utf8_lossy(&self.through(b"\r\n\r\n")?).into_owned() })
    }

    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill()? == 0 {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("truncated: {} of {length} bytes", self.buffer.len()),
                ));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything until the end.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill()? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// A chunked body and its trailer section.
    pub fn chunked(&mut self) -> io::Result<(Vec<u8>, Head)> {
        let mut body = Vec::new();
        loop {
            let line = self.through(b"\r\n")?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| {
                io::Error::new(ErrorKind::InvalidData, format!("chunk size {line:?}"))
            })?;
            if size == 0 {
                return Ok((body, self.trailers()?));
            }
            body.extend(self.exactly(size)?);
            if self.exactly(2)? != b"\r\n" {
                return Err(io::Error::new(ErrorKind::InvalidData, "no CRLF after a chunk"));
            }
        }
    }

    fn trailers(&mut self) -> io::Result<Head> {
        let mut raw = String::from("\r\n");
        loop {
            let line = self.through(b"\r\n")?;
            raw.push_str(&String::from_utf8_lossy(&line));
            if line == b"\r\n" {
                return Ok(Head { raw });
            }
        }
    }

    /// The body of a request with this head.
    pub fn request_body(&mut self, head: &Head) -> io::Result<(Vec<u8>, Head)> {
        if head.is_chunked() {
            return self.chunked();
        }
        Ok((self.exactly(head.content_length().unwrap_or(0))?, Head::default()))
    }

    /// One whole final response to a request with this method; 1xx before it are collected.
    pub fn response(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.head()?;
            match head.status() {
                Some(100 | 102..=199) => interim.push(head),
                Some(_) => break head,
                None => return Err(io::Error::new(ErrorKind::InvalidData, head.raw)),
            }
        };
        let status = head.status().unwrap_or(0);
        let mut trailers = Head::default();
        let body = if method == "HEAD" || matches!(status, 101 | 204 | 304) {
            Vec::new()
        } else if head.is_chunked() {
            let (body, fields) = self.chunked()?;
            trailers = fields;
            body
        } else if let Some(length) = head.content_length() {
            self.exactly(length)?
        } else {
            self.rest()?
        };
        Ok(Response { status, head, body, trailers, interim })
    }
}

/// A start line and its fields, as received.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub raw: String,
}

impl Head {
    /// The start line.
    pub fn start(&self) -> &str {
        self.raw.split("\r\n").next().unwrap_or_default()
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// Every value of a field, in order.
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let lines = self.raw.split("\r\n").skip(1);
        let pairs = lines.filter_map(|line| line.split_once(':'));
        pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    pub fn method(&self) -> &str {
        self.start().split(' ').next().unwrap_or_default()
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.start().split(' ').nth(1).unwrap_or_default()
    }

    /// The target's path.
    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    pub fn status(&self) -> Option<u16> {
        self.start().strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
    }

    pub fn is_chunked(&self) -> bool {
        self.fields("transfer-encoding").iter().any(|v| v.to_ascii_lowercase().contains("chunked"))
    }

    pub fn content_length(&self) -> Option<usize> {
        self.field("content-length")?.parse().ok()
    }

    /// Whether the sender means to close after this message.
    pub fn closes(&self) -> bool {
        self.fields("connection").iter().any(|v| v.to_ascii_lowercase().contains("close"))
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Head,
    pub interim: Vec<Head>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }
}
