//! The access log, line by line, and the daemon's own.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server,
    client::{ask, get, request},
    eventually, until,
};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

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

/// A request whose server has closed in the middle of its response.
fn with_half_a_response() -> (Server, Daemon) {
    let server = Server::start("1");
    server.set(Behaviour::half_body());
    let daemon = Daemon::start(&Config::to([&server]));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/half", "", ""));
    assert!(client.try_response("GET").is_err());
    (server, daemon)
}

#[test]
fn an_aborted_download_is_logged_with_what_was_sent_of_it() {
    let (_server, daemon) = with_half_a_response();
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

/// Everything is answered by the daemon itself.
fn answering(rest: &str) -> Config {
    let site =
        "[[site]]\nname = \"main\"\n[[site.route]]\npath = \"/*\"\nrespond = { body = \"x\" }\n";
    Config::bare().rest(site).rest(rest).quiet()
}

#[test]
fn no_line_is_lost_while_the_disk_keeps_up_however_the_workers_share_the_load() {
    // One connection is one worker: the buffer is not its 64th part.
    let daemon = Daemon::start(&answering("").workers(64));
    let mut client = Client::connect(daemon.http());
    let (rounds, at_once) = (18, 500);
    let requests = "GET /in-a-row HTTP/1.1\r\nHost: a\r\n\r\n".repeat(at_once);
    for _ in 0..rounds {
        client.send(&requests);
        (0..at_once).for_each(|_| assert_eq!(client.response().status, 200));
    }
    until("all lines", || {
        let lines = daemon.access_log().len();
        let dropped = daemon.count("sheave_access_log_dropped_total", &[]);
        assert_eq!(dropped, 0, "beside {lines} lines");
        lines == rounds * at_once
    });
    assert_eq!(daemon.admin_json("/health").1["checks"]["access_log"]["dropped"], 0);
}

/// A pipe in `dir` that nobody reads but by what this gives.
fn pipe(dir: &Path) -> File {
    let pipe = dir.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    File::options().read(true).write(true).open(&pipe).unwrap()
}

#[test]
fn lines_past_a_full_buffer_are_counted_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let _unread = pipe(dir.path());
    let log = answering("[access_log]\npath = \"pipe\"\nbuffer = \"64KiB\"").workers(1);
    let daemon = Daemon::start_in(dir, &log.text());
    let mut client = Client::connect(daemon.http());
    let path = format!("/{}", "x".repeat(4000));
    for _ in 0..100 {
        assert_eq!(client.get(&path).status, 200);
    }
    // The last line is counted after its answer.
    let (dropped, (status, health)) = eventually("the same count in both places", || {
        let dropped = daemon.count("sheave_access_log_dropped_total", &[]);
        let (status, health) = daemon.admin_json("/health");
        let told = &health["checks"]["access_log"]["dropped"];
        (*told == dropped).then_some((dropped, (status, health)))
    });
    assert!((1..100).contains(&dropped), "{dropped}");
    assert_eq!((status, &health["status"]), (200, &"degraded".into()), "{health}");
    assert_eq!(health["checks"]["access_log"]["status"], "degraded");
    daemon.log.wait_for("a warning", |line| line.contains("access log lines are lost"));
    let told = daemon.log.lines();
    assert_eq!(told.iter().filter(|line| line.contains("lines are lost")).count(), 1);
}

#[test]
fn requests_wait_for_the_disk_where_the_config_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let log = pipe(dir.path());
    let table = "[access_log]\npath = \"pipe\"\nbuffer = \"64KiB\"\nwhen_full = \"wait\"";
    let daemon = Daemon::start_in(dir, &answering(table).workers(1).text());
    let (address, (tell, told)) = (daemon.http(), mpsc::channel());
    let asking = thread::spawn(move || {
        let mut client = Client::connect(address);
        let path = format!("/{}", "x".repeat(4000));
        for _ in 0..100 {
            assert_eq!(client.get(&path).status, 200);
            tell.send(()).unwrap();
        }
    });
    let mut answered = 0;
    while told.recv_timeout(Duration::from_millis(500)).is_ok() {
        answered += 1;
    }
    assert!(answered < 100, "they wait");
    let mut lines = BufReader::new(log.take(u64::MAX)).lines();
    for _ in 0..100 {
        let line = lines.next().unwrap().unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
    }
    asking.join().unwrap();
    assert_eq!(daemon.count("sheave_access_log_dropped_total", &[]), 0);
}

#[test]
fn lines_for_a_full_disk_are_counted() {
    let daemon = Daemon::start(&answering("[access_log]\npath = \"/dev/full\""));
    for _ in 0..3 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    daemon.wait_for_metric("sheave_access_log_dropped_total", &[], 3);
    daemon.log.wait_for("why", |line| line.contains("the access log can't be written"));
}

#[test]
fn an_attempt_whose_body_breaks_is_counted_once() {
    let (_server, daemon) = with_half_a_response();
    let attempts =
        |outcome| daemon.count("sheave_upstream_attempts_total", &[("outcome", outcome)]);
    until("the attempt to be counted", || attempts("response_truncated") == 1);
    assert_eq!(attempts("success"), 0);
}

#[test]
fn a_client_that_goes_away_in_its_upload_is_499() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let mut client = Client::connect(daemon.http());
    client.send("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    server.wait_for_requests(1);
    drop(client);
    let line = daemon.wait_for_reason("client_aborted");
    assert_eq!(line["status"], 499, "{line}");
    assert_eq!(daemon.rejected("client_aborted"), 0, "it was refused nothing");
    let aborted = [("outcome", "client_aborted")];
    assert_eq!(daemon.count("sheave_upstream_attempts_total", &aborted), 1);
}

#[test]
fn a_head_that_came_too_slowly_is_logged_with_the_time_it_took() {
    let server = Server::start("1");
    let waits = "timeouts = { request_head = \"300ms\" }";
    let daemon = Daemon::start(&Config::to([&server]).listener(waits));
    let mut client = Client::connect(daemon.http());
    client.send("GET / HT");
    assert_eq!(client.response().status, 408);
    let line = daemon.wait_for_reason("head_timeout");
    assert!(line["duration_ms"].as_f64().unwrap() >= 300.0, "{line}");
}
