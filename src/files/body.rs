//! The body of a response with a file.
//!
//! Owns: sending exactly as many bytes as were announced, in bounded memory. May touch: the open
//! file, in the blocking pool. Next: the connection, which polls it.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::document::Twin;
use crate::http1::{
    buffers::{self, SMALL},
    moved::{self, InFile, Moved, WORTH_MOVING},
};
use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

/// How much is read at a time, until the connection says otherwise.
const CHUNK: u64 = SMALL as u64;

/// The body of a response with a file.
#[derive(Debug, Default)]
pub enum FileBody {
    /// Nothing, or nothing more.
    #[default]
    Empty,
    /// From memory.
    Full(Bytes),
    /// From memory, or moved by the kernel out of the file that it was read from.
    Twin(Box<Twinned>),
    /// From the disk.
    Reader(Reader),
}

/// The rest of a file that is held in memory and open, too.
#[derive(Debug)]
pub struct Twinned {
    bytes: Bytes,
    twin: Twin,
    /// Where in the file `bytes` begin.
    at: u64,
}

impl Twinned {
    fn moved(&mut self) -> Option<Moved> {
        let part = InFile::at_hand(self.twin.file()?, self.at, self.bytes.len() as u64)?;
        let moved = Moved::InFile(part);
        self.bytes.advance(moved.left() as usize);
        self.at += moved.left();
        Some(moved)
    }
}

impl FileBody {
    /// The `length` bytes from `start` on of a file that is held.
    pub(super) fn held(bytes: &Bytes, twin: Option<&Twin>, start: u64, length: u64) -> Self {
        let bytes = bytes.slice(start as usize..(start + length) as usize);
        match twin {
            Some(twin) if length >= WORTH_MOVING => {
                Self::Twin(Box::new(Twinned { bytes, twin: twin.clone(), at: start }))
            }
            _ => bytes.into(),
        }
    }

    /// The next part for the kernel to move, if it can be had without waiting for a disk.
    pub fn moved(&mut self) -> Option<Moved> {
        let (moved, left) = match self {
            Self::Twin(twinned) => (twinned.moved()?, twinned.bytes.len() as u64),
            Self::Reader(reader) => (reader.moved()?, reader.left),
            Self::Empty | Self::Full(_) => return None,
        };
        if left == 0 {
            *self = Self::Empty;
        }
        Some(moved)
    }

    /// Reads no more than `bytes` at a time from now on.
    pub fn read_at_most(&mut self, bytes: usize) {
        if let Self::Reader(reader) = self {
            reader.chunk = bytes as u64;
        }
    }

    /// The `length` bytes of `file` from `start` on.
    pub(super) fn from_file(file: Arc<File>, start: u64, length: u64) -> Self {
        if length == 0 {
            return Self::Empty;
        }
        Self::Reader(Reader { file, next: start, left: length, chunk: CHUNK, reading: None })
    }
}

impl From<Bytes> for FileBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Self::Reader(reader) = &mut *self {
            let read = ready!(reader.poll_read(context));
            if read.is_err() || reader.left == 0 {
                *self = Self::Empty;
            }
            return Poll::Ready(Some(read.map(Frame::data)));
        }
        match std::mem::take(&mut *self) {
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Self::Twin(twinned) => Poll::Ready(Some(Ok(Frame::data(twinned.bytes)))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Empty => 0,
            Self::Full(bytes) => bytes.len() as u64,
            Self::Twin(twinned) => twinned.bytes.len() as u64,
            Self::Reader(reader) => reader.left,
        })
    }
}

/// A part of a file, read as it is taken.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    /// Where the next read starts.
    next: u64,
    /// Announced and not yet given out.
    left: u64,
    /// How many bytes are read at a time.
    chunk: u64,
    /// The chunk being read, where it has to come from the disk.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reader {
    /// The next part, unless it is being read already or would have to be.
    fn moved(&mut self) -> Option<Moved> {
        if self.reading.is_some() {
            return None;
        }
        let moved = Moved::InFile(InFile::at_hand(&self.file, self.next, self.left)?);
        self.next += moved.left();
        self.left -= moved.left();
        Some(moved)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let size = self.left.min(self.chunk) as usize;
        let at_hand = if self.reading.is_none() { self.read_at_hand(size) } else { None };
        let read = if let Some(read) = at_hand {
            read
        } else {
            let reading = self.reading.take().unwrap_or_else(|| self.start(size));
            let reading = self.reading.insert(reading);
            ready!(Pin::new(reading).poll(context)).map_err(io::Error::other)?
        };
        self.reading = None;
        let chunk = read?;
        if chunk.is_empty() {
            // The file has become shorter: a short body must never pass for whole.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.next += chunk.len() as u64;
        self.left -= chunk.len() as u64;
        Poll::Ready(Ok(chunk))
    }

    /// The next chunk, or its beginning, if the kernel has it in memory: a worker must not wait for a
    /// disk.
    fn read_at_hand(&self, size: usize) -> Option<io::Result<Bytes>> {
        let read =
            buffers::read_up_to(size, |room| moved::read_at_hand(&self.file, room, self.next));
        // Not in memory, or a file system that can't tell.
        (!matches!(&read, Err(error) if moved::is_not_at_hand(error))).then_some(read)
    }

    /// Starts to read the next chunk where waiting harms nobody.
    fn start(&self, size: usize) -> JoinHandle<io::Result<Bytes>> {
        let (file, at) = (Arc::clone(&self.file), self.next);
        tokio::task::spawn_blocking(move || {
            buffers::read_up_to(size, |room| file.read_at(room, at))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::Write;

    /// A file of `size` bytes that are all different from their neighbours.
    fn file(size: u64) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        (file, bytes)
    }

    #[tokio::test]
    async fn sends_exactly_the_part() {
        let (file, bytes) = file(3 * CHUNK + 7);
        let file = Arc::new(file);
        for (start, length) in [
            (0, 3 * CHUNK + 7),
            (1, 1),
            (5, CHUNK),
            (CHUNK - 1, CHUNK + 2),
            (9, 3 * CHUNK - 2),
            (3, 0),
        ] {
            let body = FileBody::from_file(Arc::clone(&file), start, length);
            assert_eq!(body.size_hint().exact(), Some(length));
            assert_eq!(body.is_end_stream(), length == 0);
            let sent = body.collect().await.expect("sent").to_bytes();
            assert!(sent == bytes[start as usize..(start + length) as usize], "{start}+{length}");
        }
    }

    #[tokio::test]
    async fn chunks_held_by_others_are_not_overwritten() {
        let (file, bytes) = file(8 * CHUNK);
        let mut body = FileBody::from_file(Arc::new(file), 0, 8 * CHUNK);
        let mut held = Vec::new();
        while let Some(frame) = body.frame().await {
            let chunk = frame.expect("read").into_data().expect("data");
            assert!(chunk.len() as u64 <= CHUNK);
            // Every other one is let go, to be used again.
            held.push(if held.len() % 2 == 0 { Some(chunk) } else { None });
            assert_eq!(body.size_hint().exact(), Some((8 - held.len() as u64) * CHUNK));
        }
        for (at, chunk) in held.iter().enumerate().filter_map(|(at, c)| Some((at, c.as_ref()?))) {
            let start = at * CHUNK as usize;
            assert!(*chunk == bytes[start..start + chunk.len()], "chunk {at}");
        }
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_file_that_shrinks_is_an_error() {
        let (file, _) = file(3 * CHUNK);
        let file = Arc::new(file);
        let mut body = FileBody::from_file(Arc::clone(&file), 0, 3 * CHUNK);
        assert!(body.frame().await.expect("a chunk").is_ok());
        file.set_len(CHUNK / 2).expect("cut");
        let mut sent = CHUNK;
        let error = loop {
            match body.frame().await.expect("never an end that looks whole") {
                Ok(frame) => sent += frame.data_ref().expect("data").len() as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(sent < 3 * CHUNK);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_file_that_grows_is_cut_where_announced() {
        let (mut file, bytes) = file(10);
        file.write_all(b"more").expect("written");
        let body = FileBody::from_file(Arc::new(file), 0, 10);
        assert_eq!(body.collect().await.expect("sent").to_bytes(), bytes);
    }

    #[tokio::test]
    async fn memory_is_sent_in_one_piece() {
        let mut body = FileBody::from(Bytes::from_static(b"abc"));
        assert_eq!(body.size_hint().exact(), Some(3));
        let frame = body.frame().await.expect("one").expect("read");
        assert_eq!(frame.into_data().expect("data"), "abc");
        assert!(body.is_end_stream() && body.frame().await.is_none());
        assert!(FileBody::from(Bytes::new()).is_end_stream());
    }
}
