//! Our own answers: which edits of the route they carry, what they say, and what the log says.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{ask, get, request},
};
use std::fs;
use tempfile::TempDir;

fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("public/sub")).unwrap();
    fs::write(dir.path().join("public/hello.txt"), "0123456789").unwrap();
    fs::write(dir.path().join("public/.secret"), "secret").unwrap();
    dir
}

const EDITS: &str = "response_headers.set = { Cache-Control = \"public, max-age=31536000, immutable\", \
     Expires = \"Thu, 31 Dec 2037 23:55:55 GMT\", CDN-Cache-Control = \"max-age=60\", \
     X-Frame-Options = \"DENY\" }";

fn files(edits: &str) -> Daemon {
    let site = format!("[[site]]\n[[site.route]]\n{edits}\nfiles = {{ root = \"public\" }}");
    Daemon::start_in(tree(), &Config::bare().rest(&site).text())
}

#[test]
fn only_successes_of_files_carry_the_routes_caching_fields() {
    let daemon = files(EDITS);
    let good = get(daemon.http(), "/hello.txt");
    assert_eq!(good.field("cache-control"), Some("public, max-age=31536000, immutable"));
    let since = request("GET", "/hello.txt", "If-None-Match: *\r\n", "");
    let same = ask(daemon.http(), &since);
    assert_eq!((same.status, same.field("cache-control").is_some()), (304, true), "{same:?}");
    let part = ask(daemon.http(), &request("GET", "/hello.txt", "Range: bytes=0-1\r\n", ""));
    assert_eq!((part.status, part.field("cache-control").is_some()), (206, true), "{part:?}");
    for (method, path, fields, status) in [
        ("GET", "/nothing", "", 404),
        ("GET", "/sub", "", 301),
        ("GET", "/hello.txt", "Range: bytes=99-\r\n", 416),
        ("GET", "/hello.txt", "If-Match: \"x\"\r\n", 412),
        ("POST", "/hello.txt", "", 405),
        ("FETCH", "/hello.txt", "", 501),
    ] {
        let answer = ask(daemon.http(), &request(method, path, fields, ""));
        assert_eq!(answer.status, status, "{answer:?}");
        for field in ["cache-control", "expires", "cdn-cache-control"] {
            assert_eq!(answer.field(field), None, "{status}: {answer:?}");
        }
        assert_eq!(answer.field("x-frame-options"), Some("DENY"), "{status}: {answer:?}");
    }
}

#[test]
fn always_lets_caching_fields_hold_for_errors_too() {
    let daemon = files(&format!("{EDITS}\nresponse_headers.always = true"));
    for (path, status) in [("/nothing", 404), ("/sub", 301), ("/hello.txt", 200)] {
        let answer = get(daemon.http(), path);
        let caching = answer.field("cache-control").is_some();
        assert_eq!((answer.status, caching), (status, true), "{answer:?}");
    }
}

#[test]
fn errors_of_servers_and_our_own_are_edited_without_caching_fields() {
    let server = Server::start("1");
    server.set_for("/missing", Behaviour::status(404, "theirs"));
    let config = Config::to([&server]).route(EDITS).route("max_body = 3");
    let daemon = Daemon::start(&config.upstream("retry.on = []"));
    assert!(get(daemon.http(), "/").field("cache-control").is_some());
    let theirs = get(daemon.http(), "/missing");
    assert_eq!((theirs.status, theirs.field("cache-control")), (404, None), "{theirs:?}");
    let large = ask(daemon.http(), &request("POST", "/", "", "12345"));
    assert_eq!((large.status, large.field("cache-control")), (413, None), "{large:?}");
    assert_eq!(large.field("x-frame-options"), Some("DENY"), "{large:?}");
    server.kill();
    let ours = get(daemon.http(), "/");
    assert_eq!((ours.status, ours.field("cache-control")), (502, None), "{ours:?}");
    assert_eq!(ours.field("x-frame-options"), Some("DENY"), "{ours:?}");
}

#[test]
fn what_a_route_is_there_to_answer_is_edited_in_whole() {
    let daemon = Daemon::start_text(
        &Config::bare()
            .rest(&format!(
                "[[site]]\n[[site.route]]\npath = \"/gone\"\nrespond.status = 410\n{EDITS}\n\
                 [[site.route]]\nredirect.to = \"https://new.example\"\n{EDITS}"
            ))
            .text(),
    );
    for (path, status) in [("/gone", 410), ("/old", 308)] {
        let answer = get(daemon.http(), path);
        assert_eq!((answer.status, answer.field("cache-control").is_some()), (status, true));
    }
}

#[test]
fn errors_of_files_have_a_body_and_a_reason() {
    let daemon = files("");
    for (method, path, fields, status, reason) in [
        ("GET", "/nothing", "", 404, "file_not_found"),
        ("GET", "/.secret", "", 404, "file_not_found"),
        ("GET", "/hello.txt", "Range: bytes=99-\r\n", 416, "range_not_satisfiable"),
        ("GET", "/hello.txt", "If-Match: \"x\"\r\n", 412, "precondition_failed"),
        ("POST", "/hello.txt", "", 405, "method_not_allowed"),
        ("FETCH", "/hello.txt", "", 501, "method_unknown"),
    ] {
        let answer = ask(daemon.http(), &request(method, path, fields, ""));
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text().contains(&format!("reason: {reason}\n")), "{answer:?}");
        assert!(answer.field("content-type").unwrap().starts_with("text/plain"), "{answer:?}");
        daemon.wait_for_access(reason, |line| line["reason"] == reason && line["status"] == status);
    }
    let head = ask(daemon.http(), &request("HEAD", "/nothing", "", ""));
    assert_eq!((head.status, &*head.text()), (404, ""));
    assert_eq!(daemon.rejected("file_not_found"), 3);
}
