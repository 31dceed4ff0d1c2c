//! Purges of the response cache, and what is told of it.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{ask, get, request},
    daemon::run_to_end,
};

const STORED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncache-control: max-age=600\r\n\
                      surrogate-key: shoes red\r\ncache-tag: sale, x\r\n\r\n1";

fn cached(server: &Server) -> Daemon {
    server.set(Behaviour::raw(STORED));
    Daemon::start(&Config::to([server]).route("cache = \"main\"").rest("[cache.main]"))
}

fn purge(daemon: &Daemon, body: &str) -> (u16, String) {
    let response =
        ask(daemon.admin(), &request("POST", "/purge", "Content-Type: application/json\r\n", body));
    (response.status, response.text())
}

/// How often a path has to be asked of the server.
fn asked(server: &Server, daemon: &Daemon, path: &str) -> usize {
    let before = server.request_count();
    assert_eq!(get(daemon.http(), path).status, 200);
    server.request_count() - before
}

#[test]
fn a_purge_takes_what_it_names_and_nothing_else() {
    let server = Server::start("1");
    let daemon = cached(&server);
    // What the rig sends as `Host`.
    let host = "localhost";
    for (body, gone, stays) in [
        ("{\"url\": \"HTTP://LocalHost:80/a\"}".to_owned(), "/a", "/a/b"),
        (format!("{{\"prefix\": \"http://{host}/a/\"}}"), "/a/b", "/a"),
        ("{\"tag\": \"red\"}".to_owned(), "/a", ""),
        ("{\"tag\": \"sale\"}".to_owned(), "/a/b", ""),
        (format!("{{\"host\": \"{host}\"}}"), "/a", ""),
    ] {
        for path in ["/a", "/a/b"] {
            asked(&server, &daemon, path);
            assert_eq!(asked(&server, &daemon, path), 0, "{path} is stored");
        }
        let (status, told) = purge(&daemon, &body);
        assert_eq!(status, 200, "{body}: {told}");
        assert_eq!(asked(&server, &daemon, gone), 1, "{body}");
        if !stays.is_empty() {
            assert_eq!(asked(&server, &daemon, stays), 0, "{body}");
        }
    }
    for (body, path) in [("{\"tag\": \"blue\"}", "/a"), ("{\"host\": \"else.where\"}", "/a")] {
        asked(&server, &daemon, path);
        assert_eq!(purge(&daemon, body).0, 200);
        assert_eq!(asked(&server, &daemon, path), 0, "{body}");
    }
}

#[test]
fn a_soft_purge_leaves_it_to_be_served_while_it_is_fetched_again() {
    let server = Server::start("1");
    let daemon = cached(&server);
    let with = STORED.replace("max-age=600", "max-age=600, stale-while-revalidate=600");
    server.set(Behaviour::raw(&with));
    asked(&server, &daemon, "/a");
    assert_eq!(purge(&daemon, "{\"tag\": \"red\", \"soft\": true}").0, 200);
    let before = server.request_count();
    let response = get(daemon.http(), "/a");
    let status = response.field("cache-status").unwrap_or_default().to_owned();
    assert!(status.starts_with("sheave; hit; ttl=-") || status.contains("ttl=0"), "{status}");
    server.wait_for_requests(before + 1);
}

#[test]
fn what_is_wrong_with_a_purge_is_told() {
    let server = Server::start("1");
    let daemon = cached(&server);
    for (body, told) in [
        ("", "the body is no JSON"),
        ("[]", "the body is no object"),
        ("{}", "send one of"),
        ("{\"url\": \"/a\"}", "is no URL"),
        ("{\"tag\": 1}", "is no text"),
        ("{\"tag\": \"a\", \"host\": \"b\"}", "send one of"),
        ("{\"tags\": \"a\"}", "unknown key \\\"tags\\\""),
        ("{\"tag\": \"a\", \"soft\": 1}", "is true or false"),
    ] {
        let (status, text) = purge(&daemon, body);
        assert!(status == 422 && text.contains(told), "{body}: {status} {text}");
    }
    assert_eq!(get(daemon.admin(), "/purge").status, 405);
}

#[test]
fn the_command_line_purges_and_explains() {
    let server = Server::start("1");
    let daemon = cached(&server);
    server.set_for(
        "/private",
        Behaviour::raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncache-control: private\r\n\r\n1"),
    );
    let admin = daemon.admin().to_string();
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--admin", &admin]].concat();
        let output = run_to_end(&daemon.path(""), &arguments);
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text.into_owned())
    };
    asked(&server, &daemon, "/a");
    asked(&server, &daemon, "/private");
    let url = |path: &str| format!("http://localhost{path}");
    let (code, text) = run(&["cache", "explain", &url("/a")]);
    assert!(code == Some(0) && text.contains("stored, and fresh for"), "{text}");
    assert!(text.contains("\"tags\": 4"), "{text}");
    let (_, text) = run(&["cache", "explain", &url("/private")]);
    assert!(text.contains("\"reason\": \"private\"") && text.contains("§"), "{text}");
    let (_, text) = run(&["cache", "explain", &url("/never?q=1")]);
    assert!(text.contains("nothing is stored"), "{text}");
    let (code, text) = run(&["purge", "--tag", "red"]);
    assert!(code == Some(0) && text.contains("\"purged\": 1"), "{text}");
    assert_eq!(asked(&server, &daemon, "/a"), 1);
    let (code, text) = run(&["purge", "--url", "nonsense"]);
    assert!(code == Some(1) && text.contains("is no URL"), "{text}");
    let (code, text) = run(&["purge"]);
    assert!(code == Some(2) && text.contains("needs `--url`"), "{text}");
    let (code, text) = run(&["purge", "--tag", "a", "--host", "b"]);
    assert!(code == Some(2) && text.contains("one at a time"), "{text}");
    let nobody = Server::dead("nobody").to_string();
    let output = run_to_end(&daemon.path(""), &["purge", "--tag", "a", "--admin", &nobody]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn the_caches_are_counted() {
    let server = Server::start("1");
    let daemon = cached(&server);
    for _ in 0..3 {
        asked_any(&daemon, "/a");
    }
    let (_, told) = daemon.admin_json("/cache");
    let main = &told["caches"][0];
    assert_eq!((&main["name"], &main["objects"]), (&"main".into(), &1.into()), "{told}");
    assert_eq!((&main["hits"], &main["misses"]), (&2.into(), &1.into()), "{told}");
    assert!(main["bytes"].as_u64().is_some_and(|it| (100..2000).contains(&it)), "{told}");
    let count = |outcome| {
        daemon.count("sheave_cache_requests_total", &[("cache", "main"), ("outcome", outcome)])
    };
    assert_eq!((count("hit"), count("miss")), (2, 1));
    assert_eq!(daemon.count("sheave_cache_objects", &[("cache", "main")]), 1);
    let line = daemon.wait_for_access("a hit", |line| line["cache"] == "hit");
    assert_eq!(line["attempts"], 0);
}

fn asked_any(daemon: &Daemon, path: &str) {
    assert_eq!(get(daemon.http(), path).status, 200);
}
