//! The body of a response with a file.
//!
//! Owns: sending exactly as many bytes as were announced, in bounded memory. May touch:
//! [`crate::http1`], [`crate::message`]; the open file, in the blocking pool. Next: the connection,
//! which pulls it.

use super::document::{Stamp, Twin};
use crate::{
    http1::{
        buffers,
        moved::{self, InFile, Moved, WORTH_MOVING},
        outgoing::Part,
    },
    message::body::{Body, BodyError, Length, Polled, Source, Want},
};
use bytes::{Buf as _, Bytes};
use http_body::Frame;
use std::{
    fs::File,
    io,
    mem::take,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::task::JoinHandle;

/// The `length` bytes from `start` on of a file that is held in memory.
pub(super) fn held(bytes: &Bytes, twin: Option<&Twin>, start: u64, length: u64) -> Body {
    let bytes = bytes.slice(start as usize..(start + length) as usize);
    match twin {
        Some(twin) if length >= WORTH_MOVING => {
            Body::stream(Twinned { bytes, twin: twin.clone(), at: start })
        }
        _ => bytes.into(),
    }
}

/// The `length` bytes of `file` from `start` on, as they were when it had this stamp.
pub(super) fn from_file(file: Arc<File>, stamp: Stamp, start: u64, length: u64) -> Body {
    if length == 0 {
        return Body::Empty;
    }
    Body::stream(FileReader { file, stamp, next: start, left: length, reading: None })
}

/// The rest of a file that is held in memory and open, too: from memory, or moved by the kernel out
/// of the file that it was read from.
#[derive(Debug)]
struct Twinned {
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

impl Source for Twinned {
    fn poll_part(&mut self, _: &mut Context<'_>, want: Want) -> Polled {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        if want.may_move
            && let Some(moved) = self.moved()
        {
            return Poll::Ready(Some(Ok(Part::Moved(moved))));
        }
        Poll::Ready(Some(Ok(Part::Frame(Frame::data(take(&mut self.bytes))))))
    }

    fn length(&self) -> Length {
        still_to_come(self.bytes.len() as u64)
    }
}

/// A part of a file, read as it is taken.
#[derive(Debug)]
struct FileReader {
    file: Arc<File>,
    stamp: Stamp,
    /// Where the next read starts.
    next: u64,
    /// Announced and not yet given out.
    left: u64,
    /// The chunk being read, where it has to come from the disk.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileReader {
    /// The next part, unless it is being read already or would have to be.
    fn moved(&mut self) -> Option<Moved> {
        // One that was written over is read, and found out.
        if self.reading.is_some() || !self.is_as_it_was() {
            return None;
        }
        let moved = Moved::InFile(InFile::at_hand(&self.file, self.next, self.left)?);
        self.next += moved.left();
        self.left -= moved.left();
        Some(moved)
    }

    fn is_as_it_was(&self) -> bool {
        self.file.metadata().is_ok_and(|it| self.stamp.still_holds(&it))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        let size = self.left.min(most as u64) as usize;
        let at_hand = if self.reading.is_none() { self.read_at_hand(size) } else { None };
        let read = if let Some(read) = at_hand {
            read
        } else {
            let reading = self.reading.take().unwrap_or_else(|| self.start(size));
            let reading = self.reading.insert(reading);
            ready!(Pin::new(reading).poll(cx)).map_err(io::Error::other)?
        };
        self.reading = None;
        let chunk = read?;
        if !self.is_as_it_was() {
            // Half of the old and half of the new is worse than an end.
            return Poll::Ready(Err(io::Error::other("it was written over while it was sent")));
        }
        if chunk.is_empty() {
            // The file has become shorter. A short body must never look complete.
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.next += chunk.len() as u64;
        self.left -= chunk.len() as u64;
        Poll::Ready(Ok(chunk))
    }

    /// The next chunk, or its beginning, if the kernel has it in memory: a worker must not wait for
    /// a disk.
    fn read_at_hand(&self, size: usize) -> Option<io::Result<Bytes>> {
        let read =
            buffers::read_up_to(size, |room| moved::read_at_hand(&self.file, room, self.next));
        // Not in memory, or a file system that can't tell.
        (!matches!(&read, Err(error) if moved::is_not_at_hand(error))).then_some(read)
    }

    /// Starts to read the next chunk on a thread that may wait.
    fn start(&self, size: usize) -> JoinHandle<io::Result<Bytes>> {
        let (file, at) = (Arc::clone(&self.file), self.next);
        tokio::task::spawn_blocking(move || {
            buffers::read_up_to(size, |room| file.read_at(room, at))
        })
    }
}

impl Source for FileReader {
    fn poll_part(&mut self, cx: &mut Context<'_>, want: Want) -> Polled {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if want.may_move
            && let Some(moved) = self.moved()
        {
            return Poll::Ready(Some(Ok(Part::Moved(moved))));
        }
        if want.most == 0 {
            return Poll::Pending;
        }
        let read = ready!(self.poll_read(cx, want.most));
        if read.is_err() {
            self.left = 0;
        }
        let part = read.map(|bytes| Part::Frame(Frame::data(bytes)));
        Poll::Ready(Some(part.map_err(BodyError::File)))
    }

    fn length(&self) -> Length {
        still_to_come(self.left)
    }
}

fn still_to_come(left: u64) -> Length {
    if left == 0 { Length::None } else { Length::Exact(left) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, io::Write};

    const CHUNK: u64 = 16 * 1024;

    async fn next(body: &mut Body) -> Option<Result<Bytes, BodyError>> {
        let want = Want { most: CHUNK as usize, may_move: false };
        let part = poll_fn(|cx| body.poll_part(cx, want)).await?;
        Some(part.map(|part| match part {
            Part::Frame(frame) => frame.into_data().expect("data"),
            Part::Moved(_) => panic!("nobody asked for it"),
        }))
    }

    async fn collected(mut body: Body) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(part) = next(&mut body).await {
            all.extend_from_slice(&part.expect("read"));
        }
        all
    }

    /// A file of `size` bytes that are all different from their neighbours.
    fn file(size: u64) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&bytes).expect("written");
        (file, bytes)
    }

    fn stamp(file: &File) -> Stamp {
        Stamp::of(&file.metadata().expect("metadata"))
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
            let body = from_file(Arc::clone(&file), stamp(&file), start, length);
            assert_eq!(body.length().exact(), Some(length));
            assert_eq!(body.is_ended(), length == 0);
            let sent = collected(body).await;
            assert!(sent == bytes[start as usize..(start + length) as usize], "{start}+{length}");
        }
    }

    #[tokio::test]
    async fn chunks_held_by_others_are_not_overwritten() {
        let (file, bytes) = file(8 * CHUNK);
        let stamp = stamp(&file);
        let mut body = from_file(Arc::new(file), stamp, 0, 8 * CHUNK);
        let mut held = Vec::new();
        while let Some(chunk) = next(&mut body).await {
            let chunk = chunk.expect("read");
            assert!(chunk.len() as u64 <= CHUNK);
            // Every other one is let go, to be used again.
            held.push(if held.len() % 2 == 0 { Some(chunk) } else { None });
            assert_eq!(body.length().exact(), Some((8 - held.len() as u64) * CHUNK));
        }
        for (at, chunk) in held.iter().enumerate().filter_map(|(at, c)| Some((at, c.as_ref()?))) {
            let start = at * CHUNK as usize;
            assert!(*chunk == bytes[start..start + chunk.len()], "chunk {at}");
        }
        assert!(body.is_ended() && next(&mut body).await.is_none());
    }

    #[tokio::test]
    async fn a_file_that_shrinks_is_an_error() {
        let (file, _) = file(3 * CHUNK);
        let file = Arc::new(file);
        let mut body = from_file(Arc::clone(&file), stamp(&file), 0, 3 * CHUNK);
        assert!(next(&mut body).await.expect("a chunk").is_ok());
        file.set_len(CHUNK / 2).expect("cut");
        let mut sent = CHUNK;
        let error = loop {
            match next(&mut body).await.expect("never an end that looks whole") {
                Ok(chunk) => sent += chunk.len() as u64,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, BodyError::File(_)), "{error}");
        assert!(sent < 3 * CHUNK);
        assert!(next(&mut body).await.is_none());
    }

    #[tokio::test]
    async fn a_file_that_is_written_over_is_an_error() {
        let (file, _) = file(3 * CHUNK);
        let mut body =
            from_file(Arc::new(file.try_clone().expect("a file")), stamp(&file), 0, 3 * CHUNK);
        assert!(next(&mut body).await.expect("a chunk").is_ok());
        std::thread::sleep(std::time::Duration::from_millis(20));
        file.write_at(b"new", 2 * CHUNK).expect("written");
        assert!(matches!(next(&mut body).await, Some(Err(BodyError::File(_)))));
        assert!(next(&mut body).await.is_none());
    }

    #[tokio::test]
    async fn a_file_that_grows_is_cut_where_announced() {
        let (mut file, bytes) = file(10);
        let stamp = stamp(&file);
        std::thread::sleep(std::time::Duration::from_millis(20));
        file.write_all(b"more").expect("written");
        let body = from_file(Arc::new(file), stamp, 0, 10);
        assert_eq!(collected(body).await, bytes);
    }
}
