//! Writes the lines of access logs, on a thread of its own.
//!
//! Owns: the bounded buffers between workers and writer. May touch: [`crate::settings`]. A worker
//! never waits for the writer: each worker has two buffers, and the writer holds at most one
//! of them. The writer takes a worker's lock only to exchange them. If the buffers are full, the
//! line is dropped and counted, unless the config wants the worker to wait.

use super::{
    access_line::{LineForm, WaitingLines},
    line_facts::LineFacts,
    log_losses::Losses,
    log_output::LogOutput,
};
use crate::settings::LogSink;
use prometheus::IntCounter;
use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{
            AtomicBool, AtomicU8, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
        mpsc,
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Lines are gathered for this long, to be written together.
const GATHER: Duration = Duration::from_millis(50);
/// One worker's lines are written once they have this size: more would not fit into the processor's
/// cache.
const ENOUGH: usize = 256 << 10;
/// A worker takes room from the shared limit in portions of this size, so that workers seldom touch
/// the shared count. Its first portion is its own.
const PORTION: usize = 16 << 10;
/// A buffer that has grown beyond this, for example because of a slow disk, is freed.
const KEPT: usize = 1 << 20;

/// A worker that waits for room checks again after this time.
const LOOK: Duration = Duration::from_millis(10);
/// How long the end of the process waits for a reader of the log that takes nothing.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What the writer is told.
const LINES: u8 = 1;
const HURRY: u8 = 1 << 1;
const REOPEN: u8 = 1 << 2;
const STOP: u8 = 1 << 3;

const FULL: &str = "the disk, or who takes them, does not keep up; a larger `buffer` bridges more";
const UNWRITTEN: &str = "the log can't be written";

/// An open file with its writer. Dropping it lets the writer write what is left and end.
pub struct LogWriter {
    shared: Arc<SharedBuffers>,
    writer: Thread,
    /// Disconnected when the writer has ended.
    writing: Mutex<mpsc::Receiver<()>>,
}

struct SharedBuffers {
    /// One place per worker, so that workers never wait for each other.
    places: Box<[BufferPair]>,
    limit: usize,
    /// How many bytes of `limit` are used.
    used: AtomicUsize,
    waits: bool,
    losses: Losses,
    told: AtomicU8,
    ended: AtomicBool,
    /// Wakes workers that wait for room.
    room: (Mutex<()>, Condvar),
}

/// A worker's two buffers, alone in their part of the processor's cache.
#[derive(Default)]
#[repr(align(128))]
struct BufferPair([Mutex<Buffer>; 2]);

#[derive(Default)]
struct Buffer {
    lines: WaitingLines,
    /// Its part of the shared room, in addition to its first portion.
    granted: usize,
}

impl BufferPair {
    /// The buffer that the writer does not hold.
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        for buffer in &self.0 {
            match buffer.try_lock() {
                Ok(buffer) => return buffer,
                Err(TryLockError::Poisoned(buffer)) => return buffer.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        lock(&self.0[0])
    }
}

impl LogWriter {
    /// Opens the sink and starts the writer, for so many threads that record.
    pub fn start(sink: &LogSink, workers: usize, dropped: IntCounter) -> io::Result<Self> {
        let output = LogOutput::open(&sink.target)?;
        let shared = Arc::new(SharedBuffers {
            places: (0..workers.max(1)).map(|_| BufferPair::default()).collect(),
            limit: sink.buffer,
            used: AtomicUsize::new(0),
            waits: sink.waits,
            losses: Losses::new(dropped),
            told: AtomicU8::new(0),
            ended: AtomicBool::new(false),
            room: Default::default(),
        });
        let writer = Arc::clone(&shared);
        let (held, writing) = mpsc::channel();
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            let _ended = Ended(&writer.ended);
            writer.write(output);
            drop(held);
        })?;
        let writer = thread.thread().clone();
        Ok(Self { shared, writer, writing: Mutex::new(writing) })
    }

    /// Adds a line. `worker` chooses the place.
    pub fn record(&self, worker: usize, form: &LineForm, line: &LineFacts<'_>) {
        let shared = &*self.shared;
        let place = &shared.places[worker % shared.places.len()];
        loop {
            let mut buffer = place.lock();
            let before = buffer.lines.bytes.len();
            if before < PORTION + buffer.granted || shared.grant(&mut buffer) {
                buffer.lines.add(form, line);
                let after = buffer.lines.bytes.len();
                drop(buffer);
                if before < ENOUGH && after >= ENOUGH || shared.is_half_full(before, after) {
                    self.tell(HURRY);
                } else if before == 0 {
                    self.tell(LINES);
                }
                return;
            }
            drop(buffer);
            self.tell(HURRY);
            if !shared.waits || shared.ended.load(Acquire) {
                return shared.losses.add(1, FULL);
            }
            shared.await_room();
        }
    }

    /// Opens the file anew, after it was moved away.
    pub fn reopen(&self) {
        self.tell(REOPEN);
    }

    /// How many bytes of the shared room are used, and how many there are.
    pub fn fill(&self) -> (usize, usize) {
        (self.shared.used.load(Relaxed), self.shared.limit)
    }

    /// Whether lines were lost a moment ago.
    pub fn loses_lines(&self) -> bool {
        self.shared.losses.are_recent()
    }

    /// Writes what is left and ends the writer; for the end of the process.
    pub fn finish(&self) {
        self.tell(STOP);
        // A writer that panicked has been logged by the panic hook.
        if lock(&self.writing).recv_timeout(LAST_LINES) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("nobody reads the access log: its last lines are lost");
        }
    }

    /// Tells the writer what to do. Takes no lock, and wakes the writer only if it does not know
    /// yet.
    fn tell(&self, what: u8) {
        if self.shared.told.fetch_or(what, AcqRel) & what == 0 {
            self.writer.unpark();
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.tell(STOP);
    }
}

/// Reports that the writer has ended, even after a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Release);
    }
}

impl SharedBuffers {
    /// Takes as much of the shared room as the buffer's lines need, and a portion. Returns whether
    /// there was enough.
    fn grant(&self, buffer: &mut Buffer) -> bool {
        let over = buffer.lines.bytes.len() + 1 - PORTION - buffer.granted;
        let wanted = over.next_multiple_of(PORTION);
        let take = |used: usize| (used + wanted <= self.limit).then_some(used + wanted);
        let taken = self.used.fetch_update(Relaxed, Relaxed, take).is_ok();
        buffer.granted += if taken { wanted } else { 0 };
        taken
    }

    /// Whether half of all room is used. Checked once per portion.
    fn is_half_full(&self, before: usize, after: usize) -> bool {
        before / PORTION != after / PORTION && self.used.load(Relaxed) >= self.limit / 2
    }

    fn await_room(&self) {
        // A wake-up between the check and this wait is missed. Then the worker checks again after
        // `LOOK`.
        let _ = self.room.1.wait_timeout(lock(&self.room.0), LOOK);
    }

    fn write(&self, mut output: LogOutput) {
        let mut spare = Vec::new();
        loop {
            let told = self.wait();
            let ends = || (told | self.told.load(Acquire)) & STOP != 0;
            for buffer in self.places.iter().flat_map(|place| &place.0) {
                let granted = {
                    let mut buffer = lock(buffer);
                    std::mem::swap(&mut buffer.lines.bytes, &mut spare);
                    std::mem::take(&mut buffer.granted)
                };
                self.losses.add(output.write(&spare, &ends), UNWRITTEN);
                spare.clear();
                spare.shrink_to(KEPT);
                if granted > 0 {
                    self.used.fetch_sub(granted, Relaxed);
                    self.room.1.notify_all();
                }
            }
            if told & REOPEN != 0 {
                output.reopen();
            }
            if told & STOP != 0 {
                return;
            }
        }
    }

    /// Waits for something to do, and then a little longer for more.
    fn wait(&self) -> u8 {
        let mut told = self.told.swap(0, AcqRel);
        while told == 0 {
            thread::park();
            told = self.told.swap(0, AcqRel);
        }
        let until = Instant::now() + GATHER;
        while told == LINES {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
            told |= self.told.swap(0, AcqRel);
        }
        told
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
