//! Servers that speak HTTP/2, by prior knowledge.

use crate::rig::{
    Client, Config, Daemon, Load, Server,
    client::{ask, get, request},
    frames::frame,
    http2_server::{Deed, Http2Server},
    secure::Http2,
    until,
};
use h2::Reason;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    thread,
    time::Duration,
};

fn config(servers: &[&Http2Server], more: &str) -> Config {
    let list: Vec<_> = servers.iter().map(|it| format!("{{ address = \"{it}\" }}")).collect();
    Config::bare().workers(1).rest(&format!(
        "[upstream.app]\nprotocol = \"http2\"\nservers = [{}]\n{more}\n[[site]]\n[[site.route]]\nupstream = \"app\"\nmax_body = 0\n",
        list.join(", ")
    ))
}

fn one(more: &str) -> (Http2Server, Daemon) {
    let server = Http2Server::start("1");
    let daemon = Daemon::start(&config(&[&server], more));
    (server, daemon)
}

#[test]
fn a_request_passes_with_its_fields_body_and_trailers() {
    let (server, daemon) = one("");
    let mut client = Client::connect(daemon.http());
    let answer = client.ask(&request(
        "POST",
        "/a?b=c",
        "X-Kept: 1\r\nConnection: x-mine\r\nX-Mine: 1\r\nCookie: a=b\r\n",
        "body",
    ));
    assert_eq!((answer.status, &*answer.text()), (200, "1"));
    let seen = server.wait_for("/a", |it| it.body == b"body");
    assert_eq!((&*seen.method, &*seen.uri.to_string()), ("POST", "http://localhost/a?b=c"));
    assert_eq!((seen.field("x-kept"), seen.field("cookie")), (Some("1"), Some("a=b")));
    assert_eq!(seen.field("content-length"), Some("4"));
    assert_eq!(
        (seen.field("x-forwarded-for"), seen.field("via")),
        (Some("127.0.0.1"), Some("1.1 lb"))
    );
    for gone in ["x-mine", "connection", "host", "transfer-encoding"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    server.set_for("/stream", Deed::Return);
    client.send("POST /stream HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 6\r\n\r\n");
    let head = client.head().unwrap();
    assert!(head.is_chunked());
    let (body, trailers) = client.chunked().unwrap();
    assert_eq!((&*body, trailers.field("sum")), (&b"abc"[..], Some("6")));
    assert_eq!(server.wait_for("/stream", |_| true).field("te"), Some("trailers"));
    assert_eq!(server.accepted(), 1, "one connection for all");
    assert_eq!(client.ask(&request("HEAD", "/head", "", "")).status, 200);
}

#[test]
fn many_requests_share_a_connection_and_more_get_another() {
    let server = Http2Server::with_streams("1", 5);
    let daemon = Daemon::start(&config(&[&server], ""));
    server.set(Deed::Wait);
    let mut clients: Vec<_> = (0..12).map(|_| Client::connect(daemon.http())).collect();
    for client in &mut clients {
        client.send(request("GET", "/", "", ""));
    }
    until("all requests", || server.seen().len() == 12);
    server.go(12);
    for client in &mut clients {
        assert_eq!(client.response().text(), "1");
    }
    let connections = server.accepted();
    assert!((3..=5).contains(&connections), "{connections}");
}

#[test]
fn refused_streams_are_tried_again_whatever_the_method() {
    let servers = [Http2Server::start("1"), Http2Server::start("2")];
    servers[0].set(Deed::Reset(Reason::REFUSED_STREAM));
    let daemon = Daemon::start(&config(&[&servers[0], &servers[1]], ""));
    for _ in 0..20 {
        let answer = ask(daemon.http(), &request("POST", "/", "", "body"));
        assert_eq!((answer.status, &*answer.text()), (200, "2"));
    }
    // It is no fault of the server.
    assert_eq!(daemon.state_name(&servers[0].address.to_string()), "up");
}

#[test]
fn a_reset_is_tried_again_only_where_that_is_safe() {
    let servers = [Http2Server::start("1"), Http2Server::start("2")];
    servers[0].set(Deed::Reset(Reason::INTERNAL_ERROR));
    let daemon = Daemon::start(&config(&[&servers[0], &servers[1]], ""));
    let mut failed = 0;
    for _ in 0..4 {
        assert_eq!(get(daemon.http(), "/").text(), "2");
        failed += u32::from(ask(daemon.http(), &request("POST", "/", "", "body")).status == 502);
    }
    assert!(failed > 0);
    daemon.wait_for_reason("reset");
}

#[test]
fn goaway_loses_nothing() {
    let servers = [Http2Server::start("1"), Http2Server::start("2")];
    for server in &servers {
        server.set(Deed::GoAway);
    }
    let daemon = Daemon::start(&config(&[&servers[0], &servers[1]], ""));
    let load = Load::on(daemon.http()).connections(8).requests(2000);
    let outcome = load.asking(|n| request("GET", &format!("/{n}"), "", "")).run();
    assert_eq!(outcome.failures.len(), 0, "{:?}", outcome.failures.first());
    // Also what must not be sent twice.
    let load = Load::on(daemon.http()).connections(8).requests(500);
    let outcome = load.asking(|n| request("POST", &format!("/{n}"), "", "body")).run();
    assert_eq!(outcome.failures.len(), 0, "{:?}", outcome.failures.first());
}

#[test]
fn ten_thousand_requests_survive_servers_that_misbehave() {
    let servers = [Http2Server::start("1"), Http2Server::start("2"), Http2Server::start("3")];
    let all = servers.each_ref();
    let daemon = Daemon::start(&config(&all, "retry.budget_min = 1000").quiet());
    let address = daemon.http();
    let load = Load::on(address).connections(16).requests(10_000);
    let load = load.asking(|n| request("GET", &format!("/{n}"), "", "")).start();
    for round in 0..12 {
        let victim = &servers[round % 2];
        match round % 4 {
            0 => victim.drop_connections(),
            1 => victim.set(Deed::ResetHalf(Reason::INTERNAL_ERROR)),
            2 => victim.set(Deed::ResetHalf(Reason::REFUSED_STREAM)),
            _ => victim.set(Deed::GoAway),
        }
        thread::sleep(Duration::from_millis(100));
        victim.set(Deed::Name);
    }
    let outcome = load.finish();
    assert_eq!(outcome.failures.len(), 0, "{:?}", outcome.failures.first());
}

#[test]
fn a_connection_that_gives_no_sign_of_life_ends() {
    let (server, daemon) =
        one("http2.ping = \"200ms\"\nhttp2.ping_timeout = \"300ms\"\nretry.on = []");
    // A living one answers pings, however long it takes.
    server.set_for("/slow", Deed::Wait);
    let mut slow = Client::connect(daemon.http());
    slow.send(request("GET", "/slow", "", ""));
    server.wait_for("/slow", |_| true);
    thread::sleep(Duration::from_millis(1200));
    server.go(1);
    assert_eq!(slow.response().text(), "1");
    // A frozen one does not.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::bare().workers(1).rest(&format!(
        "[upstream.app]\nprotocol = \"http2\"\nhttp2.ping = \"200ms\"\nhttp2.ping_timeout = \"300ms\"\nretry.on = []\nservers = [{{ address = \"{}\" }}]\n[[site]]\n[[site.route]]\nupstream = \"app\"\n",
        frozen.local_addr().unwrap()
    ));
    let daemon = Daemon::start(&config);
    let answer = get(daemon.http(), "/");
    assert_eq!(answer.status, 502);
    daemon.wait_for_reason("reset");
}

#[test]
fn a_client_that_goes_away_cancels_at_once() {
    let (server, daemon) = one("");
    server.set(Deed::Hang);
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/hang", "", ""));
    server.wait_for("/hang", |_| true);
    drop(client);
    let seen = server.wait_for("/hang", |it| it.reset.is_some());
    assert_eq!(seen.reset.as_deref(), Some("CANCEL"));
    assert_eq!(server.open(), 1, "the connection goes on");
}

#[test]
fn a_response_that_breaks_off_is_told() {
    let (server, daemon) = one("");
    server.set(Deed::ResetLate(Reason::INTERNAL_ERROR));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/", "", ""));
    assert!(client.head().unwrap().is_chunked());
    assert!(client.chunked().is_err());
    daemon.wait_for_reason("response_truncated");
}

#[test]
fn hints_and_trailers_pass_to_both_kinds_of_clients() {
    let (server, daemon) = one("");
    server.set_for("/hint", Deed::Hint("</a.css>"));
    let answer = get(daemon.http(), "/hint");
    assert_eq!((answer.status, answer.interim.len()), (200, 1));
    assert_eq!(answer.interim[0].field("link"), Some("</a.css>"));
    server.set_for("/parts", Deed::Parts(vec!["a", "b"], vec![("sum", "2")]));
    let answer =
        ask(daemon.http(), &request("GET", "/parts", "TE: trailers\r\nConnection: te\r\n", ""));
    assert_eq!((&*answer.text(), answer.trailers.field("sum")), ("ab", Some("2")));
    let client = Http2::connect_plain(daemon.http());
    let answer = client.get("http://a/parts").unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"ab"[..]));
}

#[test]
fn a_slow_client_holds_its_own_response_back_and_no_other() {
    let (server, daemon) = one("");
    server.set_for("/return", Deed::Return);
    let mut slow = Client::connect(daemon.http());
    slow.stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    slow.send("POST /return HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let part = vec![7; 1 << 20];
    let taken = (0..100).take_while(|_| slow.try_send(&part).is_ok()).count();
    assert!(taken < 100, "all was taken");
    for _ in 0..20 {
        assert_eq!(get(daemon.http(), "/").text(), "1");
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_websocket_passes_to_a_server_that_knows_extended_connect() {
    let (server, daemon) = one("");
    server.set_for("/chat", Deed::Return);
    let mut client = Client::connect(daemon.http());
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(request("GET", "/chat", fields, ""));
    let head = client.head().unwrap();
    assert_eq!((head.status(), head.field("upgrade")), (Some(101), Some("websocket")));
    assert_eq!(head.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for text in ["hello", "again"] {
        client.send(text);
        assert_eq!(client.exactly(5).unwrap(), text.as_bytes());
    }
    let seen = server.wait_for("/chat", |_| true);
    assert_eq!((&*seen.method, seen.protocol.as_deref()), ("CONNECT", Some("websocket")));
    assert_eq!(
        (seen.field("sec-websocket-version"), seen.field("sec-websocket-key")),
        (Some("13"), None)
    );
    assert_eq!(daemon.server_state(&server.address.to_string())["tunnels"], 1);
    let mut socket = client.stream().try_clone().unwrap();
    socket.flush().unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"bye");
}

#[test]
fn a_server_without_http2_is_told_of() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::bare().rest(&format!(
        "[upstream.app]\nprotocol = \"http2\"\nservers = [{{ address = \"{server}\" }}]\n[[site]]\n[[site.route]]\nupstream = \"app\"\n",
    )));
    assert_eq!(get(daemon.http(), "/").status, 502);
}

/// A server that sends these bytes once it has been asked, and then reads on.
fn raw(sent: Vec<u8>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, sent) = (socket.unwrap(), sent.clone());
            thread::spawn(move || {
                let (mut came, mut part) = (Vec::new(), [0; 4096]);
                // HEADERS on stream 1, whatever its flags.
                while !came.windows(6).any(|it| it[0] == 1 && it[2..] == [0, 0, 0, 1]) {
                    match socket.read(&mut part) {
                        Ok(count @ 1..) => came.extend_from_slice(&part[..count]),
                        _ => return,
                    }
                }
                let mut writer = socket.try_clone().unwrap();
                thread::spawn(move || writer.write_all(&sent));
                while socket.read(&mut part).is_ok_and(|count| count > 0) {}
            });
        }
    });
    address
}

#[test]
fn servers_that_break_the_rules_or_flood_are_502_or_504_and_hold_no_memory() {
    const PART: [u8; 16_000] = [b'x'; 16_000];
    let settings = || frame(4, 0, 0, &[]);
    let endless = || (0..500).flat_map(|_| frame(9, 0, 1, &PART));
    // A field that is not indexed, `x: `, whose value has 100,000 bytes (RFC 7541 §5.1).
    let field = [b"\x88\x00\x01x\x7f\xa1\x8c\x06".to_vec(), vec![b'x'; 100_000]].concat();
    let parts = field[16_000..].chunks(16_000).map(|it| frame(9, 0, 1, it));
    let large = [frame(1, 0, 1, &field[..16_000]), parts.flatten().collect(), frame(9, 4, 1, &[])];
    let cases = [
        ("DATA on stream 0", frame(0, 0, 0, b"x")),
        ("a window update of 0", frame(8, 0, 1, &[0; 4])),
        ("10,000 pings", frame(6, 0, 0, &[7; 8]).repeat(10_000)),
        ("10,000 settings", settings().repeat(10_000)),
        (
            "CONTINUATION without end",
            frame(1, 0, 1, &[0x88]).into_iter().chain(endless()).collect(),
        ),
        ("a large head", large.concat()),
    ];
    for (what, sent) in cases {
        let address = raw([settings(), sent].concat());
        let daemon = Daemon::start(&Config::bare().workers(1).rest(&format!(
            "[upstream.app]\nprotocol = \"http2\"\nservers = [{{ address = \"{address}\" }}]\nretry.on = []\n\
             [[site]]\n[[site.route]]\nupstream = \"app\"\ntimeouts.response_head = \"1s\"\n",
        )));
        let before = daemon.anonymous_memory();
        for _ in 0..3 {
            let status = get(daemon.http(), "/").status;
            assert!([502, 504].contains(&status), "{what}: {status}");
        }
        let grown = daemon.anonymous_memory().saturating_sub(before);
        assert!(grown < 16 << 10, "{what}: {grown} KiB");
        assert_eq!(daemon.count("sheave_panics_total", &[]), 0, "{what}");
    }
}
