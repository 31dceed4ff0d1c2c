//! HTTP/2 clients that ask for work and take none, or do not keep to the protocol.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server, Step,
    certs::{self, Kind},
    frames::{self, GOAWAY, HEADERS, RST_STREAM},
    until,
};
use std::{net::SocketAddr, time::Duration};

/// More than any window or buffer holds.
const LARGE: usize = 24 << 20;

fn scene(listener: &str) -> (Daemon, Server, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    let server = Server::start("1");
    let config = Config::to([&server]).workers(1).rest(&format!(
        "[listener.https]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         tls.certificates = [{{ cert = \"site.pem\", key = \"site.key\" }}]"
    ));
    let daemon = Daemon::start_in(dir, &config.text());
    let https = daemon.address("https");
    (daemon, server, https)
}

fn until_nothing_is_left(daemon: &Daemon) {
    daemon.wait_for_metric("sheave_requests_in_flight", &[], 0);
    daemon.wait_for_metric("sheave_connections_open", &[("listener", "https")], 0);
}

#[test]
fn streams_that_begin_as_their_connection_ends_leave_nothing_behind() {
    let (daemon, _server, https) = scene("");
    let mut client = frames::connect(https, 1 << 16);
    let gets = (0..9).flat_map(|n| frames::request(2 * n + 1, "GET", "/"));
    // DATA belongs to a stream (RFC 9113 §6.1).
    client.send(gets.chain(frames::frame(0, 0, 0, b"x")).collect::<Vec<_>>());
    let _ = client.rest();
    drop(client);
    until_nothing_is_left(&daemon);
}

#[test]
fn a_connect_is_refused_alone_whatever_its_body() {
    let (daemon, server, https) = scene("");
    let mut client = frames::connect(https, 1 << 16);
    client.send(frames::connect_with_a_body(1));
    frames::until_frame(&mut client, HEADERS, 1).unwrap();
    daemon.wait_for_reason("connect_refused");
    client.send(frames::request(3, "GET", "/"));
    assert_eq!(frames::body_length(&mut client, 3).unwrap(), 1);
    assert_eq!(server.request_count(), 1);
}

#[test]
fn a_stream_of_which_the_client_takes_nothing_is_given_up_alone() {
    let (daemon, server, https) = scene("timeouts = { send = \"500ms\" }");
    server.set_for("/large", Behaviour::status(200, &"x".repeat(LARGE)));
    let mut client = frames::connect(https, 0);
    client.send(frames::request(1, "GET", "/large"));
    frames::until_frame(&mut client, RST_STREAM, 1).unwrap();
    daemon.wait_for_reason("send_timeout");
    until("the server's connection to be closed", || server.open_connections() == 0);
    client.send(frames::request(3, "HEAD", "/"));
    frames::until_frame(&mut client, HEADERS, 3).unwrap();
    drop(client);
    until_nothing_is_left(&daemon);
}

#[test]
fn a_client_that_gives_up_all_it_asks_for_is_sent_away() {
    let (daemon, server, https) = scene("");
    server.set_for("/held", Behaviour::hang());
    let mut client = frames::connect(https, 1 << 16);
    let mut asked = 0;
    // A hundred and a few suffice, but for a machine that is so slow that it is not at once.
    for _ in 0..50 {
        let batch = asked..asked + 40;
        let streams = batch.map(|n| 2 * n + 1);
        let requests = streams.clone().flat_map(|n| frames::request(n, "GET", "/held"));
        if client.try_send(requests.collect::<Vec<_>>()).is_err() {
            break;
        }
        asked += 40;
        until("the batch to be taken, or refused", || {
            server.request_count() == asked as usize || daemon.rejected("stream_resets") > 0
        });
        if client.try_send(streams.flat_map(frames::reset).collect::<Vec<_>>()).is_err() {
            break;
        }
    }
    daemon.wait_for_metric("sheave_requests_rejected_total", &[("reason", "stream_resets")], 1);
    let told = frames::until_frame(&mut client, GOAWAY, 0).unwrap();
    assert_eq!(told[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    let _ = client.rest();
    until_nothing_is_left(&daemon);
    until("the servers to be free", || server.open_connections() == 0);
}

#[test]
fn a_connection_is_told_at_once_that_it_has_carried_its_number_of_requests() {
    let (_daemon, _server, https) = scene("limits = { requests_per_connection = 2 }");
    let mut client = frames::connect(https, 1 << 16);
    client.send(frames::request(1, "GET", "/"));
    assert_eq!(frames::body_length(&mut client, 1).unwrap(), 1);
    client.send(frames::request(3, "GET", "/"));
    let since = std::time::Instant::now();
    frames::until_frame(&mut client, GOAWAY, 0).unwrap();
    assert!(since.elapsed() < Duration::from_secs(5), "not when an alarm happens to ring");
}

#[test]
fn a_client_that_does_not_hear_the_goodbye_is_sent_away() {
    let (daemon, server, https) = scene(
        "timeouts = { request_head = \"200ms\", send = \"200ms\" }\nlimits = { requests_per_connection = 1 }",
    );
    server.set_for("/held", Behaviour::hang());
    let mut client = frames::connect(https, 1 << 16);
    // One is always under way, so that the connection is never idle, and no PING is answered.
    client.send(frames::request(1, "GET", "/held"));
    let mut stream = 1;
    until("the connection to be ended", || {
        stream += 2;
        client.try_send(frames::request(stream, "GET", "/")).is_err()
            || daemon.count("sheave_connections_open", &[("listener", "https")]) == 0
    });
    assert!(server.request_count() > 2, "it was not refused, but ignored the goodbye");
    until_nothing_is_left(&daemon);
}

#[test]
fn resets_in_one_piece_with_their_requests_are_seen_for_what_they_are() {
    let (daemon, _server, https) = scene("");
    let mut client = frames::connect(https, 1 << 16);
    let streams = (0..200).map(|n| 2 * n + 1);
    let pairs = streams.map(|n| [frames::request(n, "GET", "/"), frames::reset(n)].concat());
    client.send(pairs.collect::<Vec<_>>().concat());
    let told = frames::until_frame(&mut client, GOAWAY, 0).unwrap();
    assert_eq!(told[4..8], [0, 0, 0, 11], "ENHANCE_YOUR_CALM");
    daemon.wait_for_reason("stream_resets");
    assert_eq!(daemon.rejected("stream_resets"), 1);
    drop(client);
    until_nothing_is_left(&daemon);
}

#[test]
fn a_client_that_does_nothing_after_the_goodbye_is_sent_away() {
    let (daemon, _server, https) =
        scene("timeouts = { idle = \"200ms\", request_head = \"200ms\", send = \"1h\" }");
    let mut client = frames::connect(https, 1 << 16);
    client.send(frames::request(1, "GET", "/"));
    assert_eq!(frames::body_length(&mut client, 1).unwrap(), 1);
    frames::until_frame(&mut client, GOAWAY, 0).unwrap();
    // It answers no PING.
    assert!(client.rest().is_ok());
    until_nothing_is_left(&daemon);
}

#[test]
fn a_head_that_does_not_end_is_late() {
    let head = frames::request(1, "GET", "/");
    let open = frames::frame(HEADERS, 1, 1, &head[9..]);
    let (daemon, server, https) =
        scene("timeouts = { request_head = \"500ms\", idle = \"1h\", send = \"1h\" }");
    let cases = [(&head[..20], false), (&head[..5], false), (&open[..], false), (&head[..9], true)];
    for (count, (begun, goes_on)) in (1..).zip(cases) {
        let mut client = frames::connect(https, 1 << 16);
        client.send(begun);
        let mut rest = head[begun.len()..].chunks(1);
        until("the client to be sent away", || {
            if goes_on {
                std::thread::sleep(Duration::from_millis(100));
                let _ = client.try_send(rest.next().expect("less than the whole head"));
            }
            daemon.rejected("head_timeout") == count
        });
        frames::until_frame(&mut client, GOAWAY, 0).unwrap();
        drop(client);
        until_nothing_is_left(&daemon);
    }
    // Half a preface is no head, but as little.
    let (mut client, _) =
        crate::rig::secure::Handshake::offering(&["h2"]).connect(https, "localhost");
    client.send(b"PRI * HTTP");
    assert!(frames::until_frame(&mut client, GOAWAY, 0).is_ok());
    let line = daemon.wait_for_reason("head_timeout");
    assert_eq!((&line["status"], &line["protocol"]), (&408.into(), &"HTTP/2.0".into()));
    assert!(line["duration_ms"].as_f64().unwrap() >= 500.0, "{line}");
    assert_eq!(server.request_count(), 0);
}

#[test]
fn a_connection_that_is_between_two_heads_is_not_late() {
    let (daemon, server, https) =
        scene("timeouts = { request_head = \"100ms\", idle = \"1h\", send = \"1h\" }");
    let gate = crate::rig::Gate::default();
    server.set_for("/held", Behaviour::gated(&gate));
    let mut client = frames::connect(https, 1 << 16);
    client.send(frames::begin_upload(1, "/held", ""));
    // Half a DATA frame: its body has a timeout of its own.
    let data = frames::frame(0, 1, 1, b"hello");
    client.send(&data[..10]);
    let since = std::time::Instant::now();
    while since.elapsed() < Duration::from_millis(600) {
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(daemon.rejected("head_timeout"), 0);
    }
    client.send(&data[10..]);
    gate.open();
    assert_eq!(frames::body_length(&mut client, 1).unwrap(), 1);
}

#[test]
fn an_upload_that_is_reset_without_an_error_is_no_whole_one() {
    let (daemon, server, https) = scene("");
    for (stream, length) in [(1, ""), (3, "10")] {
        let mut client = frames::connect(https, 1 << 16);
        client.send(frames::begin_upload(stream, "/", length));
        client.send(frames::frame(0, 0, stream, b"hello"));
        server.wait_for_requests(1);
        // NO_ERROR, which is no end, either.
        client.send(frames::frame(RST_STREAM, 0, stream, &[0; 4]));
        daemon.wait_for_reason("client_aborted");
        until("the server's connection to be closed", || server.open_connections() == 0);
        assert_eq!(server.last_request().body, b"", "it never came to its end");
        server.forget_requests();
    }
}

#[test]
fn an_upload_goes_on_while_its_client_takes_nothing_of_the_early_answer() {
    const PART: usize = 16 << 10;
    for buffer in ["32KiB", "0"] {
        let dir = tempfile::tempdir().unwrap();
        certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
        let server = Server::start("1");
        server.set(Behaviour::new([
            Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
            Step::Send(format!("186a0\r\n{}\r\n", "e".repeat(100_000)).into()),
            Step::Body,
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]));
        let route = format!("response_buffer = \"{buffer}\"");
        let config = Config::to([&server]).workers(1).route(&route).rest(
            "[listener.https]\naddress = \"127.0.0.1:0\"\n\
             tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
        );
        let daemon = Daemon::start_in(dir, &config.text());
        // It takes no byte of a body, and sends more than windows and sockets hold.
        let mut client = frames::connect(daemon.address("https"), 0);
        client.send(frames::begin_upload(1, "/", ""));
        // As much as it may send on one stream at first, once the connection may send more.
        let mut window = 256 << 10;
        frames::until_window_update(&mut client, 0).unwrap();
        for _ in 0..64 {
            while window < PART {
                window += frames::until_window_update(&mut client, 1).unwrap();
            }
            client.send(frames::frame(0, 0, 1, &[b'u'; PART]));
            window -= PART;
        }
        client.send(frames::frame(0, 1, 1, b""));
        until("the whole upload", || {
            server.request_count() > 0 && server.last_request().body.len() == 64 * PART
        });
    }
}

#[test]
fn what_is_no_http2_is_counted() {
    let (daemon, _server, https) = scene("");
    let mut client = frames::connect(https, 1 << 16);
    // DATA belongs to a stream (RFC 9113 §6.1).
    client.send(frames::frame(0, 0, 0, b"x"));
    assert!(client.rest().is_ok() || frames::is_ended(&mut client));
    daemon.wait_for_metric("sheave_requests_rejected_total", &[("reason", "bad_request")], 1);
    assert_eq!(Client::connect(daemon.http()).get("/").status, 200);
}

/// What a request with one more field, or another one of its pseudo-header fields, comes to.
#[derive(Debug, PartialEq)]
enum Comes {
    To(&'static str),
    Reset,
    TheConnectionsEnd(u8),
}

fn comes_of(https: SocketAddr, name: &[u8], value: &[u8]) -> Comes {
    let mut client = frames::connect(https, 1 << 16);
    let usual: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"localhost"),
        (b":path", b"/"),
    ];
    let mut fields = usual.to_vec();
    match fields.iter_mut().find(|field| field.0 == name) {
        Some(field) => field.1 = value,
        None => fields.push((name, value)),
    }
    client.send(frames::request_of(1, &fields));
    loop {
        let (kind, _, stream, payload) = frames::next(&mut client).unwrap();
        match kind {
            GOAWAY => return Comes::TheConnectionsEnd(payload[7]),
            RST_STREAM => return Comes::Reset,
            // Of the static table: 8 is `:status: 200`, 12 is `:status: 400`, 13 is 404.
            HEADERS if stream == 1 => {
                let status = match payload[0] {
                    0x88 => "200",
                    0x8c => "400",
                    _ => "another",
                };
                // The connection goes on.
                client.send(frames::request(3, "GET", "/"));
                assert_eq!(frames::body_length(&mut client, 3).unwrap(), 1);
                return Comes::To(status);
            }
            _ => {}
        }
    }
}

#[test]
fn what_a_malformed_field_comes_to() {
    use Comes::{Reset, TheConnectionsEnd, To};
    let (daemon, server, https) = scene("");
    for (name, value, comes) in [
        ("x-a", "b", To("200")),
        ("x-a", "", To("200")),
        ("x-a", "b\tc d", To("200")),
        ("x-a", "\u{e9}", To("200")),
        // Ours: RFC 9113 §8.2.1.
        ("x-a", " b", To("400")),
        ("x-a", "b ", To("400")),
        ("x-a", "\tb", To("400")),
        // h2's, as RFC 9113 §8.1.1 wants it.
        ("connection", "close", Reset),
        ("transfer-encoding", "chunked", Reset),
        ("te", "gzip", Reset),
        (":path", "", Reset),
        // h2's, and RFC 9113 wants these to be stream errors as well: see docs/decisions/http2-errors.md.
        ("X-A", "b", TheConnectionsEnd(1)),
        ("x a", "b", TheConnectionsEnd(1)),
        ("x:a", "b", TheConnectionsEnd(1)),
        ("", "b", TheConnectionsEnd(1)),
        ("x-a", "b\0c", TheConnectionsEnd(1)),
        ("x-a", "b\nc", TheConnectionsEnd(1)),
        ("x-a", "b\x7f", TheConnectionsEnd(1)),
        (":method", "G T", TheConnectionsEnd(1)),
        (":other", "b", TheConnectionsEnd(1)),
    ] {
        let come = comes_of(https, name.as_bytes(), value.as_bytes());
        assert_eq!(come, comes, "{name:?}: {value:?}");
    }
    assert_eq!(comes_of(https, b":path", b"/\xe9"), TheConnectionsEnd(1), "no UTF-8");
    assert_eq!(daemon.rejected("field_padded"), 3);
    assert_eq!(server.request_count(), 4 + 7, "the good ones, and those after an answer");
}

#[test]
fn padded_trailers_end_their_request() {
    let (daemon, server, https) = scene("");
    let mut client = frames::connect(https, 1 << 16);
    client.send(frames::begin_upload(1, "/", ""));
    client.send(frames::frame(0, 0, 1, b"hello"));
    client.send(frames::trailers(1, &[(b"x-sum", b"5 ")]));
    daemon.wait_for_reason("bad_request");
    client.send(frames::request(3, "GET", "/"));
    assert_eq!(frames::body_length(&mut client, 3).unwrap(), 1);
    assert!(server.last_request().head.start().starts_with("GET"));
}

#[test]
fn no_client_can_fill_the_log_with_what_a_library_says_of_it() {
    let (daemon, _server, https) = scene("");
    let mut client = frames::connect(https, 1 << 16);
    // ACKs of PINGs that nobody has sent.
    client.send(frames::frame(6, 1, 0, b"unasked!").repeat(2000));
    client.send(frames::request(1, "GET", "/"));
    assert_eq!(frames::body_length(&mut client, 1).unwrap(), 1);
    // What is logged after it is there: so is what came before.
    drop(client);
    daemon.signal("USR1");
    daemon.log.wait_for("USR1", |line| line.contains("reopening"));
    let lines = daemon.log.lines();
    let said: Vec<_> = lines.iter().filter(|line| line.contains("PING ack")).collect();
    assert_eq!(said.len(), 1, "{}", said.len());
    for part in ["\"WARN\"", "\"client\":\"127.0.0.1\"", "\"library\":\"h2::proto::ping_pong\""] {
        assert!(said[0].contains(part), "{part} in {}", said[0]);
    }
}
