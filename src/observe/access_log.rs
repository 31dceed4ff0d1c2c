//! One line a request, written by a thread of its own.
//!
//! Owns: the line's form, the bounded buffers between workers and writer, and the file. May touch:
//! [`crate::message::context`]. A full buffer drops the line and counts it: a slow disk never slows
//! a request.

use crate::message::context::Context;
use http::{HeaderName, StatusCode, Version, header};
use jiff::Timestamp;
use prometheus::IntCounter;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Lines are gathered this long before they are written together.
const GATHER: Duration = Duration::from_millis(50);

/// The line's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// nginx's and Apache's.
    Combined,
}

/// What a line tells beside its [`Context`].
pub struct Line<'a> {
    /// The request.
    pub context: &'a Context,
    /// The host as the client sent it.
    pub host: &'a [u8],
    /// The route's name, or empty.
    pub route: &'a str,
    /// The upstream's name, or empty.
    pub upstream: &'a str,
    /// The server tried last, or empty.
    pub server: &'a str,
    /// Servers tried.
    pub attempts: u32,
    /// From the last attempt's start to its response head.
    pub upstream_time: Option<Duration>,
    /// The answer's status.
    pub status: StatusCode,
    /// Bytes of its body.
    pub sent: u64,
    /// Bytes of the request's body.
    pub received: u64,
    /// From the request's head to the answer's end.
    pub took: Duration,
    /// What went wrong, in one word.
    pub reason: Option<&'static str>,
}

/// An open access log. Dropping it lets the writer write what is left and end.
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

struct Shared {
    format: Format,
    path: Option<PathBuf>,
    /// One per worker, so that workers never wait for one another.
    buffers: Box<[Mutex<Vec<u8>>]>,
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
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new().name("access-log".into());
        let writer = thread.spawn(move || writing.write(sink))?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Adds a line. `worker` chooses the buffer.
    pub fn record(&self, worker: usize, line: &Line<'_>) {
        let Shared { format, buffers, limit, dropped, .. } = &*self.shared;
        let mut buffer = lock(&buffers[worker % buffers.len()]);
        let before = buffer.len();
        if before >= *limit {
            drop(buffer);
            dropped.inc();
            return;
        }
        match format {
            Format::Json => json(&mut buffer, line),
            Format::Combined => combined(&mut buffer, line),
        }
        buffer.push(b'\n');
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
        if let Some(writer) = lock(&self.writer).take() {
            // A writer that panicked has been logged by the panic hook.
            let _ = writer.join();
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
                std::mem::swap(&mut *lock(buffer), &mut spare);
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

fn json(out: &mut Vec<u8>, line: &Line<'_>) {
    let Line { context, .. } = line;
    let head = &context.head;
    let _ = write!(out, "{{\"time\":\"{:.3}\"", came(line));
    string(out, "client", context.client_ip_text().as_bytes());
    string(out, "listener", context.peer.listener.as_bytes());
    string(out, "method", head.method.as_str().as_bytes());
    string(out, "host", line.host);
    string(out, "uri", uri(line).as_bytes());
    string(out, "protocol", protocol(head.version).as_bytes());
    let Line { sent, received, .. } = line;
    let (status, took) = (line.status.as_u16(), line.took.as_secs_f64() * 1000.0);
    let _ = write!(
        out,
        ",\"status\":{status},\"bytes_sent\":{sent},\"bytes_received\":{received},\"duration_ms\":{took:.3}"
    );
    string(out, "route", line.route.as_bytes());
    if !line.upstream.is_empty() {
        string(out, "upstream", line.upstream.as_bytes());
        string(out, "server", line.server.as_bytes());
        let _ = write!(out, ",\"attempts\":{}", line.attempts);
        if let Some(time) = line.upstream_time {
            let _ = write!(out, ",\"upstream_ms\":{:.3}", time.as_secs_f64() * 1000.0);
        }
    }
    string(out, "request_id", context.id.as_str().as_bytes());
    if let Some(reason) = line.reason {
        string(out, "reason", reason.as_bytes());
    }
    string(out, "user_agent", header_bytes(line, &header::USER_AGENT));
    string(out, "referer", header_bytes(line, &header::REFERER));
    out.push(b'}');
}

/// `,"name":"value"`.
fn string(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    escape_json(out, value);
    out.push(b'"');
}

fn escape_json(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0..0x20 | 0x7f => {
                    let _ = write!(out, "\\u{byte:04x}");
                }
                _ => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn combined(out: &mut Vec<u8>, line: &Line<'_>) {
    let head = &line.context.head;
    let time = came(line).strftime("%d/%b/%Y:%H:%M:%S +0000");
    let _ = write!(out, "{} - - [{time}] \"", line.context.client_ip_text());
    escape_combined(out, head.method.as_str().as_bytes());
    out.push(b' ');
    escape_combined(out, uri(line).as_bytes());
    let _ = write!(out, " {}\" {} {} \"", protocol(head.version), line.status.as_u16(), line.sent);
    escape_combined(out, or_dash(header_bytes(line, &header::REFERER)));
    out.extend_from_slice(b"\" \"");
    escape_combined(out, or_dash(header_bytes(line, &header::USER_AGENT)));
    out.push(b'"');
}

fn or_dash(value: &[u8]) -> &[u8] {
    if value.is_empty() { b"-" } else { value }
}

/// nginx's escape: `\xHH`.
fn escape_combined(out: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        if matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f..) {
            let _ = write!(out, "\\x{byte:02X}");
        } else {
            out.push(*byte);
        }
    }
}

fn header_bytes<'a>(line: &'a Line<'_>, name: &HeaderName) -> &'a [u8] {
    line.context.head.headers.get(name).map_or(b"", |value| value.as_bytes())
}

fn uri<'a>(line: &'a Line<'_>) -> &'a str {
    line.context.head.uri.path_and_query().map_or("", |target| target.as_str())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// When the request came, by the wall clock.
fn came(line: &Line<'_>) -> Timestamp {
    let now = Timestamp::now();
    now.checked_sub(line.took).unwrap_or(now)
}
