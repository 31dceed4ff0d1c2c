//! Servers on Unix sockets.

use crate::rig::{Behaviour, Config, Daemon, Server, client, front::Front, until};

/// A daemon with a server behind a Unix socket, and the directory of both.
fn scene(upstream: &str) -> (Daemon, Server, Front) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start("1");
    let front = Front::unix(&server, dir.path(), "app.sock");
    let config = Config::bare().address("unix:app.sock", "").upstream(upstream);
    (Daemon::start_in(dir, &config.text()), server, front)
}

#[test]
fn a_server_on_a_unix_socket_is_asked_like_any_other() {
    let (daemon, server, front) = scene("");
    let mut client = client::Client::connect(daemon.http());
    for _ in 0..5 {
        assert_eq!(client.get("/x").text(), "1");
    }
    let asked = server.last_request().head;
    assert_eq!(asked.field("host"), Some("localhost"));
    assert_eq!(asked.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(front.seen().len(), 1, "one connection is used again");
    let old = client.ask("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(old.text(), "1");
    assert_eq!(server.last_request().head.field("host"), Some("localhost"));
    let labels = [("upstream", "app"), ("server", "unix:app.sock"), ("outcome", "success")];
    daemon.wait_for_metric("sheave_upstream_attempts_total", &labels, 6);
    assert_eq!(daemon.state_name("unix:app.sock"), "up");
    let line = daemon.wait_for_access("the first", |line| line["uri"] == "/x");
    assert_eq!(line["server"], "unix:app.sock");
}

#[test]
fn bodies_of_every_size_pass_a_unix_socket_both_ways() {
    let (daemon, server, _front) = scene("");
    server.set(Behaviour::echo());
    let mut client = client::Client::connect(daemon.http());
    for size in [0, 1, 5_000, 70_000, 1_500_000] {
        let body = "x".repeat(size);
        let answer = client.ask(&client::request("POST", "/", "", &body));
        assert!(answer.status == 200 && answer.text().ends_with(&body), "{size}");
        assert!(answer.body.len() > size, "{size}");
    }
}

#[test]
fn a_socket_that_is_not_there_is_a_refused_connection_and_health_checks_use_it() {
    let (daemon, server, front) = scene(
        "health_check = { path = \"/up\", interval = \"50ms\", timeout = \"5s\", fall = 1, rise = 1 }",
    );
    server.wait_for_requests(1);
    assert_eq!(server.last_request().head.field("host"), Some("localhost"));
    assert_eq!(daemon.state_name("unix:app.sock"), "up");
    drop(front);
    std::fs::remove_file(daemon.path("app.sock")).unwrap();
    until("the check to fail", || daemon.state_name("unix:app.sock") == "failed");
    let answer = client::get(daemon.http(), "/");
    assert_eq!(answer.status, 503);
    let _front = Front::unix(&server, daemon.path("").as_path(), "app.sock");
    until("the check to pass", || daemon.state_name("unix:app.sock") == "up");
    assert_eq!(client::get(daemon.http(), "/").text(), "1");
}
