//! Extended CONNECT (RFC 8441) and interim responses, for clients that speak HTTP/2.

use crate::rig::{Behaviour, Config, Daemon, Gate, Server, Step, secure::by_h2, until};
use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, Method, Request, Response};
use std::{future::poll_fn, time::Duration};
use tokio::time::timeout;

fn one(more: impl FnOnce(Config) -> Config) -> (Server, Daemon) {
    let server = Server::start("1");
    server.set_for("/chat", Behaviour::websocket());
    let daemon = Daemon::start(&more(Config::to([&server]).workers(1)));
    (server, daemon)
}

fn connect_request(path: &str, protocol: &'static str) -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("http://localhost{path}"))
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("origin", "http://localhost")
        .body(())
        .unwrap()
}

async fn ask(
    client: &mut SendRequest<Bytes>,
    path: &str,
    protocol: &'static str,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    // The client has to see the settings first.
    while !client.is_extended_connect_protocol_enabled() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sent = client.send_request(connect_request(path, protocol), false);
    let (answer, up): (ResponseFuture, _) = sent.unwrap();
    (answer.await.unwrap(), up)
}

/// A tunnel that is open: what comes, what is sent.
async fn open(client: &mut SendRequest<Bytes>) -> (RecvStream, SendStream<Bytes>) {
    let (answer, up) = ask(client, "/chat", "websocket").await;
    assert_eq!(answer.status(), 200);
    (answer.into_body(), up)
}

async fn hears(down: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        let some = down.data().await.expect("not the end").unwrap();
        down.flow_control().release_capacity(some.len()).unwrap();
        all.extend_from_slice(&some);
    }
    all
}

async fn ends(down: &mut RecvStream) {
    while let Some(some) = down.data().await {
        assert_eq!(some.unwrap(), "");
    }
}

async fn says(tunnel: &mut (RecvStream, SendStream<Bytes>), text: &'static str) {
    tunnel.1.send_data(text.into(), false).unwrap();
    assert_eq!(hears(&mut tunnel.0, text.len()).await, text.as_bytes());
}

fn tunnels(daemon: &Daemon, server: &Server) -> serde_json::Value {
    daemon.server_state(&server.address.to_string())["tunnels"].clone()
}

#[test]
fn a_websocket_over_http2_is_an_upgrade_for_its_server() {
    let (server, daemon) = one(|it| it.route("methods = [\"GET\"]"));
    by_h2(daemon.http(), async |mut client| {
        let (answer, up) = ask(&mut client, "/chat", "websocket").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-kept"], "1");
        for name in ["upgrade", "connection", "sec-websocket-accept", "content-length"] {
            assert!(!answer.headers().contains_key(name), "{name}");
        }
        let seen = server.last_request().head;
        assert_eq!(seen.start(), "GET /chat HTTP/1.1");
        for (name, value) in [
            ("host", "localhost"),
            ("upgrade", "websocket"),
            ("connection", "upgrade"),
            ("sec-websocket-version", "13"),
            ("origin", "http://localhost"),
        ] {
            assert_eq!(seen.fields(name), [value], "{name}");
        }
        assert_eq!(seen.field("sec-websocket-key").map(str::len), Some(24));
        assert!(!seen.has("content-length") && !seen.has("transfer-encoding"));
        let mut tunnel = (answer.into_body(), up);
        for text in ["hello", "again"] {
            says(&mut tunnel, text).await;
        }
        assert_eq!(tunnels(&daemon, &server), 1);
        // Others go on beside it.
        let get = Request::get("http://localhost/").body(()).unwrap();
        assert_eq!(client.send_request(get, true).unwrap().0.await.unwrap().status(), 200);
        // The client's end goes on to the server, which still has something to say.
        let (mut down, mut up) = tunnel;
        up.send_data(Bytes::new(), true).unwrap();
        assert_eq!(hears(&mut down, 3).await, b"bye");
        ends(&mut down).await;
    });
    let line = daemon.wait_for_access("the tunnel", |line| line["uri"] == "/chat");
    assert_eq!((&line["method"], &line["protocol"]), (&"GET".into(), &"HTTP/2.0".into()), "{line}");
    assert_eq!((&line["status"], &line["bytes_sent"]), (&200.into(), &13.into()), "{line}");
    assert!(line["reason"].is_null() || line["reason"] == "", "{line}");
    until("the tunnel to be gone", || tunnels(&daemon, &server) == 0);
}

#[test]
fn the_servers_end_does_not_end_what_the_client_sends() {
    let (server, daemon) = one(|it| it);
    let consent = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\n\r\nall".to_vec();
    server.set_for("/half", Behaviour::new([Step::Send(consent), Step::HalfClose]));
    by_h2(daemon.http(), async |mut client| {
        let (answer, mut up) = ask(&mut client, "/half", "chat").await;
        assert_eq!(answer.status(), 200);
        let mut down = answer.into_body();
        assert_eq!(hears(&mut down, 3).await, b"all");
        ends(&mut down).await;
        assert_eq!(tunnels(&daemon, &server), 1);
        up.send_data("still here".into(), true).unwrap();
        while tunnels(&daemon, &server) != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    until("all to have come", || server.last_request().body == b"still here");
}

#[test]
fn megabytes_pass_both_ways_at_once_over_http2() {
    let (_server, daemon) = one(|it| it);
    let sent: Vec<u8> = (0..8_000_000u32).map(|at| (at % 251) as u8).collect();
    by_h2(daemon.http(), async |mut client| {
        let (mut down, mut up) = open(&mut client).await;
        let mut rest = Bytes::from(sent.clone());
        let sending = async {
            while !rest.is_empty() {
                up.reserve_capacity(rest.len());
                let room = poll_fn(|cx| up.poll_capacity(cx)).await.unwrap().unwrap();
                up.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
            }
            up.send_data(Bytes::new(), true).unwrap();
        };
        let (got, ()) = tokio::join!(hears(&mut down, sent.len() + 3), sending);
        assert!(got == [&sent[..], b"bye"].concat());
        ends(&mut down).await;
    });
}

#[test]
fn a_client_that_resets_its_stream_drops_both_directions() {
    let (server, daemon) = one(|it| it);
    by_h2(daemon.http(), async |mut client| {
        let mut tunnel = open(&mut client).await;
        says(&mut tunnel, "x").await;
        tunnel.1.send_reset(Reason::CANCEL);
        tokio::task::yield_now().await;
        let mut other = open(&mut client).await;
        says(&mut other, "the connection goes on").await;
        daemon.wait_for_reason("client_aborted");
        assert_eq!(tunnels(&daemon, &server), 1);
    });
    until("the others to be gone", || server.open_connections() == 0);
}

#[test]
fn a_tunnel_over_http2_may_be_idle_and_its_client_may_take_nothing_of_nothing() {
    let (_server, daemon) =
        one(|it| it.listener("timeouts = { send = \"200ms\", idle = \"200ms\" }"));
    by_h2(daemon.http(), async |mut client| {
        let mut tunnel = open(&mut client).await;
        says(&mut tunnel, "x").await;
        // As long as would be too long for a response that nobody takes.
        assert!(timeout(Duration::from_secs(1), tunnel.0.data()).await.is_err(), "nothing comes");
        says(&mut tunnel, "y").await;
    });
}

#[test]
fn a_server_that_does_not_agree_is_none_that_does() {
    let (server, daemon) = one(|it| it);
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for (behaviour, status, reason) in [
        (Behaviour::status(426, "no"), 426, None),
        // By CONNECT any success would be consent.
        (Behaviour::status(200, "what?"), 502, Some("upgrade_unsupported")),
        (Behaviour::raw_then_close(wrong), 502, Some("bad_response")),
        (Behaviour::tunnel("websocket"), 502, Some("bad_response")),
        (Behaviour::tunnel("other"), 502, Some("bad_response")),
    ] {
        server.set_for("/chat", behaviour);
        by_h2(daemon.http(), async |mut client| {
            let (answer, _up) = ask(&mut client, "/chat", "websocket").await;
            assert_eq!(answer.status(), status, "{reason:?}");
            let Some(reason) = reason else { return };
            let mut body = answer.into_body();
            let mut text = Vec::new();
            while let Some(part) = body.data().await {
                text.extend_from_slice(&part.unwrap());
            }
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(&format!("reason: {reason}\nrequest id: ")), "{text}");
        });
        if let Some(reason) = reason {
            daemon.wait_for_reason(reason);
        }
    }
    until("no tunnel to be left", || tunnels(&daemon, &server) == 0);
}

#[test]
fn what_may_not_be_passed_on_is_a_connect_like_any_other() {
    let (server, daemon) = one(|it| it);
    by_h2(daemon.http(), async |mut client| {
        for protocol in ["h2c", "TLS/1.2", "HTTP/2"] {
            let (answer, _up) = ask(&mut client, "/chat", protocol).await;
            assert_eq!(answer.status(), 405, "{protocol}");
        }
    });
    daemon.wait_for_reason("connect_refused");
    assert_eq!(server.request_count(), 0);
}

#[test]
fn hints_reach_an_http2_client_before_the_answer() {
    let (server, daemon) = one(|it| it);
    let gate = Gate::default();
    let hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nKeep-Alive: x\r\n\r\n";
    let steps = [Step::Send(hints.to_vec()), Step::Wait(gate.clone()), Step::Name];
    server.set_for("/hints", Behaviour::new(steps));
    by_h2(daemon.http(), async |mut client| {
        let get = Request::get("http://localhost/hints").body(()).unwrap();
        let (mut answer, _) = client.send_request(get, true).unwrap();
        let told = poll_fn(|cx| answer.poll_informational(cx)).await.expect("hints").unwrap();
        assert_eq!(
            (told.status().as_u16(), &told.headers()["link"]),
            (103, &"</a.css>".parse().unwrap())
        );
        assert!(!told.headers().contains_key("keep-alive"));
        gate.open();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it_once_its_body_is_wanted() {
    let (server, daemon) = one(|it| it.route("max_body = \"1MiB\""));
    server.set(Behaviour::echo());
    let put = |length: &str| {
        let put = Request::put("http://localhost/").header("expect", "100-continue");
        put.header("content-length", length).body(()).unwrap()
    };
    by_h2(daemon.http(), async |mut client| {
        let (mut answer, mut up) = client.send_request(put("5"), false).unwrap();
        let told = poll_fn(|cx| answer.poll_informational(cx)).await.expect("a word").unwrap();
        assert_eq!(told.status(), 100);
        up.send_data("hello".into(), false).unwrap();
        up.send_trailers(HeaderMap::new()).unwrap();
        let mut answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let length = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
        assert!(hears(answer.body_mut(), length).await.ends_with(b"hello"));
        // One that is too large is refused without it.
        let (mut answer, _up) = client.send_request(put("2000000"), false).unwrap();
        let told = poll_fn(|cx| answer.poll_informational(cx)).await;
        assert!(told.is_none(), "{told:?}");
        assert_eq!(answer.await.unwrap().status(), 413);
    });
    assert!(!server.last_request().head.has("expect"));
}
