//! What a request costs in heap allocations, by the real daemon in this process.
//!
//! Owns: the numbers. If a change adds an allocation to every request, this test fails; if a change
//! removes one, lower the number here. May touch: [`sheave::daemon::run`] and nothing below it. It
//! is a binary of its own with one test, because its allocator counts for the whole process. The
//! client and the server are in the process, too, so they allocate nothing per request. Nothing
//! here depends on time.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const WARM_UP: u64 = 200;
const COUNTED: u64 = 1000;

/// Timers, the check of a file on the disk, the log's blocks.
const BACKGROUND: f64 = 0.1;

/// Of every request, read off a profile of this test:
/// - `http1::buffers`: the owner of the block that was read into;
/// - `http1::request_head`: the fields' text, and the target with its host;
/// - `client::http1`: the exchange's future, which is boxed;
/// - `proxy::record`: the record.
const REQUEST: f64 = 5.0;
/// And of a proxied one: the future of the action (`proxy`) and the owner of the block with the
/// response (`http1::buffers`). Two small futures are cheaper than one past 1 KiB, which mimalloc
/// hands out by a slower way.
const PROXIED: f64 = REQUEST + 2.0;
/// And of a file from memory: nothing more.
const FILE_IN_MEMORY: f64 = REQUEST;
/// And of `respond`: nothing more, its fields and its body were made when the config was built.
const RESPOND: f64 = REQUEST;
/// And of a cached response: its URL, its fields and their owner, and the owner of its body.
const CACHED: f64 = REQUEST + 4.0;

#[test]
fn a_request_allocates_no_more_than_it_did() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let origin = origin();
    let quiet = Daemon::start(origin, false);
    let logging = Daemon::start(origin, true);
    for (what, daemon, path, body, most) in [
        ("proxied", &quiet, "/proxied", ORIGIN_BODY, PROXIED),
        ("a file", &quiet, "/files/10k.bin", FILE.len(), FILE_IN_MEMORY),
        ("respond", &quiet, "/respond", 3, RESPOND),
        ("from the cache", &quiet, "/cached", ORIGIN_BODY, CACHED),
        // The access log's line allocates nothing.
        ("proxied, logged", &logging, "/proxied", ORIGIN_BODY, PROXIED),
        ("respond, logged", &logging, "/respond", 3, RESPOND),
    ] {
        let blocks = daemon.blocks_per_request(path, body);
        assert!(blocks <= most + BACKGROUND, "{what}: {blocks} blocks a request, not {most}");
        // An optimised build may do without some.
        assert!(
            cfg!(not(debug_assertions)) || blocks > most - 1.0,
            "{what}: {blocks} blocks a request: lower the number here"
        );
    }
}

const ORIGIN_BODY: usize = 35;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: origin\r\n\
    content-length: 35\r\n\r\nabcdefghijklmnopqrstuvwxyz012345678";
const FILE: [u8; 10 * 1024] = [b'x'; 10 * 1024];

/// A server that gives one answer, out of fixed memory.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer_all(stream));
        }
    });
    address
}

fn answer_all(mut stream: TcpStream) {
    let (mut buffer, mut filled) = ([0; 4096], 0);
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(ANSWER).is_err() {
                return;
            }
        }
    }
}

/// A daemon on a thread of its own, to the end of the process.
struct Daemon {
    address: SocketAddr,
    _directory: TempDir,
}

impl Daemon {
    fn start(origin: SocketAddr, log: bool) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let config = config(directory.path(), address, origin, log);
        thread::spawn(move || {
            if let Err(error) = sheave::daemon::run(&config) {
                panic!("{error}");
            }
        });
        Self { address, _directory: directory }
    }

    /// Blocks for one request among many on one connection.
    fn blocks_per_request(&self, path: &str, body: usize) -> f64 {
        let mut client = Client::connect(self.address);
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: test\r\n\r\n");
        let mut ask = |times| (0..times).for_each(|_| client.ask(request.as_bytes(), body));
        ask(WARM_UP);
        let before = dhat::HeapStats::get().total_blocks;
        ask(COUNTED);
        (dhat::HeapStats::get().total_blocks - before) as f64 / COUNTED as f64
    }
}

/// One that was free a moment ago: the daemon's log is not to be read from within its process.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

fn config(directory: &Path, address: SocketAddr, origin: SocketAddr, log: bool) -> PathBuf {
    // Apart from the config, whose directory is watched.
    let [files, logs] = ["files", "logs"].map(|it| directory.join(it));
    fs::create_dir(&files).expect("a directory");
    fs::create_dir(&logs).expect("a directory");
    fs::write(files.join("10k.bin"), FILE).expect("a file");
    let mut text = format!(
        r#"
workers = 1

[listener.http]
address = "{address}"

[admin]
address = "127.0.0.1:0"

[upstream.origin]
servers = [{{ address = "{origin}" }}]

[[site]]

[[site.route]]
path = "/respond"
respond = {{ status = 200, body = "yes" }}

[[site.route]]
path = "/files/*"
strip_prefix = "/files"
files.root = "{files}"

[[site.route]]
path = "/cached"
upstream = "origin"
cache = {{ store = "main", default_ttl = "1d" }}

[[site.route]]
path = "/*"
upstream = "origin"

[cache.main]
memory = "64MiB"
"#,
        files = files.display()
    );
    if log {
        let path = logs.join("access.log").display().to_string();
        text += "\n[access_log]\nformat = \"json\"\npath = \"";
        text += &path;
        text += "\"\n";
    }
    let config = directory.join("sheave.toml");
    fs::write(&config, text).expect("a config");
    config
}

/// Reads into fixed memory.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// As soon as the daemon listens.
    fn connect(address: SocketAddr) -> Self {
        for _ in 0..1000 {
            if let Ok(stream) = TcpStream::connect(address) {
                stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
                return Self { stream, buffer: vec![0; 32 * 1024] };
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("nobody listens on {address}");
    }

    /// One request, and its answer with a body of `length` bytes.
    fn ask(&mut self, request: &[u8], length: usize) {
        self.stream.write_all(request).expect("the daemon reads");
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).expect("the daemon answers");
            assert!(read > 0, "the daemon closed the connection");
            filled += read;
            let answer = &self.buffer[..filled];
            let Some(end) = answer.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(answer));
            if filled == end + 4 + length {
                return;
            }
        }
    }
}
