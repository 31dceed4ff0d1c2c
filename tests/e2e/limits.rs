//! What is too large, too many, too long or too slow.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server, Step,
    certs::{self, Kind},
    client,
    client::{get, request},
    secure::Handshake,
    until,
};
use std::time::{Duration, Instant};

fn with_listener(lines: &str) -> (Server, Daemon) {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).listener(lines));
    (server, daemon)
}

/// Sends bytes and expects a status, a close, and nothing at the server.
fn refused(server: &Server, daemon: &Daemon, message: &str, status: u16) {
    let before = server.request_count();
    let mut client = Client::connect(daemon.http());
    // It may be refused while we are still sending.
    let _ = client.try_send(message);
    let answer = client.try_response("GET").unwrap_or_else(|e| panic!("{status} expected: {e}"));
    assert_eq!(answer.status, status);
    // A head that was read to its end leaves the connection usable.
    if status != 414 || answer.head.closes() {
        client.expect_close();
    }
    assert_eq!(server.request_count(), before);
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn a_head_too_large_is_431() {
    let (server, daemon) = with_listener("");
    let field = format!("X: {}\r\n", "x".repeat(40 * 1024));
    refused(&server, &daemon, &request("GET", "/", &field, ""), 431);
    let fields = format!("X: {}\r\n", "x".repeat(1000)).repeat(50);
    refused(&server, &daemon, &request("GET", "/", &fields, ""), 431);
}

#[test]
fn a_head_that_never_ends_is_431_too() {
    let (server, daemon) = with_listener("");
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(100 * 1024));
    refused(&server, &daemon, &endless, 431);
}

#[test]
fn too_many_fields_are_431_and_just_enough_are_not() {
    let (server, daemon) = with_listener("");
    let fields = |count: usize| "X: y\r\n".repeat(count);
    refused(&server, &daemon, &request("GET", "/", &fields(101), ""), 431);
    assert_eq!(client::ask(daemon.http(), &request("GET", "/", &fields(99), "")).status, 200);
}

#[test]
fn a_target_too_long_is_414_and_one_that_just_fits_is_not() {
    let (server, daemon) = with_listener("");
    let target = |length: usize| format!("/{}", "a".repeat(length - 1));
    refused(&server, &daemon, &request("GET", &target(8 * 1024 + 1), "", ""), 414);
    assert_eq!(get(daemon.http(), &target(8 * 1024)).status, 200);
}

#[test]
fn a_slow_head_is_408() {
    let (server, daemon) = with_listener("timeouts = { request_head = \"300ms\" }");
    refused(&server, &daemon, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", 408);
    // The time starts with the first byte of each request, also on a kept connection.
    let mut client = Client::connect(daemon.http());
    client.get("/");
    client.send("GET / HT");
    assert_eq!(client.response().status, 408);
    client.expect_close();
}

#[test]
fn a_head_in_drops_is_408_however_steady_they_are() {
    let (_server, daemon) = with_listener("timeouts = { request_head = \"400ms\" }");
    let mut client = Client::connect(daemon.http());
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(2000));
    for byte in head.as_bytes() {
        if client.try_send([*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // What was still being sent when the daemon closed may have cost us its answer.
    if let Ok(answer) = client.try_response("GET") {
        assert_eq!(answer.status, 408);
    }
    assert!(daemon.count("sheave_requests_rejected_total", &[]) > 0);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let (_server, daemon) = with_listener("timeouts = { idle = \"300ms\" }");
    let mut client = Client::connect(daemon.http());
    client.get("/");
    client.expect_close();
    let mut silent = Client::connect(daemon.http());
    silent.expect_close();
    let labels = [("listener", "http")];
    until("the connections to be gone", || daemon.count("sheave_connections_open", &labels) == 0);
}

#[test]
fn a_client_that_says_nothing_is_taken_all_the_same() {
    let (_server, daemon) = with_listener("");
    let mut silent = Client::connect(daemon.http());
    let labels = [("listener", "http")];
    until("it to be taken", || daemon.count("sheave_connections_open", &labels) == 1);
    assert_eq!(silent.get("/").status, 200);
}

#[test]
fn without_defer_accept_connections_are_taken_in_their_order_also_after_a_reload() {
    let server = Server::start("1");
    let config = || Config::to([&server]).workers(1);
    let daemon = Daemon::start(&config());
    daemon.rewrite_config(&config().listener("defer_accept = false").text());
    assert_eq!(daemon.reload().status, 200);
    let mut silent = Client::connect(daemon.http());
    let mut other = Client::connect(daemon.http());
    assert_eq!(other.get("/").status, 200);
    let labels = [("listener", "http")];
    assert_eq!(daemon.count("sheave_connections_open", &labels), 2, "the silent one came first");
    assert_eq!(silent.get("/").status, 200);
}

#[test]
fn a_slow_body_is_408() {
    let server = Server::start("1");
    let daemon =
        Daemon::start(&Config::to([&server]).route("timeouts = { body_idle = \"300ms\" }"));
    let mut client = Client::connect(daemon.http());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().status, 408);
    client.expect_close();
    daemon.wait_for_reason("body_timeout");
    until("the server's connection to be closed", || server.open_connections() == 0);
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn a_body_that_comes_byte_by_byte_for_ever_is_408() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).route("timeouts = { body_idle = \"1s\" }"));
    let mut client = Client::connect(daemon.http());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    // It is never silent for as long as `body_idle`, and would take 50 s for all of it.
    let sent = (0..1000).take_while(|_| {
        std::thread::sleep(Duration::from_millis(50));
        client.try_send("x").is_ok() && daemon.rejected("body_timeout") == 0
    });
    let sent = sent.count();
    assert!((1..900).contains(&sent), "{sent}");
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_body_too_large_is_413() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).route("max_body = \"1KiB\""));
    assert_eq!(client::ask(daemon.http(), &request("PUT", "/", "", &"b".repeat(1024))).status, 200);
    let announced = request("PUT", "/", "", &"b".repeat(1025));
    refused(&server, &daemon, &announced, 413);
    daemon.wait_for_reason("body_too_large");

    let mut client = Client::connect(daemon.http());
    let chunk = format!("400\r\n{}\r\n", "c".repeat(1024));
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let _ = client.try_send(format!("{head}{chunk}{chunk}0\r\n\r\n"));
    assert_eq!(client.response().status, 413);
    client.expect_close();
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn a_client_that_sends_all_of_a_body_too_large_before_it_reads_gets_its_413() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).route("max_body = \"1KiB\""));
    let mut client = Client::connect(daemon.http());
    let body = "b".repeat(20 << 20);
    client.send(request("PUT", "/", "", &body));
    assert_eq!(client.response().status, 413);
}

#[test]
fn a_body_that_comes_byte_by_byte_takes_no_more_memory_than_it_has() {
    let server = Server::start("1");
    server.set(Behaviour::hang());
    let daemon = Daemon::start(&Config::to([&server]).workers(1));
    let mut client = Client::connect(daemon.http());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    server.wait_for_requests(1);
    let resident = || daemon.count("process_resident_memory_bytes", &[]);
    let mut send = |count| {
        for _ in 0..count {
            client.send("1\r\nx\r\n");
            // So that it is read by itself.
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    // The system gives memory in pieces of 2 MiB: what the first bytes need is there before.
    send(20);
    let before = resident();
    send(2000);
    let more = resident().saturating_sub(before);
    assert!(more < 4 << 20, "2,000 bytes that may have to be sent again take {more}");
}

#[test]
fn expect_100_continue_with_a_body_too_large_is_413_without_the_body() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).route("max_body = \"1KiB\""));
    let mut client = Client::connect(daemon.http());
    client
        .send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status, answer.interim.len()), (413, 0));
}

#[test]
fn the_last_request_of_a_connection_says_close() {
    let (_server, daemon) = with_listener("limits = { requests_per_connection = 3 }");
    let mut client = Client::connect(daemon.http());
    for n in 1..=3 {
        assert_eq!(client.get("/").head.closes(), n == 3, "request {n}");
    }
    client.expect_close();
}

#[test]
fn connections_past_the_limit_wait_until_one_closes() {
    let server = Server::start("1");
    let config = Config::to([&server]).workers(1).listener("limits = { connections = 2 }");
    let daemon = Daemon::start(&config);
    let mut first = Client::connect(daemon.http());
    let mut second = Client::connect(daemon.http());
    first.get("/");
    second.get("/");
    let mut third = Client::connect(daemon.http());
    third.send(request("GET", "/third", "", ""));
    first.get("/");
    second.get("/");
    assert!(server.requests().iter().all(|r| r.head.path() != "/third"), "it waits");
    drop(first);
    assert_eq!(third.response().status, 200);
}

#[test]
fn a_server_that_stalls_in_its_body_ends_the_response_as_an_aborted_one() {
    let server = Server::start("1");
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc";
    server.set(Behaviour::new([Step::Body, Step::Send(half.into()), Step::Hang]));
    let daemon = Daemon::start(&Config::to([&server]).route("timeouts = { read = \"300ms\" }"));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/", "", ""));
    assert!(client.try_response("GET").is_err());
    daemon.wait_for_reason("read_timeout");
    until("the server's connection to be closed", || server.open_connections() == 0);
}

#[test]
fn a_client_that_stops_reading_is_given_up_and_its_server_freed() {
    let server = Server::start("1");
    let huge = "h".repeat(30 << 20);
    server.set_for("/huge", Behaviour::status(200, &huge));
    let daemon = Daemon::start(&Config::to([&server]).listener("timeouts = { send = \"500ms\" }"));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/huge", "", ""));
    client.first_byte().unwrap();
    until("the server's connection to be closed", || server.open_connections() == 0);
    daemon
        .wait_for_access("the request", |line| line["uri"] == "/huge" && !line["reason"].is_null());
}

#[test]
fn a_slow_head_is_408_also_after_a_response_that_was_taken_slowly() {
    let server = Server::start("1");
    let large = "l".repeat(30 << 20);
    server.set_for("/large", Behaviour::status(200, &large));
    let timeouts = "timeouts = { request_head = \"500ms\", send = \"60s\" }";
    let daemon = Daemon::start(&Config::to([&server]).listener(timeouts));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/large", "", ""));
    client.first_byte().unwrap();
    // Until the connection's timer has rung while the client took nothing.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(client.response().body.len(), large.len());
    client.send("GET / HT");
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_client_that_goes_away_frees_its_server() {
    let server = Server::start("1");
    server.set(Behaviour::hang());
    let daemon = Daemon::start(&Config::to([&server]));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/", "", ""));
    server.wait_for_requests(1);
    drop(client);
    until("the server's connection to be closed", || server.open_connections() == 0);
    daemon.wait_for_reason("client_aborted");
    assert_eq!(daemon.count("sheave_requests_in_flight", &[]), 0);
    assert_eq!(daemon.state_name(&server.to_string()), "up", "no fault of the server's");
}

#[test]
fn a_client_that_goes_away_is_seen_behind_what_it_has_sent_already() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    let server = Server::start("1");
    server.set(Behaviour::hang());
    let config = Config::to([&server]).rest(
        "[listener.https]\naddress = \"127.0.0.1:0\"\n\
         tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
    );
    let daemon = Daemon::start_in(dir, &config.text());
    let next = request("GET", "/next", "", "");
    let at_once = |what: &str, begun: Instant| {
        until(what, || server.open_connections() == 0);
        // It was looked for once a second.
        assert!(begun.elapsed() < Duration::from_millis(700), "{what}: {:?}", begun.elapsed());
        server.forget_requests();
    };
    // A byte, what is read ahead, and more than that; also without an end.
    for behind in ["G".into(), next.clone(), next.repeat(600), "x".repeat(100_000)] {
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", "", "") + &behind);
        server.wait_for_requests(1);
        let begun = Instant::now();
        drop(client);
        at_once("the server's connection to be closed", begun);
        let (mut client, _) =
            Handshake::offering(&[]).connect(daemon.address("https"), "localhost");
        client.send(request("GET", "/", "", "") + &behind);
        server.wait_for_requests(1);
        let begun = Instant::now();
        drop(client);
        at_once("the server's connection to be closed, TLS", begun);
    }
    until("all to be logged", || {
        daemon.access_log().iter().filter(|it| it["reason"] == "client_aborted").count() == 8
    });
}

#[test]
fn a_small_response_to_a_slow_client_frees_the_server_at_once() {
    let server = Server::start("1");
    // Larger than what socket buffers hold for a client that does not read at all.
    server.set(Behaviour::status(200, &"r".repeat(24 << 10)));
    let daemon = Daemon::start(&Config::to([&server]).workers(1));
    let mut slow = Client::connect(daemon.http());
    slow.send(request("GET", "/", "", ""));
    until("the slow one's lease to end", || {
        server.request_count() == 1 && daemon.server_state(&server.to_string())["in_flight"] == 0
    });
    assert_eq!(get(daemon.http(), "/").status, 200);
    assert_eq!(server.accepted(), 1, "the connection was free for the next");
    assert_eq!(slow.response().body.len(), 24 << 10);
}

/// Requests that end before there is a whole head, with their status.
fn headless() -> [(String, u16); 4] {
    let long = format!("X: {}\r\n", "x".repeat(40 << 10));
    [
        (request("GET", "/", &"X: y\r\n".repeat(101), ""), 431),
        (request("GET", "/", &long, ""), 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n".into(), 408),
    ]
}

#[test]
fn what_never_becomes_a_request_is_counted() {
    let (_server, daemon) = with_listener("timeouts = { request_head = \"300ms\" }");
    for (message, status) in headless() {
        let rejected = || daemon.count("sheave_requests_rejected_total", &[]);
        let before = rejected();
        let mut client = Client::connect(daemon.http());
        let _ = client.try_send(message);
        assert_eq!(client.response().status, status);
        until(&format!("the {status} to be counted"), || rejected() > before);
    }
}

#[test]
fn what_never_becomes_a_request_is_logged_with_its_reason() {
    let (_server, daemon) = with_listener("timeouts = { request_head = \"300ms\" }");
    for (message, status) in headless() {
        let mut client = Client::connect(daemon.http());
        let _ = client.try_send(message);
        assert_eq!(client.response().status, status);
        daemon.wait_for_access(&format!("the {status}"), |line| {
            line["status"] == status && !line["reason"].is_null()
        });
    }
}

#[test]
fn how_large_a_responses_head_may_be_is_the_upstreams_to_say() {
    let server = Server::start("1");
    let large =
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: 1\r\n".repeat(300));
    for (limits, statuses) in [
        ("", [502, 502]),
        ("limits.response_head = \"128KiB\"", [200, 502]),
        ("limits.response_headers = 301", [502, 200]),
    ] {
        let daemon = Daemon::start(&Config::to([&server]).upstream(limits));
        for (response, status) in [&large, &many].into_iter().zip(statuses) {
            server.set(Behaviour::raw(response));
            assert_eq!(get(daemon.http(), "/").status, status, "{limits}");
        }
    }
}

#[test]
fn an_idle_connection_wakes_its_worker_once_per_idle_time() {
    let server = Server::start("1");
    let waits = "timeouts = { request_head = \"20ms\", idle = \"60s\" }";
    let daemon = Daemon::start(&Config::to([&server]).workers(1).listener(waits));
    let mut client = Client::connect(daemon.http());
    assert_eq!(client.get("/").status, 200);
    let before = daemon.wakes_of("worker-0");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let wakes = daemon.wakes_of("worker-0") - before;
    assert!(wakes < 40, "{wakes} in 2 s: of its own a worker has one a second");
    // The time for a head counts all the same.
    client.send("GET / HT");
    assert_eq!(client.response().status, 408);
}
