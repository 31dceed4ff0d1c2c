//! The PROXY protocol from clients: whose word counts, what it says, and what breaks it.

use crate::rig::{
    Client, Config, Daemon, PATIENCE, Server,
    certs::{self, Kind},
    secure::{Handshake, Http2},
    until,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

const FROM: &str = "proxy_protocol.from = [\"127.0.0.0/8\"]";
const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

/// Version 2, with addresses and TLVs.
fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, kind], &length, rest].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

fn start(server: &Server) -> Daemon {
    let config = Config::to([server]).listener(FROM);
    Daemon::start(&config.listener("proxy_protocol.timeout = \"300ms\""))
}

/// Sends a header and a request, and returns the client's address as the server was told it.
fn told(daemon: &Daemon, server: &Server, header: &[u8]) -> String {
    let mut client = Client::connect(daemon.http());
    client.send([header, GET.as_bytes()].concat());
    assert_eq!(client.response().status, 200);
    server.last_request().head.field("x-forwarded-for").unwrap().to_owned()
}

#[test]
fn the_client_is_whom_the_header_names() {
    let server = Server::start("1");
    let daemon = start(&server);
    assert_eq!(told(&daemon, &server, LINE.as_bytes()), "192.0.2.7");
    assert_eq!(daemon.wait_for_access("a client", |it| it["client"] == "192.0.2.7")["status"], 200);
    let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
    assert_eq!(told(&daemon, &server, line), "2001:db8::7");
    let v4 = [192, 0, 2, 8, 198, 51, 100, 1, 1, 2, 3, 4];
    assert_eq!(told(&daemon, &server, &binary(0x21, 0x11, &v4)), "192.0.2.8");
    let mapped = "::ffff:192.0.2.9".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let v6 = [&mapped[..], &[0; 16], &[1, 2, 3, 4]].concat();
    assert_eq!(told(&daemon, &server, &binary(0x21, 0x21, &v6)), "192.0.2.9");
    for real in [binary(0x20, 0, b""), binary(0x20, 0x11, &v4), b"PROXY UNKNOWN\r\n".to_vec()] {
        assert_eq!(told(&daemon, &server, &real), "127.0.0.1");
    }
}

#[test]
fn a_header_may_come_byte_by_byte_and_counts_for_every_request() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).listener(FROM));
    let mut client = Client::connect(daemon.http());
    let header = binary(
        0x21,
        0x11,
        &[&[192, 0, 2, 8, 0, 0, 0, 0, 0, 1, 0, 2][..], &tlv(4, &[0; 40])].concat(),
    );
    for byte in header {
        client.send([byte]);
        thread::yield_now();
    }
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
        assert_eq!(server.last_request().head.field("x-real-ip"), Some("192.0.2.8"));
    }
}

#[test]
fn a_large_header_is_read_whole() {
    let server = Server::start("1");
    let route = "request_headers.set = { \"x-size\" = \"{proxy_protocol.tlv.0xE1}\" }";
    let daemon = Daemon::start(&Config::to([&server]).listener(FROM).route(route));
    let header = binary(0x20, 0, &[tlv(4, &vec![0; 60_000]), tlv(0xE1, b"behind")].concat());
    told(&daemon, &server, &header);
    assert_eq!(server.last_request().head.field("x-size"), Some("behind"));
}

#[test]
fn templates_read_what_else_the_header_says() {
    let server = Server::start("1");
    let names = ["authority", "alpn", "unique_id", "ssl_version", "ssl_cn", "tlv.0xEA", "tlv.0xEB"];
    let fields =
        names.map(|it| format!("\"x-{}\" = \"{{proxy_protocol.{it}}}\"", it.replace('.', "-")));
    let route = format!("request_headers.set = {{ {} }}", fields.join(", "));
    let config = Config::to([&server]).route(&route);
    let daemon =
        Daemon::start(&config.listener(FROM).rest("[listener.open]\naddress = \"127.0.0.1:0\""));
    let tls =
        [&[1, 0, 0, 0, 0][..], &tlv(0x21, b"TLSv1.3"), &tlv(0x22, "Änne".as_bytes())].concat();
    let said = [
        tlv(2, b"shop.example"),
        tlv(1, b"h2"),
        tlv(5, &[0xff, 0, 0xab]),
        tlv(0xEA, b"\x01vpce-1"),
        tlv(0x20, &tls),
    ];
    told(&daemon, &server, &binary(0x20, 0, &said.concat()));
    let head = server.last_request().head;
    assert_eq!(head.field("x-authority"), Some("shop.example"));
    assert_eq!(head.field("x-alpn"), Some("h2"));
    assert_eq!(head.field("x-unique_id"), Some("ff00ab"));
    assert_eq!(head.field("x-ssl_version"), Some("TLSv1.3"));
    assert_eq!(head.field("x-ssl_cn"), Some("Änne"));
    assert_eq!(head.field("x-tlv-0xea"), Some("vpce-1"), "without the byte that no field can hold");
    assert_eq!(head.field("x-tlv-0xeb"), Some(""));
    Client::connect(daemon.address("open")).get("/");
    assert_eq!(server.last_request().head.field("x-authority"), Some(""));
}

#[test]
fn the_header_comes_before_tls() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    let server = Server::start("1");
    let tls = "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
    let config = Config::to([&server]).listener(FROM).listener(tls);
    let daemon = Daemon::start_in(dir, &config.text());
    let mut tcp = TcpStream::connect(daemon.http()).unwrap();
    tcp.write_all(LINE.as_bytes()).unwrap();
    let (mut client, agreed) =
        Handshake::offering(&["http/1.1"]).try_over(tcp, "localhost").unwrap();
    assert_eq!(agreed.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(client.get("/").status, 200);
    let head = server.last_request().head;
    assert_eq!(head.field("x-forwarded-for"), Some("192.0.2.7"));
    assert_eq!(head.field("x-forwarded-proto"), Some("https"));
    // In one packet with the handshake's first bytes.
    let mut tcp = TcpStream::connect(daemon.http()).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(&[LINE.as_bytes(), &[0x16, 3, 1, 0, 4, 0xff, 0, 0, 0]].concat()).unwrap();
    let mut alert = [0; 2];
    tcp.read_exact(&mut alert).unwrap();
    assert_eq!(alert, [0x15, 3], "an alert about the broken handshake");
}

#[test]
fn http2_comes_behind_the_header_too() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).listener(FROM));
    let client = Http2::connect_behind(daemon.http(), LINE.as_bytes());
    assert_eq!(client.get("http://localhost/").unwrap().status, 200);
    assert_eq!(server.last_request().head.field("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn a_trusted_proxy_behind_the_balancer_is_believed() {
    let server = Server::start("1");
    let config = Config::to([&server]).listener(FROM).top("trusted_proxies = [\"192.0.2.0/24\"]");
    let daemon = Daemon::start(&config);
    let fields = "Host: a\r\nX-Forwarded-For: 203.0.113.5\r\n";
    for (header, client) in [(LINE, "203.0.113.5"), ("PROXY UNKNOWN\r\n", "127.0.0.1")] {
        let mut connection = Client::connect(daemon.http());
        connection.send(format!("{header}GET / HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(connection.response().status, 200);
        assert_eq!(server.last_request().head.field("x-real-ip"), Some(client));
    }
}

/// Fails unless the connection ends without an answer.
fn expect_end(address: SocketAddr, bytes: &[u8]) {
    let mut client = Client::connect(address);
    client.send(bytes);
    client.expect_close();
}

#[test]
fn what_must_begin_with_the_header_and_does_not_ends() {
    let server = Server::start("1");
    let daemon = start(&server);
    let failures = |reason| {
        daemon.count(
            "sheave_proxy_protocol_failures_total",
            &[("listener", "http"), ("reason", reason)],
        )
    };
    expect_end(daemon.http(), GET.as_bytes());
    expect_end(daemon.http(), b"\x16\x03\x01");
    until("two without a header", || failures("missing") == 2);
    expect_end(daemon.http(), b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n");
    expect_end(daemon.http(), &binary(0x21, 0x11, &[1, 2, 3]));
    expect_end(daemon.http(), &[b'P', b'R', b'O', b'X', b'Y', b' '].repeat(30));
    until("three broken ones", || failures("broken") == 3);
    let begun = Instant::now();
    expect_end(daemon.http(), b"PROXY TCP4 192.0.2.7");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    until("a slow one", || failures("timeout") == 1);
    drop(Client::connect(daemon.http()));
    until("one that said nothing", || failures("closed") == 1);
    let log = daemon.log.find_message(
        "a connection was closed, as `proxy_protocol.from` names its address and its PROXY \
         protocol header could not be read",
        &[("listener", "http"), ("reason", "missing")],
    );
    assert!(log.unwrap()["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(server.request_count(), 0);
    assert_eq!(told(&daemon, &server, LINE.as_bytes()), "192.0.2.7");
}

#[test]
fn the_time_for_the_header_begins_with_the_connection() {
    // With `defer_accept` one that says nothing would be taken after a second.
    let server = Server::start("1");
    let config = Config::to([&server]).workers(1);
    let daemon = Daemon::start(&config.listener("proxy_protocol.from = [\"192.0.2.0/24\"]"));
    let _silent = Client::connect(daemon.http());
    let mut other = Client::connect(daemon.http());
    assert_eq!(other.get("/").status, 200);
    let labels = [("listener", "http")];
    assert_eq!(daemon.count("sheave_connections_open", &labels), 2, "the silent one came first");
}

#[test]
fn whom_the_config_does_not_name_is_served_without_it_and_refused_with_it() {
    let server = Server::start("1");
    let config =
        Config::to([&server]).listener("proxy_protocol.from = [\"192.0.2.0/24\", \"unix:\"]");
    let daemon = Daemon::start(&config);
    assert_eq!(Client::connect(daemon.http()).get("/").status, 200);
    assert_eq!(server.last_request().head.field("x-forwarded-for"), Some("127.0.0.1"));
    for header in [LINE.as_bytes(), &binary(0x20, 0, b"")] {
        let mut client = Client::connect(daemon.http());
        client.send([header, GET.as_bytes()].concat());
        assert_eq!(client.response().status, 400);
        client.expect_close();
    }
    assert_eq!(daemon.rejected("proxy_protocol_unexpected"), 2);
    assert_eq!(server.request_count(), 1);
}

#[test]
fn a_reload_changes_whose_connections_begin_with_it() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let mut before = Client::connect(daemon.http());
    assert_eq!(before.get("/").status, 200);
    daemon.reconfigure(&Config::to([&server]).listener(FROM));
    assert_eq!(before.get("/").status, 200);
    assert_eq!(told(&daemon, &server, LINE.as_bytes()), "192.0.2.7");
}
