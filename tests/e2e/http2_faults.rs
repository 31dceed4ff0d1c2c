//! HTTP/2 servers that say little, fall silent, or refuse.

use crate::rig::{
    Client, Config, Daemon,
    client::{ask, get, request},
    frames::{HEADERS, SETTINGS, frame},
    http2_server::{Deed, Http2Server},
    until,
};
use h2::Reason;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

/// A server that sends these bytes, and then only listens.
struct Taciturn {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Taciturn {
    fn start(sent: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let notes = Arc::clone(&heard);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, sent, notes) = (socket.unwrap(), sent.clone(), Arc::clone(&notes));
                thread::spawn(move || {
                    socket.write_all(&sent).unwrap();
                    let mut part = [0; 4096];
                    while let Ok(count @ 1..) = socket.read(&mut part) {
                        notes.lock().unwrap().extend_from_slice(&part[..count]);
                    }
                });
            }
        });
        Self { address, heard }
    }

    fn daemon(&self, upstream: &str, route: &str) -> Daemon {
        Daemon::start(&Config::bare().workers(1).rest(&format!(
            "[upstream.app]\nprotocol = \"http2\"\nservers = [{{ address = \"{}\" }}]\nretry.on = []\n{upstream}\n\
             [[site]]\n[[site.route]]\nupstream = \"app\"\n{route}\n",
            self.address
        )))
    }

    /// The types of the frames that came on its one connection.
    fn frames(&self) -> Vec<u8> {
        let heard = self.heard.lock().unwrap();
        let mut rest = heard.get(24..).unwrap_or_default();
        let mut kinds = Vec::new();
        while let Some(head) = rest.get(..9) {
            kinds.push(head[3]);
            let length = head[..3].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            rest = rest.get(9 + length..).unwrap_or_default();
        }
        kinds
    }
}

#[test]
fn a_tunnel_waits_for_the_servers_settings_and_needs_them_to_allow_it() {
    const FIELDS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let server = Taciturn::start(frame(SETTINGS, 0, 0, &[]));
    let daemon = server.daemon("", "timeouts = { connect = \"2s\", response_head = \"2s\" }");
    for _ in 0..2 {
        let answer = Client::connect(daemon.http()).ask(&request("GET", "/chat", FIELDS, ""));
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("upgrade_unsupported"), "{}", answer.text());
    }
    let line = daemon.wait_for_reason("upgrade_unsupported");
    assert_eq!(line["detail"], "the server has not announced extended CONNECT (RFC 8441)");
    // It says nothing about the server's health.
    assert_eq!(daemon.server_state(&server.address.to_string())["failures"], 0);
    until("the settings to be acknowledged", || server.frames().len() > 2);
    assert!(!server.frames().contains(&HEADERS), "{:?}", server.frames());
    // A part of the settings is not enough, and they are not waited for for ever.
    let silent = Taciturn::start(frame(SETTINGS, 0, 0, &[0; 6])[..9].to_vec());
    let daemon = silent.daemon("", "timeouts.connect = \"300ms\"");
    let answer = Client::connect(daemon.http()).ask(&request("GET", "/chat", FIELDS, ""));
    assert_eq!(answer.status, 504);
    assert!(!silent.frames().contains(&HEADERS), "{:?}", silent.frames());
}

#[test]
fn the_only_server_is_asked_again_if_it_has_refused_a_stream() {
    let server = Http2Server::start("1");
    let daemon = Daemon::start(&Config::bare().workers(1).rest(&format!(
        "[upstream.app]\nprotocol = \"http2\"\nservers = [{{ address = \"{server}\" }}]\nretry.tries = 2\n\
         [[site]]\n[[site.route]]\nupstream = \"app\"\n"
    )));
    // The first stream of a new connection.
    server.set(Deed::ResetHalf(Reason::REFUSED_STREAM));
    let answer = ask(daemon.http(), &request("POST", "/", "", "body"));
    assert_eq!((answer.status, &*answer.text()), (200, "1"));
    assert_eq!(server.seen().len(), 2);
    // One that refuses all is not asked for ever.
    server.set(Deed::Reset(Reason::REFUSED_STREAM));
    let answer = ask(daemon.http(), &request("POST", "/refused", "", "body"));
    assert_eq!(answer.status, 502);
    let line = daemon.wait_for_access("the refusal", |line| line["uri"] == "/refused");
    assert_eq!((&line["attempts"], &line["reason"]), (&3.into(), &"stream_refused".into()));
    assert!(
        (3..=6).contains(&server.seen().iter().filter(|it| it.uri.path() == "/refused").count())
    );
    assert_eq!(daemon.state_name(&server.address.to_string()), "up");
}

#[test]
fn a_server_that_falls_silent_has_ping_and_ping_timeout_and_no_more() {
    let server = Taciturn::start(frame(SETTINGS, 0, 0, &[]));
    let daemon = server.daemon("http2.ping = \"3s\"\nhttp2.ping_timeout = \"500ms\"", "");
    let begun = Instant::now();
    assert_eq!(get(daemon.http(), "/").status, 502);
    let took = begun.elapsed();
    // Twice `ping` would be 6.5 s.
    assert!((3300..5500).contains(&took.as_millis()), "{took:?}");
    let line = daemon.wait_for_reason("reset");
    assert_eq!(line["detail"], "it answered no PING within `http2.ping_timeout`");
    assert_eq!(daemon.server_state(&server.address.to_string())["failures"], 1);
}
