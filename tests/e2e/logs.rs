//! The access log, line by line, and the daemon's own.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server,
    client::{ask, get, request},
    until,
};
use std::fs;

#[test]
fn a_json_line_has_every_field_of_the_contract() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let fields = "User-Agent: rig \"quoted\"\r\nReferer: http://before/\r\nX-Request-Id: id-1\r\n";
    ask(daemon.http(), &request("PUT", "/a%20b?c=d", fields, "hello"));
    let line = daemon.wait_for_access("the request", |_| true);
    for (key, value) in [
        ("client", "127.0.0.1"),
        ("listener", "http"),
        ("method", "PUT"),
        ("host", "localhost"),
        ("uri", "/a%20b?c=d"),
        ("protocol", "HTTP/1.1"),
        ("route", "all"),
        ("upstream", "app"),
        ("server", &*server.to_string()),
        ("request_id", "id-1"),
        ("user_agent", "rig \"quoted\""),
        ("referer", "http://before/"),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    for (key, value) in [("status", 200), ("bytes_sent", 1), ("bytes_received", 5), ("attempts", 1)]
    {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{line}");
    assert!(line["upstream_ms"].as_f64().is_some_and(|ms| ms >= 0.0), "{line}");
    let time = line["time"].as_str().expect("a time");
    assert!(time.starts_with("20") && time.contains('T'), "{time}");
    assert!(
        line.get("reason").is_none_or(serde_json::Value::is_null),
        "nothing went wrong: {line}"
    );
}

#[test]
fn every_request_is_logged_once_whoever_answers_it() {
    let server = Server::start("1");
    let config = Config::to([&server])
        .route_before("path = \"/here\"\nrespond = { body = \"x\" }")
        .route_before("path = \"/moved\"\nredirect = { to = \"/\" }");
    let daemon = Daemon::start(&config);
    for path in ["/here", "/moved", "/there"] {
        get(daemon.http(), path);
    }
    ask(daemon.http(), "GET /bad HTTP/1.1\r\nHost: a@b\r\n\r\n");
    until("four lines", || daemon.access_log().len() >= 4);
    let log = daemon.access_log();
    assert_eq!(log.len(), 4, "{log:?}");
    daemon.wait_for_access("the bad one", |line| {
        line["status"] == 400 && line["reason"] == "host_invalid"
    });
}

#[test]
fn hostile_values_cannot_forge_a_line() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let mut client = Client::connect(daemon.http());
    client.send(
        b"GET /%0a{%22status%22:999} HTTP/1.1\r\nHost: a\r\nUser-Agent: \"},{\\\t\xff\r\n\r\n",
    );
    let answer = client.response();
    until("a line", || !daemon.access_log().is_empty());
    let text = fs::read_to_string(daemon.path("access.log")).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(daemon.access_log().len(), 1, "and it is JSON: {text}");
    assert_eq!(daemon.access_log()[0]["status"], answer.status);
}

#[test]
fn combined_looks_as_it_does_everywhere() {
    let server = Server::start("1");
    let config =
        Config::to([&server]).rest("[access_log]\npath = \"access.log\"\nformat = \"combined\"");
    let daemon = Daemon::start(&config);
    ask(
        daemon.http(),
        &request("GET", "/x?y", "User-Agent: rig\r\nReferer: http://before/\r\n", ""),
    );
    let read = || fs::read_to_string(daemon.path("access.log")).unwrap_or_default();
    until("a line", || read().ends_with('\n'));
    let line = read();
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(
        line.trim_end().ends_with("] \"GET /x?y HTTP/1.1\" 200 1 \"http://before/\" \"rig\""),
        "{line}"
    );
}

#[test]
fn stdout_is_a_place_for_the_access_log() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).rest("[access_log]\npath = \"stdout\""));
    get(daemon.http(), "/on-stdout");
    let line = daemon.stdout.wait_for("the request", |line| line.contains("/on-stdout"));
    assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
}

#[test]
fn sigusr1_reopens_the_file() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    get(daemon.http(), "/before");
    daemon.wait_for_access("before", |line| line["uri"] == "/before");
    fs::rename(daemon.path("access.log"), daemon.path("access.log.1")).unwrap();
    daemon.signal("USR1");
    until("the new file", || daemon.path("access.log").exists());
    get(daemon.http(), "/after");
    daemon.wait_for_access("after", |line| line["uri"] == "/after");
    let old = fs::read_to_string(daemon.path("access.log.1")).unwrap();
    assert!(old.contains("/before") && !old.contains("/after"), "{old}");
}

#[test]
fn an_aborted_download_is_logged_with_what_was_sent_of_it() {
    let server = Server::start("1");
    server.set(Behaviour::half_body());
    let daemon = Daemon::start(&Config::to([&server]));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/half", "", ""));
    assert!(client.try_response("GET").is_err());
    let line = daemon.wait_for_reason("response_truncated");
    assert_eq!((&line["status"], &line["bytes_sent"]), (&200.into(), &11.into()), "{line}");
}

#[test]
fn without_the_table_there_is_no_access_log() {
    let server = Server::start("1");
    let text = Config::to([&server]).text();
    let text = text.split("[access_log]").next().unwrap();
    let daemon = Daemon::start_text(text);
    assert_eq!(get(daemon.http(), "/").status, 200);
    assert!(!daemon.path("access.log").exists());
    assert!(daemon.stdout.lines().is_empty());
}

#[test]
fn a_failed_attempt_is_told_in_words() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).upstream("retry.tries = 0"));
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    for (behaviour, reason, detail) in [
        (Behaviour::raw("SSH-2.0-OpenSSH\r\n"), "bad_response", "it is no HTTP/1 response"),
        (
            Behaviour::raw(&long),
            "bad_response",
            "its head is larger than the upstream's `limits.response_head`",
        ),
        (
            Behaviour::raw_then_close(""),
            "reset",
            "it closed the connection without a whole response head",
        ),
        (
            Behaviour::half_body(),
            "response_truncated",
            "the server closed before the end of its response",
        ),
    ] {
        server.set(behaviour);
        // A response that is cut off ends without its end.
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", "", ""));
        let _ = client.try_response("GET");
        let line = daemon.wait_for_access(detail, |line| line["detail"] == detail);
        assert_eq!(line["reason"], reason);
    }
    server.kill();
    get(daemon.http(), "/");
    daemon.wait_for_access("the refused connection", |line| {
        line["reason"] == "connect_failed"
            && line["detail"].as_str().is_some_and(|it| it.contains("refused"))
    });
}
