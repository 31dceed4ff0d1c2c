//! The body of a response with a file.
//!
//! Owns: sending exactly as many bytes as were announced, in bounded memory. May touch: the open
//! file, in the blocking pool. Next: the connection, which polls it.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::document::Twin;
use crate::http1::moved::{InFile, Moved, WORTH_MOVING};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

/// Read at once; a slow client holds two of these, the one being sent and the one read ahead.
///
/// Measured over loopback, in processor time for a gigabyte: 0.49 s with 64 KiB, 0.34 to 0.6 s with
/// 128 KiB, 0.35 s with 256 KiB, 0.28 to 0.34 s with 1 MiB. More than 256 KiB wins little and is
/// memory that a thousand slow downloads would make us pay for.
const CHUNK: u64 = 256 * 1024;

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

    /// The `length` bytes of `file` from `start` on.
    pub(super) fn from_file(file: Arc<File>, start: u64, length: u64) -> Self {
        if length == 0 {
            return Self::Empty;
        }
        Self::Reader(Reader { file, next: start, left: length, reading: None, used: None })
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

/// A part of a file, read one chunk ahead of who takes it.
#[derive(Debug)]
pub struct Reader {
    file: Arc<File>,
    /// Where the next read starts.
    next: u64,
    /// Announced and not yet given out.
    left: u64,
    /// The chunk being read, if one is.
    reading: Option<JoinHandle<io::Result<BytesMut>>>,
    /// The chunk given out last, to be read into again if nobody else holds it by then.
    used: Option<Bytes>,
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
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => self.start(self.left),
        };
        let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
            self.reading = Some(reading);
            return Poll::Pending;
        };
        let chunk = read.map_err(io::Error::other)??.freeze();
        self.left -= chunk.len() as u64;
        if self.left > 0 {
            let ahead = self.start(self.left);
            self.reading = Some(ahead);
            self.used = Some(chunk.clone());
        }
        Poll::Ready(Ok(chunk))
    }

    /// Starts to read the next chunk, with `unread` bytes to go.
    fn start(&mut self, unread: u64) -> JoinHandle<io::Result<BytesMut>> {
        let (file, at) = (Arc::clone(&self.file), self.next);
        let size = unread.min(CHUNK);
        self.next += size;
        let mut buffer = self.buffer(size as usize);
        tokio::task::spawn_blocking(move || {
            // A file that has become shorter fails here: a short body must never pass for whole.
            file.read_exact_at(&mut buffer, at)?;
            Ok(buffer)
        })
    }

    /// A chunk that has been sent, or a new one.
    fn buffer(&mut self, size: usize) -> BytesMut {
        let used = self.used.take().and_then(|chunk| chunk.try_into_mut().ok());
        match used {
            Some(mut buffer) if buffer.len() >= size => {
                buffer.truncate(size);
                buffer
            }
            _ => BytesMut::zeroed(size),
        }
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
