//! The response cache: what its scenarios are built from, and what it tells.

use crate::rig::{Behaviour, Client, Config, Daemon, Response, Server, client};
use std::time::{Duration, SystemTime};

/// A daemon with a cache before a scripted server.
pub struct Scene {
    pub daemon: Daemon,
    pub server: Server,
}

/// A config with a cache whose route has these keys beside its store.
pub fn config(server: &Server, keys: &str) -> Config {
    let comma = if keys.is_empty() { "" } else { ", " };
    Config::to([server])
        .route(&format!("cache = {{ store = \"main\"{comma}{keys} }}"))
        .rest("[cache.main]\nmemory = \"32MiB\"\nmax_object = \"1MiB\"")
}

/// A scene whose route has these keys in `cache`.
pub fn scene(keys: &str) -> Scene {
    let server = Server::start("1");
    let daemon = Daemon::start(&config(&server, keys));
    Scene { daemon, server }
}

/// `GET` lines with these fields, each ended with CRLF.
pub fn asking(path: &str, fields: &str) -> String {
    client::request("GET", path, fields, "")
}

/// A date so many seconds from now.
pub fn date(seconds: i64) -> String {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let now = SystemTime::now();
    httpdate::fmt_http_date(if seconds < 0 { now - by } else { now + by })
}

impl Scene {
    pub fn client(&self) -> Client {
        Client::connect(self.daemon.http())
    }

    pub fn get(&self, path: &str) -> Response {
        self.client().get(path)
    }

    /// `GET` with more fields, each ended with CRLF.
    pub fn get_with(&self, path: &str, fields: &str) -> Response {
        self.client().ask(&asking(path, fields))
    }

    pub fn ask(&self, method: &str, path: &str, fields: &str, body: &str) -> Response {
        self.client().ask(&client::request(method, path, fields, body))
    }

    /// The server answers 200 with these fields and this body from now on.
    pub fn says(&self, fields: &str, body: &str) {
        self.server.set(Behaviour::fields(200, fields, body));
    }
}

/// Our member of `Cache-Status`.
pub fn told(response: &Response) -> &str {
    let all = response.field("cache-status").unwrap_or_default();
    all.rsplit_once(", ").map_or(all, |(_, ours)| ours)
}

pub fn is_hit(response: &Response) -> bool {
    told(response).starts_with("sheave; hit")
}

#[test]
fn a_response_tells_how_it_came() {
    let scene = scene("");
    scene.says("Cache-Control: max-age=100\r\nAge: 10\r\nCache-Status: inner; hit\r\n", "x");
    let first = scene.get("/a");
    assert_eq!(told(&first), "sheave; fwd=uri-miss; fwd-status=200; stored; ttl=90");
    let second = scene.get("/a");
    let status = second.field("cache-status").unwrap();
    assert!(status.starts_with("inner; hit, sheave; hit; ttl="), "{status}");
    let age: u32 = second.field("age").unwrap().parse().unwrap();
    assert!((10..20).contains(&age), "{age}");
    assert_eq!(second.head.fields("age").len(), 1);
    assert_eq!(second.text(), "x");
    assert_eq!(scene.server.request_count(), 1);
    scene.says("Cache-Control: private\r\n", "y");
    let third = scene.get("/b");
    assert_eq!(told(&third), "sheave; fwd=uri-miss; detail=private");
    let bypass = scene.ask("POST", "/b", "", "x");
    assert_eq!(told(&bypass), "sheave; fwd=method");
    for (path, word) in [("/a", "miss"), ("/a", "hit"), ("/b", "miss"), ("/b", "bypass")] {
        scene.daemon.wait_for_access(word, |it| it["uri"] == path && it["cache"] == word);
    }
}

#[test]
fn the_operators_times_hold() {
    let scene = scene("min_ttl = \"1d\", default_ttl = \"30d\", max_ttl = \"1y\"");
    for (path, fields, least, most) in [
        ("/min", "Cache-Control: max-age=1\r\n", 86_390, 86_400),
        ("/said", "Cache-Control: max-age=100000\r\n", 99_990, 100_000),
        ("/default", "", 2_591_990, 2_592_000),
        ("/max", "Cache-Control: max-age=99999999\r\n", 31_535_990, 31_536_000),
    ] {
        scene.says(fields, "x");
        scene.get(path);
        let hit = scene.get(path);
        let ttl = told(&hit).strip_prefix("sheave; hit; ttl=").expect(path);
        let ttl: i64 = ttl.parse().unwrap();
        assert!((least..=most).contains(&ttl), "{path}: {ttl}");
    }
    for (path, fields) in
        [("/no-store", "Cache-Control: no-store\r\n"), ("/private", "Cache-Control: private\r\n")]
    {
        scene.says(fields, "x");
        scene.get(path);
        assert!(!is_hit(&scene.get(path)), "{path}");
    }
    // What failed is not kept for a day.
    scene.server.set(Behaviour::fields(404, "", "none"));
    scene.get("/404");
    assert!(!is_hit(&scene.get("/404")));
}

#[test]
fn with_zeroes_nothing_is_stored() {
    let scene = scene("min_ttl = \"0s\", default_ttl = \"0s\", max_ttl = \"0s\"");
    scene.says("Cache-Control: max-age=100\r\nETag: \"x\"\r\n", "x");
    scene.get("/");
    let second = scene.get("/");
    assert!(!is_hit(&second), "{}", second.head.raw);
    assert!(!scene.server.last_request().head.has("if-none-match"));
}

#[test]
fn what_a_client_says_counts_only_if_it_is_heeded() {
    for (keys, hits) in [("", false), ("heed_client = false", true)] {
        let scene = scene(keys);
        scene.says("Cache-Control: max-age=100\r\n", "x");
        scene.get("/");
        for fields in ["Cache-Control: no-cache\r\n", "Pragma: no-cache\r\n"] {
            assert_eq!(is_hit(&scene.get_with("/", fields)), hits, "{keys} {fields}");
        }
    }
}

#[test]
fn tags_are_hidden_on_request() {
    for (keys, shown) in [("", true), ("hide_tags = true", false)] {
        let scene = scene(keys);
        scene.says("Cache-Control: max-age=9\r\nSurrogate-Key: a b\r\nCache-Tag: c\r\n", "x");
        for _ in 0..2 {
            let answer = scene.get("/");
            assert_eq!(answer.head.has("surrogate-key"), shown);
            assert_eq!(answer.head.has("cache-tag"), shown);
        }
    }
}

#[test]
fn what_is_hot_is_fetched_ahead_of_its_end() {
    let scene = scene("refresh_ahead = 0.01");
    scene.says("Cache-Control: max-age=60\r\n", "old");
    scene.get("/");
    // The hundredth of an hour: it is not fetched again while this test looks at it.
    scene.says("Cache-Control: max-age=3600\r\n", "new");
    // Whole seconds are counted, so that one must pass.
    std::thread::sleep(Duration::from_millis(1_100));
    let hit = scene.get("/");
    assert_eq!((is_hit(&hit), hit.text().as_str()), (true, "old"));
    crate::rig::until("the new one", || {
        let hit = scene.get("/");
        assert!(is_hit(&hit));
        hit.text() == "new"
    });
    assert_eq!(scene.server.request_count(), 2);
}
