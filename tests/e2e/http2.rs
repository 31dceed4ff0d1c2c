//! HTTP/2 from clients, HTTP/1.1 to servers.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Server, Step,
    certs::{self, Kind},
    client, eventually, frames,
    secure::{Handshake, Http2, by_h2},
    until,
};
use bytes::Bytes;
use http_body_util::Full;
use std::time::Duration;

struct Scene {
    daemon: Daemon,
    server: Server,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    let server = Server::start("1");
    let config = Config::to([&server]).route("max_body = \"4MiB\"").rest(
        "[listener.https]\naddress = \"127.0.0.1:0\"\n\
         tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
    );
    Scene { daemon: Daemon::start_in(dir, &config.text()), server }
}

impl Scene {
    fn connect(&self) -> Http2 {
        let https = self.daemon.address("https");
        Http2::connect(&Handshake::offering(&["h2"]), https, "localhost")
    }
}

#[test]
fn a_plain_listener_speaks_http2_to_who_begins_with_it() {
    let scene = scene();
    let body = "hello ".repeat(100_000);
    scene.server.set(Behaviour::status(200, &body));
    let http2 = Http2::connect_plain(scene.daemon.http());
    let put = http::Request::put("http://localhost/a").body(Full::new(body.clone().into()));
    let answer = http2.send(put.unwrap()).unwrap();
    assert_eq!((answer.status, answer.body == body.as_bytes()), (200, true));
    let seen = scene.server.last_request();
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(seen.head.field("x-forwarded-proto"), Some("http"));
    assert!(seen.head.field("via").is_some_and(|via| via.starts_with('2')), "{}", seen.head.raw);
    drop(http2);
    scene.daemon.wait_for_metric("sheave_connections_open", &[("listener", "http")], 0);
}

#[test]
fn the_beginning_of_http2_may_come_byte_by_byte_and_only_at_the_beginning() {
    let scene = scene();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut client = Client::connect(scene.daemon.http());
    for byte in preface {
        client.send([*byte]);
        std::thread::sleep(Duration::from_millis(1));
    }
    client.send(frames::frame(frames::SETTINGS, 0, 0, &[]));
    client.send(frames::request(1, "GET", "/"));
    frames::until_frame(&mut client, frames::HEADERS, 1).unwrap();

    let mut client = Client::connect(scene.daemon.http());
    assert_eq!(client.get("/").status, 200);
    client.send(preface);
    assert_eq!(client.response().status, 400);
    let nearly = b"PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n";
    assert_eq!(client::ask(scene.daemon.http(), &String::from_utf8_lossy(nearly)).status, 400);
    let https = scene.daemon.address("https");
    let (mut client, _) = Handshake::offering(&["http/1.1"]).connect(https, "localhost");
    client.send(preface);
    assert_eq!(client.response().status, 400, "by TLS it has to be agreed on");
}

fn put(path: &str, body: Vec<u8>) -> http::Request<Full<Bytes>> {
    let uri = format!("https://localhost{path}");
    http::Request::put(uri).body(Full::new(Bytes::from(body))).unwrap()
}

#[test]
fn http2_requests_are_forwarded_as_http_1_1() {
    let scene = scene();
    scene.server.set(Behaviour::echo());
    let http2 = scene.connect();
    let body = Full::new(Bytes::from_static(b"hello"));
    let put = http::Request::put("https://localhost/a?b=c")
        .header("te", "trailers")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(body)
        .unwrap();
    let answer = http2.send(put).unwrap();
    assert_eq!(answer.status, 200);
    let seen = scene.server.last_request();
    assert_eq!((seen.head.start(), &*seen.body), ("PUT /a?b=c HTTP/1.1", &b"hello"[..]));
    assert_eq!(seen.head.fields("host"), ["localhost"]);
    assert_eq!(seen.head.fields("cookie"), ["a=1; b=2"], "crumbs are joined for HTTP/1");
    assert_eq!(seen.head.field("x-forwarded-proto"), Some("https"));
    assert!(seen.head.field("via").is_some_and(|via| via.starts_with('2')), "{}", seen.head.raw);
    assert!(String::from_utf8_lossy(&answer.body).ends_with("hello"));
    assert!(!answer.headers.contains_key("connection"));
}

#[test]
fn a_cookie_in_crumbs_is_one_in_templates() {
    let config = Config::bare()
        .rest("[[site]]\n[[site.route]]\nrespond.body = \"{header.Cookie} {cookie.b} {host}\"");
    let daemon = Daemon::start(&config);
    let http2 = Http2::connect_plain(daemon.http());
    let get = http::Request::get("http://LocalHost.:80/")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let answer = http2.send(get).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.body), "a=1; b=2 2 localhost");
}

#[test]
fn head_has_no_body_whoever_answers() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    std::fs::create_dir(dir.path().join("public")).unwrap();
    std::fs::write(dir.path().join("public/a.txt"), "hello").unwrap();
    let server = Server::start("1");
    let config = Config::to([&server])
        .route_before("path = \"/own\"\nrespond = { status = 200, body = \"hello\" }")
        .route_before("path = \"/post\"\nmethods = [\"POST\"]\nrespond.status = 200")
        .route_before("path = \"/old\"\nredirect.to = \"/new\"")
        .route_before("path = \"/*\"\nmethods = [\"GET\"]\nfiles.root = \"public\"")
        .rest(
            "[listener.https]\naddress = \"127.0.0.1:0\"\n\
             tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
        );
    let daemon = Daemon::start_in(dir, &config.text());
    let mut client = frames::connect(daemon.address("https"), 1 << 16);
    let cases = ["/own", "/post", "/old", "/a.txt", "/no.txt", "/%zz"];
    for (stream, path) in (1..).step_by(2).zip(cases) {
        client.send(frames::request(stream, "HEAD", path));
        assert_eq!(frames::body_length(&mut client, stream).unwrap(), 0, "{path}");
    }
    client.send(frames::request(101, "GET", "/own"));
    assert_eq!(frames::body_length(&mut client, 101).unwrap(), 5);
}

#[test]
fn many_http2_streams_at_once_are_balanced() {
    let scene = scene();
    let http2 = scene.connect();
    let requests = (0..300).map(|n| {
        http::Request::get(format!("https://localhost/{n}")).body(Full::default()).unwrap()
    });
    for answer in http2.send_all(requests.collect()) {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(scene.server.request_count(), 300);
}

#[test]
fn half_a_body_resets_the_http2_stream_and_not_the_connection() {
    let scene = scene();
    scene.server.set_for("/half", Behaviour::half_body());
    let http2 = scene.connect();
    assert!(http2.get("https://localhost/half").is_err());
    assert_eq!(http2.get("https://localhost/").unwrap().status, 200);
    assert!(!http2.is_closed());
}

#[test]
fn large_bodies_stream_both_ways_over_http2() {
    let scene = scene();
    let http2 = scene.connect();
    let body: Vec<u8> = (0..3 << 20).map(|n: u32| (n % 251) as u8).collect();
    assert_eq!(http2.send(put("/", body.clone())).unwrap().status, 200);
    assert!(scene.server.last_request().body == body, "an upload of 3 MiB is unchanged");
    let text = String::from_utf8(vec![b'x'; 3 << 20]).unwrap();
    scene.server.set(Behaviour::status(200, &text));
    let answer = http2.get("https://localhost/").unwrap();
    assert!(answer.body == text.as_bytes(), "a download of 3 MiB is unchanged");
}

#[test]
fn limits_hold_for_http2_and_end_the_stream_alone() {
    let scene = scene();
    let http2 = scene.connect();
    assert_eq!(http2.send(put("/", vec![b'b'; 5 << 20])).unwrap().status, 413);
    let mut many = http::Request::get("https://localhost/");
    for n in 0..150 {
        many = many.header(format!("x-{n}"), "y");
    }
    let answer = http2.send(many.body(Full::default()).unwrap()).unwrap();
    assert_eq!(answer.status, 431);
    let long = format!("https://localhost/{}", "a".repeat(9000));
    assert_eq!(http2.get(&long).unwrap().status, 414);
    assert_eq!(http2.get("https://localhost/").unwrap().status, 200);
    assert!(!http2.is_closed());
}

#[test]
fn a_host_field_that_differs_from_the_authority_is_400() {
    let scene = scene();
    let request = http::Request::get("https://localhost/").header("host", "other");
    let answer = scene.connect().send(request.body(Full::default()).unwrap());
    assert!(answer.is_ok_and(|answer| answer.status == 400));
    assert_eq!(scene.server.request_count(), 0);
}

#[test]
fn a_response_that_fits_the_buffer_is_off_its_server_before_a_slow_stream_has_it() {
    let scene = scene();
    let gate = Gate::default();
    let chunk = format!("2800\r\n{}\r\n", "x".repeat(0x2800)).into_bytes();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    scene.server.set(Behaviour::new([
        Step::Body,
        Step::Send([head, chunk.clone()].concat()),
        Step::Wait(gate.clone()),
        Step::Send([chunk, b"0\r\n\r\n".to_vec()].concat()),
    ]));
    let https = scene.daemon.address("https");
    let handshake = Handshake::offering(&["h2"]);
    let slow = Http2::connect_with_window(&handshake, https, "localhost", 1024);
    let body = slow.get_slowly("https://localhost/", || {
        gate.open();
        until("the server to be free", || {
            scene.daemon.server_state(&scene.server.to_string())["in_flight"] == 0
        });
    });
    assert_eq!(body.len(), 2 * 0x2800);
}

#[test]
fn a_slow_stream_does_not_hold_the_others_up() {
    let scene = scene();
    let gate = Gate::default();
    scene.server.set_for("/held", Behaviour::gated(&gate));
    let http2 = scene.connect();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| http2.get("https://localhost/held"));
        scene.server.wait_for_requests(1);
        for _ in 0..10 {
            assert_eq!(http2.get("https://localhost/").unwrap().status, 200);
        }
        gate.open();
        assert_eq!(held.join().unwrap().unwrap().status, 200);
    });
}

#[test]
fn trailers_reach_an_http2_client_or_are_dropped_but_never_become_headers() {
    let scene = scene();
    scene.server.set(Behaviour::new([
        Step::Body,
        Step::Send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nhello\r\n0\r\nSum: 5\r\n\r\n"
                .to_vec(),
        ),
    ]));
    let answer = scene.connect().get("https://localhost/").unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
    assert!(
        !answer.headers.contains_key("sum") && !answer.headers.contains_key("transfer-encoding")
    );
}

#[test]
fn a_client_that_leaves_frees_every_server_it_kept_busy() {
    let scene = scene();
    scene.server.set(Behaviour::hang());
    let http2 = scene.connect();
    let asked =
        (0..5).map(|_| http::Request::get("https://localhost/").body(Full::default()).unwrap());
    http2.send_and_leave(asked.collect(), || scene.server.request_count() == 5);
    until("the requests to have ended", || scene.server.open_connections() == 0);
    eventually("five log lines", || {
        let log = scene.daemon.access_log();
        let left = log.iter().filter(|line| line["reason"] == "client_aborted").count();
        let labels = [("outcome", "client_aborted")];
        let counted = scene.daemon.count("sheave_upstream_attempts_total", &labels);
        ((left, counted) == (5, 5)).then_some(())
    });
    assert_eq!(scene.daemon.count("sheave_requests_in_flight", &[]), 0);
}

#[test]
fn an_idle_http2_connection_wakes_its_worker_once_per_idle_time() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    let server = Server::start("1");
    let config = Config::to([&server]).workers(1).rest(
        "[listener.https]\naddress = \"127.0.0.1:0\"\n\
         timeouts = { request_head = \"20ms\", idle = \"60s\" }\n\
         tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
    );
    let daemon = Daemon::start_in(dir, &config.text());
    let mut client = frames::connect(daemon.address("https"), 1 << 16);
    client.send(frames::request(1, "GET", "/"));
    assert_eq!(frames::body_length(&mut client, 1).unwrap(), 1);
    let before = daemon.wakes_of("worker-0");
    std::thread::sleep(Duration::from_secs(2));
    let wakes = daemon.wakes_of("worker-0") - before;
    assert!(wakes < 40, "{wakes} in 2 s: of its own a worker has one a second");
    // The time for a head counts all the same.
    client.send(&frames::request(3, "GET", "/")[..20]);
    frames::until_frame(&mut client, frames::GOAWAY, 0).unwrap();
    daemon.wait_for_reason("head_timeout");
}

#[test]
fn many_large_responses_share_a_narrow_window() {
    let scene = scene();
    let body = "narrow ".repeat(100_000);
    scene.server.set(Behaviour::status(200, &body));
    by_h2(scene.daemon.http(), async |mut client| {
        // 64 KiB for all of them together, as h2 has it at first.
        let asked = (0..40).map(|_| {
            let get = http::Request::get("http://localhost/").body(()).unwrap();
            let (answer, _) = client.send_request(get, true).unwrap();
            async {
                let mut down = answer.await.unwrap().into_body();
                let mut all = Vec::new();
                while let Some(some) = down.data().await {
                    let some = some.unwrap();
                    all.extend_from_slice(&some);
                    down.flow_control().release_capacity(some.len()).unwrap();
                }
                assert!(all == body.as_bytes());
            }
        });
        futures_util::future::join_all(asked).await;
    });
}
