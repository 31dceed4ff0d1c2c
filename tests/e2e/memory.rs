//! What one connection and one stream can make the daemon hold, state by state: the numbers of
//! `docs/memory.md`. A number here is the most that is let through, in KiB beside the kernel's own.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server, Step,
    certs::{self, Kind},
    client::{get, request},
    frames,
    secure::Handshake,
    until,
};
use std::{
    any::Any,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// Something that holds connections open.
type Held = Box<dyn Any>;

/// More than the kernel takes for one that reads nothing.
const LARGE: usize = 6 << 20;

struct Scene {
    daemon: Daemon,
    _server: Server,
    http: SocketAddr,
    https: SocketAddr,
}

fn chunked(length: usize) -> Behaviour {
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(1 << 16));
    let chunks = chunk.repeat(length >> 16);
    Behaviour::raw(&format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    ))
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    std::fs::create_dir(dir.path().join("public")).unwrap();
    std::fs::write(dir.path().join("public/large"), vec![7; LARGE]).unwrap();
    let server = Server::start("1");
    server.set_for("/large", Behaviour::status(200, &"x".repeat(LARGE)));
    server.set_for("/fits", Behaviour::status(200, &"x".repeat(30_000)));
    server.set_for("/chunked", chunked(LARGE));
    server.set_for("/hang", Behaviour::hang());
    let fields = "y".repeat(60_000);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: {fields}\r\n\r\nok");
    server.set_for("/head", Behaviour::new([Step::Body, Step::Send(head.into())]));
    let config = Config::to([&server])
        .workers(1)
        .quiet()
        .route("max_body = 0")
        .route_before("path = \"/files/*\"\nstrip_prefix = \"/files\"\nfiles.root = \"public\"")
        .rest(
            "[listener.https]\naddress = \"127.0.0.1:0\"\n\
             tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
        );
    let daemon = Daemon::start_frugal(dir, &config.text());
    let (http, https) = (daemon.http(), daemon.address("https"));
    Scene { daemon, _server: server, http, https }
}

impl Scene {
    /// KiB, once they no longer change and the one worker has seen what was sent before.
    fn memory(&self) -> u64 {
        let mut last = u64::MAX;
        let mut now = 0;
        until("its memory to stay as it is", || {
            (0..5).for_each(|_| assert_eq!(get(self.http, "/").status, 200));
            thread::sleep(Duration::from_millis(200));
            now = self.daemon.anonymous_memory();
            let settled = now.abs_diff(last) <= 64;
            last = now;
            settled
        });
        now
    }

    /// How many KiB each of `count` holds. If it is more than `most`, that may be free blocks, which are
    /// given back in a second or two.
    fn each(&self, count: usize, most: f64, open: impl Fn(&Self, usize) -> Held) -> f64 {
        drop(open(self, 1));
        let labels = [("listener", "http")];
        until("the first to be gone", || {
            self.daemon.count("sheave_connections_open", &labels) <= 1
        });
        let before = self.memory();
        let held = open(self, count);
        let each = || self.memory().saturating_sub(before) as f64 / count as f64;
        let since = Instant::now();
        let mut now = each();
        while now > most && since.elapsed() < Duration::from_secs(5) {
            now = each();
        }
        drop(held);
        now
    }

    /// `count` connections on which the same was said.
    fn say(&self, count: usize, pieces: &[&[u8]]) -> Held {
        let clients = (0..count).map(|_| {
            let mut client = Client::connect(self.http);
            for piece in pieces {
                client.send(piece);
            }
            client
        });
        Box::new(clients.collect::<Vec<_>>())
    }

    fn idle(&self, count: usize, request: &str, then: &str) -> Held {
        let clients = (0..count).map(|_| {
            let mut client = Client::connect(self.http);
            assert_eq!(client.ask(request).status, 200);
            client.send(then);
            client
        });
        Box::new(clients.collect::<Vec<_>>())
    }

    /// `count` TLS connections that ask and take nothing.
    fn tls(&self, count: usize, request: &str) -> Held {
        let handshake = Handshake::offering(&["http/1.1"]);
        let clients = (0..count).map(|_| {
            let (mut client, _) = handshake.connect(self.https, "localhost");
            client.send(request);
            client
        });
        Box::new(clients.collect::<Vec<_>>())
    }

    /// A hundred streams on each connection, and room for `window` bytes of each.
    fn streams(&self, count: usize, window: u32, path: &str) -> Held {
        let clients = (0..count.div_ceil(100)).map(|_| {
            let mut client = frames::connect(self.https, window);
            let streams = (0..count.min(100) as u32).map(|n| 2 * n + 1);
            client.send(streams.flat_map(|n| frames::request(n, "GET", path)).collect::<Vec<_>>());
            client
        });
        let clients = clients.collect::<Vec<_>>();
        let asked = count.div_ceil(100) * count.min(100);
        until("all of them to be under way", || {
            self.daemon.count("sheave_requests_in_flight", &[]) >= asked as u64
        });
        Box::new(clients)
    }
}

/// Fails if each of `count` holds more than `most` KiB. The daemon is a new one, so that no free memory
/// of other states hides what is taken.
fn holds(what: &str, count: usize, most: f64, open: impl Fn(&Scene, usize) -> Held) {
    let each = scene().each(count, most, open);
    eprintln!("{what}: {each:.1} KiB");
    assert!(each <= most, "{what}: {each:.1} KiB each, and {most} at most");
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let asks = |path: &str, fields: &str| request("GET", path, fields, "");
    holds("idle", 300, 4.0, |on, n| on.idle(n, &asks("/", ""), ""));
    let fields = format!("X: {}\r\n", "y".repeat(30_000));
    holds("idle after a large head", 300, 4.0, |on, n| on.idle(n, &asks("/", &fields), ""));
    holds("idle after a large response head", 300, 4.0, |on, n| on.idle(n, &asks("/head", ""), ""));
    holds("idle after an empty line", 300, 4.0, |on, n| on.idle(n, &asks("/", ""), "\r\n"));
}

#[test]
fn a_head_under_way_holds_about_what_came_of_it() {
    holds("20 bytes of a head", 300, 4.0, |on, n| on.say(n, &[b"GET / HTTP/1.1\r\nHost"]));
    let much = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(20_000));
    holds("20,000 bytes of a head", 300, 2.0 * 20.0 + 4.0, |on, n| on.say(n, &[much.as_bytes()]));
}

#[test]
fn a_body_under_way_holds_about_what_came_of_it() {
    let head =
        |framing: &str| format!("POST /hang HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
    let (chunked, length) = (head("Transfer-Encoding: chunked"), head("Content-Length: 1000000"));
    let most = 16.0 + 8.0;
    holds("one byte in a chunk", 150, most, |on, n| {
        on.say(n, &[chunked.as_bytes(), b"1\r\nx\r\n"])
    });
    holds("half a chunk's size", 150, most, |on, n| on.say(n, &[chunked.as_bytes(), b"1"]));
    holds("one byte of many", 150, most, |on, n| on.say(n, &[length.as_bytes(), b"x"]));
    let some = vec![b'x'; 30_000];
    let kept = head("Content-Length: 60000");
    holds("30,000 bytes that are kept for a retry", 150, 60.0 + most, |on, n| {
        on.say(n, &[kept.as_bytes(), &some])
    });
}

#[test]
fn a_stream_that_takes_nothing_holds_little() {
    // The 64 threads of a worker that open files have some 100 KiB each.
    let threads = 64.0 * 100.0 / 500.0;
    for (path, most) in
        [("/files/large", 16.0 + threads), ("/large", 26.0), ("/fits", 40.0), ("/chunked", 40.0)]
    {
        for window in [0, 1] {
            let what = format!("{path}, window {window}");
            holds(&what, 500, most, |on, n| on.streams(n, window, path));
        }
    }
    for (path, most) in [("/files/large", 24.0 + threads), ("/large", 32.0), ("/chunked", 44.0)] {
        // The connection's socket is what takes nothing.
        let what = format!("{path}, with windows");
        holds(&what, 500, most, |on, n| on.streams(n, 1 << 30, path));
    }
}

#[test]
fn a_tls_client_that_takes_nothing_holds_little() {
    let idle = 10.0;
    for (path, most) in
        [("/files/large", 32.0), ("/large", 36.0), ("/fits", 32.0), ("/chunked", 40.0)]
    {
        holds(&format!("TLS, {path}"), 40, idle + most, |on, n| {
            on.tls(n, &request("GET", path, "", ""))
        });
    }
}
