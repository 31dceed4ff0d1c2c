//! The cache's tier on disk: what survives a restart, and what must not.

use crate::{
    caching::{is_hit, told},
    rig::{Behaviour, Config, Daemon, Response, Server, client, eventually, until},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const TIER: [(&str, &str); 2] = [("cache", "main"), ("tier", "disk")];

/// A server, and a directory that outlives the daemons.
struct Place {
    server: Server,
    directory: TempDir,
}

impl Place {
    fn new(fields: &str) -> Self {
        let server = Server::start("1");
        // The request comes back as the body: a wrong one is seen.
        server.set(Behaviour::echo_with(fields));
        Self { server, directory: tempfile::tempdir().unwrap() }
    }

    fn config(&self, max_size: &str) -> Config {
        let path = self.directory.path().display();
        Config::to([&self.server]).route("cache = \"main\"").rest(&format!(
            "[cache.main]\nmemory = \"32MiB\"\nmax_object = \"1MiB\"\n\
             disk = {{ path = \"{path}\", max_size = \"{max_size}\" }}"
        ))
    }

    /// A daemon that knows what is on its disk.
    fn start(&self) -> Daemon {
        let daemon = Daemon::start(&self.config("64MiB"));
        until("it is ready", || {
            daemon.admin_json("/cache").1["caches"][0]["tiers"][0]["state"] == "ready"
        });
        daemon
    }

    /// Asks, and says whether the server had to be.
    fn ask(&self, daemon: &Daemon, path: &str) -> (Response, bool) {
        let before = self.server.request_count();
        let response = client::get(daemon.http(), path);
        (response, self.server.request_count() > before)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut look = vec![self.directory.path().join("objects")];
        while let Some(directory) = look.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { look.push(path) } else { files.push(path) }
            }
        }
        files
    }
}

fn events(daemon: &Daemon, event: &str) -> u64 {
    daemon.count("sheave_cache_tier_events_total", &[TIER[0], TIER[1], ("event", event)])
}

fn wait_for_writes(daemon: &Daemon, writes: u64) {
    until("the writes", || events(daemon, "write") >= writes);
}

fn purge(daemon: &Daemon, body: &str) {
    let response = client::ask(
        daemon.admin(),
        &client::request("POST", "/purge", "Content-Type: application/json\r\n", body),
    );
    assert_eq!(response.status, 200, "{}", response.text());
}

#[test]
fn what_is_on_disk_survives_a_kill() {
    let place = Place::new("Cache-Control: max-age=600\r\n");
    let daemon = place.start();
    for number in 0..40 {
        assert!(place.ask(&daemon, &format!("/{number}")).1);
    }
    wait_for_writes(&daemon, 40);
    // Killed, not stopped.
    drop(daemon);
    let daemon = place.start();
    until("the index", || daemon.count("sheave_cache_tier_objects", &TIER) == 40);
    for number in 0..40 {
        let path = format!("/{number}");
        let (response, asked) = place.ask(&daemon, &path);
        assert!(!asked, "{path}");
        assert!(response.text().starts_with(&format!("GET {path} HTTP/1.1")), "{path}");
        assert!(told(&response).starts_with("sheave; hit; ttl="), "{}", told(&response));
        assert!(told(&response).ends_with("; detail=disk"), "{}", told(&response));
        assert!(response.field("age").is_some());
        // Now it is in memory.
        let (response, asked) = place.ask(&daemon, &path);
        assert!(!asked && is_hit(&response) && !told(&response).contains("disk"));
    }
    assert_eq!(events(&daemon, "hit"), 40);
}

#[test]
fn a_stop_loses_nothing_that_waits_to_be_written() {
    let place = Place::new("Cache-Control: max-age=600\r\n");
    let mut daemon = place.start();
    for number in 0..200 {
        place.ask(&daemon, &format!("/{number}"));
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
    let daemon = place.start();
    until("the index", || daemon.count("sheave_cache_tier_objects", &TIER) == 200);
}

#[test]
fn a_purge_survives_a_kill() {
    let place = Place::new("Cache-Control: max-age=600\r\nSurrogate-Key: a\r\n");
    let host = "localhost";
    for (body, writes) in [
        ("{\"tag\": \"a\"}".to_owned(), false),
        (format!("{{\"url\": \"http://{host}/x\"}}"), false),
        (format!("{{\"prefix\": \"http://{host}/\"}}"), false),
        (format!("{{\"host\": \"{host}\"}}"), false),
        (String::new(), true),
    ] {
        let daemon = place.start();
        place.ask(&daemon, "/x");
        let before = events(&daemon, "write");
        until("it is on disk", || !place.files().is_empty() || before > 0);
        if writes {
            // RFC 9111 §4.4: a successful POST makes invalid what is stored.
            client::ask(daemon.http(), &client::request("POST", "/x", "", ""));
        } else {
            purge(&daemon, &body);
        }
        drop(daemon);
        let daemon = place.start();
        assert!(place.ask(&daemon, "/x").1, "{body}");
    }
}

#[test]
fn a_soft_purge_leaves_what_is_on_disk_to_be_validated() {
    let place = Place::new("Cache-Control: max-age=600\r\nETag: \"1\"\r\nSurrogate-Key: a\r\n");
    let daemon = place.start();
    place.ask(&daemon, "/x");
    wait_for_writes(&daemon, 1);
    purge(&daemon, "{\"tag\": \"a\", \"soft\": true}");
    drop(daemon);
    let daemon = place.start();
    until("the index", || daemon.count("sheave_cache_tier_objects", &TIER) == 1);
    place.server.set(Behaviour::raw("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n"));
    let (response, asked) = place.ask(&daemon, "/x");
    assert!(asked);
    assert!(response.text().starts_with("GET /x HTTP/1.1"));
    let asked = place.server.last_request();
    assert_eq!(asked.head.field("if-none-match"), Some("\"1\""));
}

#[test]
fn variants_are_found_on_disk() {
    let place = Place::new("Cache-Control: max-age=600\r\nVary: X-Kind\r\n");
    let ask = |daemon: &Daemon, kind: &str| {
        let request = client::request("GET", "/x", &format!("X-Kind: {kind}\r\n"), "");
        client::ask(daemon.http(), &request)
    };
    let daemon = place.start();
    for kind in ["a", "b"] {
        ask(&daemon, kind);
    }
    wait_for_writes(&daemon, 4);
    drop(daemon);
    let daemon = place.start();
    until("the index", || daemon.count("sheave_cache_tier_objects", &TIER) == 3);
    let before = place.server.request_count();
    for kind in ["b", "a"] {
        let response = ask(&daemon, kind);
        assert!(is_hit(&response), "{}", told(&response));
        assert!(response.text().contains(&format!("x-kind: {kind}")), "{}", response.text());
    }
    assert_eq!(place.server.request_count(), before);
    assert!(!is_hit(&ask(&daemon, "c")));
}

#[test]
fn a_damaged_file_is_found_and_not_served() {
    let place = Place::new("Cache-Control: max-age=600\r\n");
    let daemon = place.start();
    for number in 0..8 {
        place.ask(&daemon, &format!("/{number}"));
    }
    wait_for_writes(&daemon, 8);
    drop(daemon);
    for (number, file) in place.files().iter().enumerate() {
        damage(file, number);
    }
    let daemon = place.start();
    for number in 0..8 {
        let (response, asked) = place.ask(&daemon, &format!("/{number}"));
        assert!(asked);
        assert!(response.text().starts_with(&format!("GET /{number} HTTP/1.1")));
    }
    assert!(
        eventually("it is counted", || {
            let damaged = events(&daemon, "damaged");
            (damaged >= 8).then_some(damaged)
        }) >= 8
    );
}

fn damage(file: &Path, how: usize) {
    let mut bytes = fs::read(file).unwrap();
    let length = bytes.len();
    match how % 4 {
        0 => bytes[length - 1] ^= 1,
        1 => bytes.truncate(length - 1),
        2 => bytes[40] ^= 0x80,
        _ => bytes.clear(),
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_directory_of_another_process_is_left_alone() {
    let place = Place::new("Cache-Control: max-age=600\r\n");
    let first = place.start();
    let second = Daemon::start(&place.config("64MiB"));
    second.log.wait_for("a warning", |line| line.contains("another process"));
    assert_eq!(second.count("sheave_cache_tier_up", &TIER), 0);
    for daemon in [&first, &second] {
        assert_eq!(place.ask(daemon, "/x").0.status, 200);
        assert!(is_hit(&place.ask(daemon, "/x").0), "memory serves");
    }
    let (_, health) = second.admin_json("/health");
    assert_eq!(health["checks"]["cache.main.disk"]["status"], "degraded", "{health}");
}

#[test]
fn the_size_holds_and_changes_with_a_reload() {
    let place = Place::new("Cache-Control: max-age=600\r\n");
    let daemon = place.start();
    for number in 0..64 {
        place.ask(&daemon, &format!("/{number}"));
    }
    wait_for_writes(&daemon, 64);
    // A file takes 4 KiB at least.
    daemon.reconfigure(&place.config("64KiB"));
    until("evictions", || daemon.count("sheave_cache_tier_objects", &TIER) <= 16);
    until("the files go", || place.files().len() <= 16);
    daemon.reconfigure(&Config::to([&place.server]).route("cache = \"main\"").rest("[cache.main]"));
    assert_eq!(place.ask(&daemon, "/x").0.status, 200);
}

#[test]
fn no_kill_makes_a_wrong_byte() {
    let place = Place::new("Cache-Control: max-age=600\r\nX-Long: 1\r\n");
    let filler = format!("X-Filler: {}\r\n", "y".repeat(8_000));
    for round in 0..12 {
        let daemon = place.start();
        let address = daemon.http();
        for number in 0..60 {
            let path = format!("/{}", (number * 7 + round * 13) % 80);
            let response = client::ask(address, &client::request("GET", &path, &filler, ""));
            let text = response.text();
            assert!(text.starts_with(&format!("GET {path} HTTP/1.1")), "round {round}, {number}");
            assert!(text.contains(&filler[10..]), "round {round}, {number}");
        }
        // Some are being written now.
        drop(daemon);
    }
}
