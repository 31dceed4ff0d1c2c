//! Tunnels: WebSocket and every other protocol that HTTP/1.1 can change to.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Server, Step,
    client::{get, request},
    until,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

const ASK: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

fn one(more: impl FnOnce(Config) -> Config) -> (Server, Daemon) {
    let server = Server::start("1");
    server.set_for("/chat", Behaviour::tunnel("websocket"));
    let daemon = Daemon::start(&more(Config::to([&server]).workers(1)));
    (server, daemon)
}

/// A tunnel that is open.
fn open(daemon: &Daemon) -> Client {
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/chat", ASK, ""));
    let head = client.head().expect("consent");
    assert_eq!(head.status(), Some(101), "{head:?}");
    client
}

fn says(client: &mut Client, text: &str) {
    client.send(text);
    assert_eq!(client.exactly(text.len()).expect("sent back"), text.as_bytes());
}

#[test]
fn an_upgrade_passes_both_ways_without_configuration() {
    let (server, daemon) = one(|it| it);
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/chat", ASK, ""));
    let head = client.head().expect("consent");
    assert_eq!(head.status(), Some(101));
    assert_eq!(
        (head.field("upgrade"), head.field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    assert_eq!(head.field("x-kept"), Some("1"));
    assert!(!head.has("transfer-encoding") && !head.has("content-length"), "{head:?}");
    let asked = server.last_request().head;
    assert_eq!(
        (asked.field("upgrade"), asked.field("connection")),
        (Some("websocket"), Some("upgrade"))
    );
    assert_eq!(asked.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(!asked.has("content-length") && !asked.has("transfer-encoding"));
    for text in ["hello", "again"] {
        says(&mut client, text);
    }
    let state = daemon.server_state(&server.address.to_string());
    assert_eq!((&state["tunnels"], &state["in_flight"]), (&1.into(), &1.into()));
    assert_eq!(daemon.count("sheave_upstream_tunnels", &[("upstream", "app")]), 1);
    // The client's end goes on to the server, which still has something to say.
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest().expect("an end"), b"bye");
    let line = daemon.wait_for_access("the tunnel", |line| line["uri"] == "/chat");
    assert_eq!((&line["status"], &line["bytes_sent"]), (&101.into(), &13.into()), "{line}");
    assert!(line["reason"].is_null() || line["reason"] == "", "{line}");
    until("the tunnel to be gone", || {
        daemon.server_state(&server.address.to_string())["tunnels"] == 0
    });
}

#[test]
fn megabytes_pass_a_tunnel_both_ways_at_once() {
    let (_server, daemon) = one(|it| it);
    let client = open(&daemon);
    let sent: Vec<u8> = (0..8_000_000u32).map(|at| (at % 251) as u8).collect();
    let mut writing = client.stream().try_clone().unwrap();
    let all = sent.clone();
    let writer = thread::spawn(move || {
        writing.write_all(&all).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.stream().try_clone().unwrap().read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    assert_eq!(got.split_off(sent.len()), b"bye");
    assert!(got == sent);
}

#[test]
fn nothing_passes_before_the_server_has_agreed() {
    let (server, daemon) = one(|it| it);
    let gate = Gate::default();
    let consent =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\r\n";
    let steps = [Step::Wait(gate.clone()), Step::Send(consent.into()), Step::Return, Step::Close];
    server.set_for("/chat", Behaviour::new(steps));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/chat", ASK, "") + "early");
    server.wait_for_requests(1);
    gate.open();
    assert_eq!(client.head().unwrap().status(), Some(101));
    assert_eq!(client.exactly(5).unwrap(), b"early");
    says(&mut client, "late");
}

#[test]
fn a_server_that_does_not_agree_answers_as_ever() {
    let (server, daemon) = one(|it| it);
    server.set_for("/chat", Behaviour::status(426, "no"));
    let mut client = Client::connect(daemon.http());
    let answer = client.ask(&request("GET", "/chat", ASK, ""));
    assert_eq!((answer.status, &*answer.text()), (426, "no"));
    assert_eq!(client.get("/").text(), "1", "the connection goes on");
}

#[test]
fn a_server_that_changes_to_something_else_is_502() {
    let (server, daemon) = one(|it| it);
    for consent in ["Upgrade: other\r\n", "", "Upgrade: websocket, other\r\n"] {
        let bytes =
            format!("HTTP/1.1 101 Switching Protocols\r\n{consent}Connection: upgrade\r\n\r\n");
        server.set_for("/chat", Behaviour::raw_then_close(&bytes));
        let answer = Client::connect(daemon.http()).ask(&request("GET", "/chat", ASK, ""));
        assert_eq!(answer.status, 502, "{consent}");
    }
    daemon.wait_for_reason("bad_response");
}

#[test]
fn requests_cannot_be_smuggled_by_h2c_or_tls() {
    let (server, daemon) = one(|it| it);
    for protocol in ["h2c", "TLS/1.0", "HTTP/2.0", "h2c, TLS/1.2"] {
        let fields = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
        let answer = Client::connect(daemon.http()).ask(&request("GET", "/", &fields, ""));
        assert_eq!(answer.status, 200);
        let seen = server.last_request().head;
        assert!(!seen.has("upgrade") && !seen.has("connection"), "{protocol}: {seen:?}");
    }
    let fields = "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n";
    Client::connect(daemon.http()).ask(&request("GET", "/", fields, ""));
    assert_eq!(server.last_request().head.field("upgrade"), Some("websocket"));
}

#[test]
fn a_tunnel_in_which_nothing_passes_is_closed() {
    let (_server, daemon) = one(|it| it.route("timeouts.tunnel = \"300ms\""));
    let mut client = open(&daemon);
    for _ in 0..5 {
        // What passes keeps it open.
        thread::sleep(Duration::from_millis(100));
        says(&mut client, "x");
    }
    client.expect_close();
    let line = daemon.wait_for_reason("tunnel_idle");
    assert_eq!((&line["status"], &line["bytes_sent"]), (&101.into(), &5.into()), "{line}");
}

#[test]
fn a_broken_side_ends_the_other() {
    let (server, daemon) = one(|it| it);
    let mut client = open(&daemon);
    says(&mut client, "x");
    server.kill();
    client.expect_close();
    drop(client);
    server.come_back();
    let client = open(&daemon);
    socket2::SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("the server's tunnel to be closed", || {
        daemon.server_state(&server.address.to_string())["tunnels"] == 0
    });
}

#[test]
fn a_reload_closes_no_tunnel_and_a_stop_waits_for_them() {
    let (server, mut daemon) = one(|it| it.top("shutdown_timeout = \"10s\""));
    let mut client = open(&daemon);
    says(&mut client, "before");
    daemon.reconfigure(
        &Config::to([&server]).workers(1).top("shutdown_timeout = \"10s\"").route("max_body = 0"),
    );
    says(&mut client, "after");
    let (http, address) = (daemon.http(), server.address.to_string());
    assert_eq!(daemon.server_state(&address)["tunnels"], 1);
    // Its upstream has another name then: it is still waited for, so it must be seen.
    let renamed = Config::to([&server]).workers(1).top("shutdown_timeout = \"10s\"").text();
    daemon.rewrite_config(
        &renamed
            .replace("[upstream.app]", "[upstream.new]")
            .replace("upstream = \"app\"", "upstream = \"new\""),
    );
    assert_eq!(daemon.reload().status, 200);
    says(&mut client, "renamed");
    assert_eq!(daemon.server_state(&address)["tunnels"], 0);
    assert_eq!(daemon.count("sheave_tunnels", &[]), 1);
    daemon.signal("TERM");
    until("new connections to be refused", || TcpStream::connect(http).is_err());
    says(&mut client, "during the stop");
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest().unwrap(), b"bye");
    assert_eq!(daemon.wait_exit(), Some(0));
}

#[test]
fn a_slow_side_holds_the_other_back() {
    let (_server, daemon) = one(|it| it);
    let before = daemon.anonymous_memory();
    let client = open(&daemon);
    let mut writing = client.stream().try_clone().unwrap();
    writing.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    // Nobody reads what comes back, so that at some point nothing more is taken.
    let part = vec![7; 1 << 20];
    let taken = (0..200).take_while(|_| writing.write_all(&part).is_ok()).count();
    assert!(taken < 200, "all was taken");
    let held = daemon.anonymous_memory().saturating_sub(before);
    assert!(held < 4 << 20, "{held} bytes are held");
}

#[test]
fn hints_that_come_before_the_answer_are_passed_on() {
    let (server, daemon) = one(|it| it);
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nKeep-Alive: x\r\n\r\n";
    server.set(Behaviour::raw(&format!(
        "{hints}{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )));
    let mut client = Client::connect(daemon.http());
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.status, &*answer.text()), (200, "ok"));
        let told: Vec<_> =
            answer.interim.iter().map(|it| (it.status(), it.field("link"))).collect();
        assert_eq!(told, [(Some(103), Some("</a.css>")); 2]);
        assert!(!answer.interim[0].has("keep-alive"));
    }
    // An HTTP/1.0 client knows none (RFC 9110 §15.2).
    let mut old = Client::connect(daemon.http());
    let answer = old.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.interim.len()), (200, 0));
    // At once, not with the answer.
    let gate = Gate::default();
    let steps = [
        Step::Send(b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n".to_vec()),
        Step::Wait(gate.clone()),
        Step::Name,
    ];
    server.set(Behaviour::new(steps));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/", "", ""));
    assert_eq!(client.head().unwrap().status(), Some(103));
    gate.open();
    assert_eq!(client.response().text(), "1");
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn hints_pass_while_many_requests_wait_behind_theirs() {
    let server = Server::start("1");
    let gate = Gate::default();
    let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".to_vec();
    let steps =
        [Step::Send(hints.clone()), Step::Wait(gate.clone()), Step::Send(hints), Step::Name];
    server.set_for("/hints", Behaviour::new(steps));
    let daemon = Daemon::start(&Config::to([&server]).workers(1));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/hints", "", "") + &request("GET", "/next", "", "").repeat(600));
    assert_eq!(client.head().unwrap().status(), Some(103));
    gate.open();
    let answer = client.response();
    assert_eq!((answer.status, answer.interim.len(), &*answer.text()), (200, 1, "1"));
    for _ in 0..600 {
        assert_eq!(client.response().text(), "1");
    }
}
