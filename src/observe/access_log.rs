//! One line a request, written by a thread of its own.
//!
//! Owns: the bounded buffers between workers and writer, and the file. May touch:
//! [`super::access_line`], which has the line's form. A full buffer drops the line and counts it: a
//! slow disk never slows a request.

use super::access_line::{Format, Line, Lines};
use prometheus::IntCounter;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// Lines are gathered this long before they are written together.
const GATHER: Duration = Duration::from_millis(50);

/// At the end of the process, a reader of the log that takes nothing is waited for this long.
const LAST_LINES: Duration = Duration::from_secs(1);

/// An open access log. Dropping it lets the writer write what is left and end.
pub struct AccessLog {
    shared: Arc<Shared>,
    /// Closed when the writer has ended.
    writing: Mutex<mpsc::Receiver<()>>,
}

struct Shared {
    format: Format,
    path: Option<PathBuf>,
    /// One per worker, so that workers never wait for one another.
    buffers: Box<[Mutex<Lines>]>,
    limit: usize,
    dropped: IntCounter,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Default)]
struct Signal {
    lines: bool,
    reopen: bool,
    stop: bool,
}

impl AccessLog {
    /// Opens the file, or stdout, and starts the writer. `limit` bytes may wait for it.
    pub fn open(
        path: Option<&Path>,
        format: Format,
        workers: usize,
        limit: usize,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let sink = Sink::open(path)?;
        let shared = Arc::new(Shared {
            format,
            path: path.map(Path::to_owned),
            buffers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            limit: limit / workers.max(1),
            dropped,
            signal: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = Arc::clone(&shared);
        let (held, writing) = mpsc::channel();
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.write(sink);
            drop(held);
        })?;
        Ok(Self { shared, writing: Mutex::new(writing) })
    }

    /// Adds a line. `worker` chooses the buffer.
    pub fn record(&self, worker: usize, line: &Line<'_>) {
        let Shared { format, buffers, limit, dropped, .. } = &*self.shared;
        let mut buffer = lock(&buffers[worker % buffers.len()]);
        let before = buffer.bytes.len();
        if before >= *limit {
            drop(buffer);
            dropped.inc();
            return;
        }
        buffer.add(*format, line);
        drop(buffer);
        if before == 0 {
            self.shared.signal(|signal| signal.lines = true);
        }
    }

    /// Opens the file anew, after it was moved away.
    pub fn reopen(&self) {
        self.shared.signal(|signal| signal.reopen = true);
    }

    /// Writes what is left and ends the writer; for the end of the process.
    pub fn finish(&self) {
        self.shared.signal(|signal| signal.stop = true);
        // A writer that panicked has been logged by the panic hook.
        if lock(&self.writing).recv_timeout(LAST_LINES) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("nobody reads the access log: its last lines are lost");
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.signal(|signal| signal.stop = true);
    }
}

impl Shared {
    fn signal(&self, change: impl FnOnce(&mut Signal)) {
        change(&mut lock(&self.signal));
        self.changed.notify_one();
    }

    fn write(&self, mut sink: Sink) {
        let mut spare = Vec::new();
        loop {
            let signal = self.wait();
            if !signal.stop && !signal.reopen {
                thread::sleep(GATHER);
            }
            for buffer in &self.buffers {
                std::mem::swap(&mut lock(buffer).bytes, &mut spare);
                sink.write(&spare);
                spare.clear();
            }
            if signal.reopen {
                self.reopen(&mut sink);
            }
            if signal.stop {
                return;
            }
        }
    }

    fn wait(&self) -> Signal {
        let idle = lock(&self.signal);
        let waited = self.changed.wait_while(idle, |it| !(it.lines || it.reopen || it.stop));
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner))
    }

    fn reopen(&self, sink: &mut Sink) {
        let Some(path) = &self.path else { return };
        match Sink::open(Some(path)) {
            Ok(opened) => *sink = opened,
            Err(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "the access log can't be reopened; the old file is written on");
            }
        }
    }
}

struct Sink {
    file: Option<File>,
    failing: bool,
}

impl Sink {
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: path.map(open).transpose()?, failing: false })
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(lines),
            None => io::stdout().lock().write_all(lines),
        };
        match written {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "the access log can't be written; its lines are lost");
            }
            Err(_) => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
