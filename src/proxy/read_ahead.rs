//! Reads a response from its server ahead of a slow HTTP/2 client.
//!
//! Owns: a bounded queue between a task that reads and the body that hyper pulls. May touch:
//! any body. hyper pulls a body no faster than the client's window allows. Without
//! the queue the server's connection would be held as long, or a request that is still being sent
//! would stop. Used only for bodies that fit into the queue and have not come whole with the head.

use super::delivery::{Taken, hold};
use crate::{
    message::body::{Body, BodyError, Length, Polled, Source, Want},
    task,
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

/// The client's end of the queue.
pub struct ReadAhead {
    queue: Arc<Mutex<Queue>>,
    length: Option<u64>,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Taken>,
    bytes: usize,
    /// Of the two parts that were handed out last, which HTTP/2 may still hold.
    handed: [usize; 2],
    ended: bool,
    abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl ReadAhead {
    /// Reads `body` from now on, holding up to `limit` bytes (one read more at most).
    pub fn new(mut body: Body, limit: usize) -> Self {
        let length = body.length().exact();
        let queue = Arc::new(Mutex::new(Queue::default()));
        let shared = Arc::clone(&queue);
        task::spawn(async move {
            let ending = Ending(shared);
            poll_fn(|cx| fill(&ending.0, &mut body, limit, cx)).await;
            // Only now, so that the lease and the connection are back before the client sees the
            // end.
            drop(body);
            drop(ending);
        });
        Self { queue, length }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        let mut queue = lock(&self.queue);
        let Some(frame) = queue.frames.pop_front() else {
            if queue.ended {
                return Poll::Ready(None);
            }
            queue.reader = Some(cx.waker().clone());
            queue.wake_writer();
            return Poll::Pending;
        };
        let size = size(&frame);
        queue.bytes -= size;
        queue.handed = [size, queue.handed[0]];
        if let Some(length) = &mut self.length {
            *length = length.saturating_sub(size as u64);
        }
        queue.wake_writer();
        Poll::Ready(Some(frame))
    }
}

impl Source for ReadAhead {
    fn poll_part(&mut self, cx: &mut Context<'_>, _: Want) -> Polled {
        self.poll_frame(cx)
    }

    fn length(&self) -> Length {
        let queue = lock(&self.queue);
        if queue.frames.is_empty() && (queue.ended || self.length == Some(0)) {
            return Length::None;
        }
        self.length.map_or(Length::Unknown, Length::Exact)
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.abandoned = true;
        queue.wake_writer();
    }
}

impl Queue {
    /// How many bytes may be read now. hyper asks for a part once it has given the one before to h2: while
    /// it waits, it holds only that one.
    fn room(&self, limit: usize) -> usize {
        if self.reader.is_some() && self.frames.is_empty() {
            return usize::MAX;
        }
        limit.saturating_sub(self.bytes + self.handed[0] + self.handed[1])
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn push(&mut self, frame: Taken) {
        self.bytes += size(&frame);
        hold(&mut self.frames, frame);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// Ends the queue, however the task that fills it comes to its end.
struct Ending(Arc<Mutex<Queue>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        if std::thread::panicking() {
            let panicked = io::Error::other("the task that reads the response panicked");
            queue.push(Err(BodyError::Reset(panicked)));
        }
        queue.end();
    }
}

/// Ready when the body has ended, or when it is no longer wanted.
fn fill(shared: &Mutex<Queue>, body: &mut Body, limit: usize, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let room = {
            let mut queue = lock(shared);
            // Also wakes a task that waits for the server when the client goes away.
            queue.writer = Some(cx.waker().clone());
            if queue.abandoned {
                return Poll::Ready(());
            }
            queue.room(limit)
        };
        // Without room the request is still sent: some clients take nothing until they have sent all.
        let frame = ready!(body.poll_part(cx, Want { most: room, may_move: false }));
        let Some(frame) = frame else { return Poll::Ready(()) };
        let failed = frame.is_err();
        lock(shared).push(frame);
        if failed || body.is_ended() {
            return Poll::Ready(());
        }
    }
}

/// The bytes of a part.
fn size(part: &Taken) -> usize {
    part.as_ref().map_or(0, |part| part.size() as usize)
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
