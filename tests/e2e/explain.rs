//! The page that `explain` prints, and what it says of servers that are out.

use crate::rig::{Behaviour, Config, Daemon, Server, client::get, daemon::run_to_end};
use std::{fs, path::Path};

/// The exit code, and what is printed.
fn run(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run_to_end(dir, &[&["explain"], arguments].concat());
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text.into_owned())
}

const CONFIG: &str = "trusted_proxies = [\"10.0.0.0/8\"]

[listener.http]
address = \"127.0.0.1:8080\"

[upstream.app]
strategy = \"consistent_hash\"
hash_key = \"{cookie.session}\"
servers = [
  { address = \"127.0.0.1:3001\" },
  { address = \"127.0.0.1:3002\", down = true },
  { address = \"app.internal:3003\" },
  { address = \"127.0.0.1:3004\", backup = true },
]

[cache.main]

[[site]]
hosts = [\"shop.example\", \"*.shop.example\"]

[[site.route]]
name = \"old\"
path = \"/old/*\"
redirect = { to = \"https://{host}/new{path}\" }

[[site.route]]
name = \"posts\"
path = \"/api/*\"
methods = [\"POST\"]
respond = { status = 204 }

[[site.route]]
name = \"api\"
path = \"/api/*\"
upstream = \"app\"
strip_prefix = \"/api\"
request_headers = { set = { x-tenant = \"{host}\" }, remove = [\"accept\"] }
compress = true
cache = \"main\"

[[site]]
[[site.route]]
name = \"rest\"
files = { root = \"public\" }
response_headers.set = { x-kind = \"file\" }
compress = { min_size = \"1B\" }
";

#[test]
fn a_page_tells_every_decision() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sheave.toml"), CONFIG).unwrap();
    fs::create_dir(dir.path().join("public")).unwrap();
    fs::write(dir.path().join("public/a.css"), "a {}".repeat(99)).unwrap();
    let page = |arguments: &[&str]| {
        let (code, text) = run(dir.path(), &[arguments, &["-c", "sheave.toml"]].concat());
        assert_eq!(code, Some(0), "{text}");
        text
    };
    let forwarded = page(&[
        "GET",
        "http://www.shop.example:8080/x/../api/v1/%61?q=1",
        "-H",
        "Cookie: session=abc",
        "-H",
        "X-Forwarded-For: 192.0.2.9",
        "-H",
        "Accept-Encoding: gzip, br",
        "--client",
        "10.0.0.7",
    ]);
    insta::assert_snapshot!("explain_forwarded", forwarded);
    insta::assert_snapshot!("explain_redirect", page(&["http://shop.example:8080/old/y"]));
    insta::assert_snapshot!("explain_refused", page(&["DELETE", "http://shop.example:8080/none"]));
    let files = page(&["http://other.example:8080/a.css", "-H", "Accept-Encoding: gzip"]);
    for told in [
        "public/a.css",
        "edits the response",
        "answered here with 200",
        "content-encoding: gzip",
        "x-kind: file",
    ] {
        assert!(files.contains(told), "{told}: {files}");
    }
    let bad_host = page(&["http://shop.example:8080/", "-H", "Host: a b"]);
    assert!(bad_host.contains("answered here with 400, host_invalid"), "{bad_host}");
}

#[test]
fn what_is_wrong_with_a_question_is_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sheave.toml"), CONFIG).unwrap();
    for (arguments, code, told) in [
        (&["https://shop.example/", "-c", "sheave.toml"][..], 2, "no listener is for https"),
        (&["shop.example", "-c", "sheave.toml"], 2, "is no URL"),
        (&["http://a/", "--listener", "x", "-c", "sheave.toml"], 2, "no listener `x`"),
        (&["http://a/", "-H", "x", "-c", "sheave.toml"], 2, "is no field"),
        (&["http://a/", "-c", "absent.toml"], 3, "absent.toml"),
        (&["http://a/", "-c", "sheave.toml", "--admin", "127.0.0.1:1"], 2, "a file, or a running"),
        (&[], 2, "write `sheave explain METHOD URL`"),
    ] {
        let (got, text) = run(dir.path(), arguments);
        assert!(got == Some(code) && text.contains(told), "{arguments:?}: {got:?} {text}");
    }
}

#[test]
fn servers_that_are_out_are_told_with_the_reason() {
    let (up, dead) = (Server::start("up"), Server::dead("dead"));
    up.set(Behaviour::normal());
    let config = Config::to([&up]).server(&dead, "max_fails = 1, fail_timeout = \"1h\"");
    let daemon = Daemon::start(&config);
    let admin = daemon.admin().to_string();
    for _ in 0..2 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    let url = format!("http://{}/", daemon.http());
    let ask = || run(&daemon.path(""), &[&url, "--listener", "http", "--admin", &admin]).1;
    let page = ask();
    let line = page.lines().find(|it| it.contains(&dead.to_string())).expect("a line");
    assert!(line.contains("ejected for") && line.contains("connect_failed"), "{page}");
    let asked = page.lines().find(|it| it.contains("asked")).expect("a line");
    assert!(asked.contains(&up.to_string()), "{page}");
    // A look takes no turn and counts nothing.
    let before = daemon.server_state(&up.to_string())["requests"].clone();
    assert!((0..5).all(|_| ask().lines().any(|it| it == asked)));
    assert_eq!(daemon.server_state(&up.to_string())["requests"], before);
}
