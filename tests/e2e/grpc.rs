//! gRPC calls: HTTP/2 on both sides, trailers, deadlines, statuses.

use crate::rig::{
    Config, Daemon,
    http2_server::{Deed, Http2Server},
    secure::{Http2, Http2Response},
    until,
};
use bytes::Bytes;
use h2::Reason;
use http::Request;
use http_body_util::Full;
use std::time::{Duration, Instant};

fn start(servers: &[&Http2Server], more: &str, route: &str) -> Daemon {
    let list: Vec<_> = servers.iter().map(|it| format!("{{ address = \"{it}\" }}")).collect();
    Daemon::start(&Config::bare().workers(1).rest(&format!(
        "[upstream.app]\nprotocol = \"http2\"\nservers = [{}]\n{more}\n[[site]]\n[[site.route]]\nupstream = \"app\"\n{route}\n",
        list.join(", ")
    )))
}

fn call(daemon: &Daemon, path: &str, fields: &[(&str, &str)]) -> Result<Http2Response, String> {
    let mut request = Request::post(format!("http://a{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Http2::connect_plain(daemon.http())
        .send(request.body(Full::new(Bytes::from_static(b"\0\0\0\0\x01x"))).unwrap())
}

/// The status in the head or in the trailers.
fn status(answer: &Http2Response) -> Option<&str> {
    answer.trailers.get("grpc-status").or(answer.headers.get("grpc-status"))?.to_str().ok()
}

#[test]
fn a_call_passes_with_its_trailers() {
    let server = Http2Server::start("1");
    let daemon = start(&[&server], "", "");
    server.set(Deed::Parts(
        vec!["\0\0\0\0\x01a", "\0\0\0\0\x01b"],
        vec![("grpc-status", "0"), ("grpc-message", "fine")],
    ));
    let answer = call(&daemon, "/t.T/Say", &[("grpc-timeout", "5S")]).unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"\0\0\0\0\x01a\0\0\0\0\x01b"[..]));
    assert_eq!(
        (status(&answer), answer.trailers["grpc-message"].to_str().unwrap()),
        (Some("0"), "fine")
    );
    let seen = server.wait_for("/t.T/Say", |_| true);
    assert_eq!((seen.field("te"), seen.field("grpc-timeout")), (Some("trailers"), Some("5S")));
    assert_eq!(seen.field("content-type"), Some("application/grpc"));
    // Trailers alone.
    server.set(Deed::Head(200, vec![("content-type", "application/grpc"), ("grpc-status", "5")]));
    let answer = call(&daemon, "/t.T/Say", &[]).unwrap();
    assert_eq!((answer.status, status(&answer), answer.body.len()), (200, Some("5"), 0));
}

#[test]
fn errors_of_our_own_are_statuses() {
    let dead = Http2Server::start("1");
    let daemon = start(&[&dead], "when_all_down = \"error\"\nretry.tries = 0", "");
    dead.stop();
    for _ in 0..4 {
        // Refused, and then no server is left.
        let answer = call(&daemon, "/t.T/Say", &[]).unwrap();
        assert_eq!((answer.status, status(&answer)), (200, Some("14")), "{:?}", answer.headers);
        assert_eq!(answer.headers["content-type"], "application/grpc");
        assert!(answer.headers["grpc-message"].to_str().unwrap().contains("reason: "));
    }
    daemon.wait_for_reason("connect_failed");
    let elsewhere = Daemon::start(
        &Config::bare()
            .rest("[[site]]\nhosts = [\"b\"]\n[[site.route]]\nrespond = { body = \"x\" }\n"),
    );
    let answer = call(&elsewhere, "/t.T/Say", &[]).unwrap();
    assert_eq!((answer.status, status(&answer)), (200, Some("12")));
}

#[test]
fn a_deadline_is_heeded_before_the_head_and_after() {
    let server = Http2Server::start("1");
    let daemon = start(&[&server], "", "");
    server.set(Deed::Hang);
    let begun = Instant::now();
    let answer = call(&daemon, "/t.T/Hang", &[("grpc-timeout", "300m")]).unwrap();
    assert_eq!((answer.status, status(&answer)), (200, Some("4")));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let seen = server.wait_for("/t.T/Hang", |it| it.reset.is_some());
    assert_eq!(seen.reset.as_deref(), Some("CANCEL"), "the server is told");
    let line = daemon.wait_for_reason("response_timeout");
    assert_eq!(line["detail"], "no response within the client's deadline (`grpc-timeout`)");
    // A stream whose messages are sent back, and which nobody ends.
    server.set(Deed::Endless("\0\0\0\0\x01a"));
    let answer = call(&daemon, "/t.T/Endless", &[("grpc-timeout", "300m")]).unwrap();
    assert_eq!(
        (answer.status, status(&answer), &*answer.body),
        (200, Some("4"), &b"\0\0\0\0\x01a"[..])
    );
    let seen = server.wait_for("/t.T/Endless", |it| it.reset.is_some());
    assert_eq!(seen.reset.as_deref(), Some("CANCEL"));
}

#[test]
fn a_status_may_be_tried_again() {
    let servers = [Http2Server::start("1"), Http2Server::start("2")];
    servers[0]
        .set(Deed::Head(200, vec![("content-type", "application/grpc"), ("grpc-status", "14")]));
    servers[1].set(Deed::Parts(vec!["\0\0\0\0\x01a"], vec![("grpc-status", "0")]));
    let daemon =
        start(&[&servers[0], &servers[1]], "retry.on = [\"connect\", \"grpc_unavailable\"]", "");
    for _ in 0..6 {
        let answer = call(&daemon, "/t.T/Say", &[]).unwrap();
        assert_eq!(status(&answer), Some("0"));
    }
    let plain = start(&[&servers[0], &servers[1]], "", "");
    let mut unavailable = 0;
    for _ in 0..6 {
        unavailable += u32::from(status(&call(&plain, "/t.T/Say", &[]).unwrap()) == Some("14"));
    }
    assert_eq!(unavailable, 3, "only where the config says so");
}

#[test]
fn a_refused_stream_is_tried_again() {
    let servers = [Http2Server::start("1"), Http2Server::start("2")];
    servers[0].set(Deed::Reset(Reason::REFUSED_STREAM));
    servers[1].set(Deed::Parts(vec!["\0\0\0\0\x01a"], vec![("grpc-status", "0")]));
    let daemon = start(&[&servers[0], &servers[1]], "", "");
    for _ in 0..6 {
        assert_eq!(status(&call(&daemon, "/t.T/Say", &[]).unwrap()), Some("0"));
    }
}

#[test]
fn services_are_checked_by_grpc() {
    let server = Http2Server::start("1");
    let health = "/grpc.health.v1.Health/Check";
    let serving = |number: &'static str| Deed::Parts(vec![number], vec![("grpc-status", "0")]);
    server.set_for(health, serving("\0\0\0\0\x02\x08\x01"));
    let check = "health_check = { grpc = \"t.T\", interval = \"50ms\", timeout = \"5s\", fall = 1, rise = 1 }\nwhen_all_down = \"error\"";
    let daemon = start(&[&server], check, "");
    let address = server.address.to_string();
    until("up", || daemon.state_name(&address) == "up");
    let seen = server.wait_for(health, |_| true);
    assert_eq!((&*seen.method, seen.field("te")), ("POST", Some("trailers")));
    let seen = server.wait_for(health, |it| !it.body.is_empty());
    assert_eq!(seen.body, b"\0\0\0\0\x05\x0a\x03t.T");
    server.set_for(health, serving("\0\0\0\0\x02\x08\x02"));
    until("not serving", || daemon.state_name(&address) == "failed");
    assert_eq!(daemon.server_state(&address)["reason"], "its service is NOT_SERVING");
    server.set_for(health, serving("\0\0\0\0\x02\x08\x01"));
    until("serving again", || daemon.state_name(&address) == "up");
    server.set_for(health, Deed::Head(200, vec![("grpc-status", "5")]));
    until("no such service", || daemon.state_name(&address) == "failed");
    daemon.log.wait_for("why", |line| line.contains("NOT_FOUND"));
}
