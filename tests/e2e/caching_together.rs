//! Many clients at once for the same thing: the server is asked once, and nobody is held up by
//! another.

use crate::{
    caching::{Scene, asking, is_hit, scene, told},
    rig::{Behaviour, Client, Gate, Load, Response, Step, secure::Http2, until},
};
use bytes::Bytes;
use http_body_util::Full;
use std::{
    thread::{self, sleep},
    time::{Duration, Instant},
};

const FRESH: &str = "Cache-Control: max-age=60\r\n";

/// Answers with these bytes after a while.
fn slow(millis: u64, answer: &Behaviour) -> Behaviour {
    let mut steps = vec![Step::Pause(Duration::from_millis(millis))];
    steps.extend(answer.answer.iter().cloned());
    Behaviour::new(steps)
}

/// Clients that have all sent the same request.
fn clients(scene: &Scene, count: usize, path: &str) -> Vec<Client> {
    let mut all: Vec<_> = (0..count).map(|_| scene.client()).collect();
    for client in &mut all {
        client.send(asking(path, ""));
    }
    all
}

fn answers(clients: &mut [Client]) -> Vec<Response> {
    clients.iter_mut().map(Client::response).collect()
}

/// A head and the first part; then the gate, and the rest.
fn in_two(head: &str, first: &str, gate: &Gate, rest: &str) -> Behaviour {
    let first = format!("HTTP/1.1 200 OK\r\n{head}\r\n{first}");
    let wait = Step::Wait(gate.clone());
    Behaviour::new([Step::Body, Step::Send(first.into()), wait, Step::Send(rest.into())])
}

/// Waits until so many requests have been passed to the cache: each waits for the server.
fn until_waiting(scene: &Scene, count: u64) {
    scene.daemon.wait_for_metric("sheave_requests_in_flight", &[], count);
}

#[test]
fn a_thousand_clients_for_what_is_absent_or_expired_ask_once() {
    let scene = scene("");
    for (path, fields) in [("/absent", ""), ("/expired", "Age: 99\r\nETag: \"e\"\r\n")] {
        if !fields.is_empty() {
            scene.says(&format!("{FRESH}{fields}"), "old");
            scene.get(path);
        }
        scene.server.forget_requests();
        scene.server.set(slow(500, &Behaviour::fields(200, FRESH, "content")));
        let mut clients = clients(&scene, 1_000, path);
        for answer in answers(&mut clients) {
            assert_eq!((answer.status, answer.text().as_str()), (200, "content"));
        }
        assert_eq!(scene.server.request_count(), 1, "{path}");
    }
}

#[test]
fn a_thousand_clients_get_what_is_stale_at_once_while_one_request_is_made() {
    let scene = scene("");
    scene.says("Cache-Control: max-age=5, stale-while-revalidate=60\r\nAge: 9\r\n", "old");
    scene.get("/");
    scene.server.forget_requests();
    scene.server.set(slow(500, &Behaviour::fields(200, FRESH, "new")));
    let mut all: Vec<_> = (0..1_000).map(|_| scene.client()).collect();
    let mut longest = Duration::ZERO;
    for client in &mut all {
        let begun = Instant::now();
        client.send(asking("/", ""));
        let answer = client.response();
        longest = longest.max(begun.elapsed());
        assert!(is_hit(&answer) && ["old", "new"].contains(&&*answer.text()));
    }
    assert!(longest < Duration::from_millis(400), "nobody waits for the server: {longest:?}");
    until("the new one", || scene.get("/").text() == "new");
    assert_eq!(scene.server.request_count(), 1);
}

/// Some look it up just before it is stored, and would begin a fetch just after.
#[test]
fn who_comes_as_it_is_stored_does_not_ask_again() {
    const URLS: usize = 1_000;
    let scene = scene("");
    scene.says(FRESH, "content");
    let load = Load::on(scene.daemon.http()).connections(16).requests(16 * URLS);
    load.asking(|number| asking(&format!("/{}", number / 16), "")).run().expect_no_failure();
    assert_eq!(scene.server.request_count(), URLS);
}

#[test]
fn a_fetch_goes_on_when_its_client_leaves() {
    let scene = scene("");
    let gate = Gate::default();
    scene.server.set(in_two(&format!("{FRESH}Content-Length: 8\r\n"), "half", &gate, "half"));
    let mut first = scene.client();
    first.send(asking("/", ""));
    scene.server.wait_for_requests(1);
    let mut others = clients(&scene, 5, "/");
    until_waiting(&scene, 6);
    drop(first);
    until_waiting(&scene, 5);
    gate.open();
    for answer in answers(&mut others) {
        assert_eq!(answer.text(), "halfhalf");
        assert!(told(&answer).contains("collapsed"), "{}", told(&answer));
    }
    assert!(is_hit(&scene.get("/")));
    assert_eq!(scene.server.request_count(), 1);
    // Also if nobody else waits.
    let gate = Gate::default();
    scene.server.set(in_two(&format!("{FRESH}Content-Length: 8\r\n"), "half", &gate, "half"));
    let mut only = scene.client();
    only.send(asking("/b", ""));
    scene.server.wait_for_requests(2);
    drop(only);
    gate.open();
    until("it is stored", || is_hit(&scene.get("/b")));
    assert_eq!(scene.server.request_count(), 2);
}

#[test]
fn what_breaks_off_is_truncated_for_all_and_not_stored() {
    let scene = scene("");
    let part = "x".repeat(50_000);
    for (path, framing, text) in [
        ("/length", "Content-Length: 100000\r\n", part.clone()),
        ("/chunked", "Transfer-Encoding: chunked\r\n", format!("{:x}\r\n{part}\r\n", part.len())),
    ] {
        let gate = Gate::default();
        let mut behaviour = in_two(&format!("{FRESH}{framing}"), &text, &gate, "");
        behaviour.answer.push(Step::Reset);
        scene.server.set(behaviour);
        let mut all = clients(&scene, 10, path);
        until_waiting(&scene, 10);
        gate.open();
        for client in &mut all {
            let answer = client.try_response("GET");
            assert!(answer.is_err(), "{path}: {:?}", answer.map(|it| it.head));
        }
        until_waiting(&scene, 0);
        scene.says(FRESH, "whole");
        let next = scene.get(path);
        assert!(told(&next).contains("fwd=uri-miss"), "{path}: {}", told(&next));
        assert_eq!(next.text(), "whole");
    }
    // And to an HTTP/2 client.
    let mut behaviour = Behaviour::raw(&format!(
        "HTTP/1.1 200 OK\r\n{FRESH}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    ));
    behaviour.answer.push(Step::Reset);
    scene.server.set(behaviour);
    let http2 = Http2::connect_plain(scene.daemon.http());
    let request = http::Request::get("http://localhost/h2").body(Full::new(Bytes::new()));
    assert!(http2.send(request.unwrap()).is_err());
}

#[test]
fn what_turns_out_private_is_asked_for_by_everybody_in_parallel() {
    let scene = scene("");
    scene.server.set(slow(300, &Behaviour::fields(200, "Cache-Control: private\r\n", "own")));
    let begun = Instant::now();
    let mut all = clients(&scene, 50, "/");
    for answer in answers(&mut all) {
        assert_eq!(answer.text(), "own");
    }
    // The first, and then all others at the same time.
    assert!(begun.elapsed() < Duration::from_millis(3_000), "{:?}", begun.elapsed());
    assert_eq!(scene.server.request_count(), 50);
    // From now on nobody waits at all: not for a server that answers nothing.
    scene.server.set(Behaviour::hang());
    let _hanging = clients(&scene, 1, "/");
    scene.server.wait_for_requests(51);
    scene.says("Cache-Control: private\r\n", "own");
    assert_eq!(scene.get("/").text(), "own");
}

#[test]
fn who_waits_for_another_variant_shares_a_fetch_of_that() {
    let scene = scene("");
    let fields = format!("{FRESH}Vary: Accept-Encoding\r\n");
    let mut steps = vec![Step::Pause(Duration::from_millis(300))];
    steps.extend(Behaviour::echo_with(&fields).answer);
    scene.server.set(Behaviour::new(steps));
    let mut all: Vec<_> = (0..60).map(|_| scene.client()).collect();
    for (at, client) in all.iter_mut().enumerate() {
        let codings = ["gzip", "br", "zstd"][at % 3];
        client.send(asking("/", &format!("Accept-Encoding: {codings}\r\n")));
    }
    for (at, answer) in answers(&mut all).into_iter().enumerate() {
        let codings = ["gzip", "br", "zstd"][at % 3];
        let asked = answer.text().to_ascii_lowercase();
        assert!(asked.contains(&format!("accept-encoding: {codings}\r\n")), "{codings}: {asked}");
    }
    assert_eq!(scene.server.request_count(), 3);
}

#[test]
fn who_waits_gets_the_bytes_as_they_come() {
    for framing in ["Content-Length: 8\r\n", "Transfer-Encoding: chunked\r\n"] {
        let (first, rest) = if framing.starts_with('C') {
            ("half", "half")
        } else {
            ("4\r\nhalf\r\n", "4\r\nhalf\r\n0\r\n\r\n")
        };
        let scene = scene("");
        let gate = Gate::default();
        scene.server.set(in_two(&format!("{FRESH}{framing}"), first, &gate, rest));
        let mut all = clients(&scene, 3, "/");
        let http2 = Http2::connect_plain(scene.daemon.http());
        let streaming = thread::spawn(move || {
            let request = http::Request::get("http://localhost/").body(Full::new(Bytes::new()));
            http2.send(request.unwrap()).unwrap()
        });
        until_waiting(&scene, 4);
        for client in &mut all {
            let head = client.head().unwrap();
            let begun = if head.is_chunked() {
                client.exactly(9).unwrap()[3..7].to_vec()
            } else {
                client.exactly(4).unwrap()
            };
            assert_eq!(begun, b"half", "before the server is done");
        }
        gate.open();
        assert_eq!(streaming.join().unwrap().body, b"halfhalf");
        assert_eq!(scene.server.request_count(), 1);
        until("it is stored", || is_hit(&scene.get("/")));
        assert_eq!(scene.get("/").text(), "halfhalf");
    }
}

#[test]
fn a_slow_reader_holds_up_neither_others_nor_the_store() {
    let scene = scene("");
    let content = "x".repeat(1_000_000);
    scene.says(FRESH, &content);
    // They never read; more than the sockets' buffers take is on its way to them.
    let _slow: Vec<_> = (0..20).map(|_| clients(&scene, 1, "/")).collect();
    let mut quick = clients(&scene, 5, "/");
    for answer in answers(&mut quick) {
        assert_eq!(answer.body.len(), content.len());
    }
    until("it is stored", || is_hit(&scene.get("/")));
    assert_eq!(scene.server.request_count(), 1);
}

#[test]
fn what_grows_too_large_is_whole_for_all_and_not_stored() {
    let scene = scene("");
    let part = "x".repeat(64 * 1024);
    let chunk = format!("{:x}\r\n{part}\r\n", part.len());
    let count = 16 * 40; // 40 MiB, more than the whole cache
    let mut steps = vec![Step::Body];
    let head = format!("HTTP/1.1 200 OK\r\n{FRESH}Transfer-Encoding: chunked\r\n\r\n");
    steps.push(Step::Pause(Duration::from_millis(300)));
    steps.push(Step::Send(head.into()));
    steps.push(Step::Send(chunk.repeat(count).into()));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    scene.server.set(Behaviour::new(steps));
    let before = scene.daemon.anonymous_memory();
    let all = clients(&scene, 4, "/");
    // Nobody reads: the server has to wait, and memory does not grow with what it has to send.
    scene.server.wait_for_requests(1);
    sleep(Duration::from_millis(1_500));
    let now = scene.daemon.anonymous_memory();
    assert!(now < before + 12 * 1024, "{before} KiB before, {now} KiB now");
    let read = |mut it: Client| thread::spawn(move || it.response().body.len());
    let readers: Vec<_> = all.into_iter().map(read).collect();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), part.len() * count);
    }
    assert_eq!(scene.server.request_count(), 1);
    scene.says(FRESH, "small");
    assert!(!is_hit(&scene.get("/")));
}

#[test]
fn what_is_announced_too_large_is_whole_for_all_and_not_stored() {
    let scene = scene("");
    let content = "x".repeat(3 << 20);
    scene.server.set(slow(200, &Behaviour::fields(200, FRESH, &content)));
    let all = clients(&scene, 4, "/");
    let readers = all.into_iter().map(|mut it| thread::spawn(move || it.response().body.len()));
    let readers: Vec<_> = readers.collect();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), content.len());
    }
    assert!(told(&scene.get("/")).contains("detail=too_large"));
}

#[test]
fn empty_bodies_and_statuses_are_shared_too() {
    let scene = scene("");
    for (status, body) in [(200, ""), (204, ""), (301, ""), (404, "gone"), (410, "")] {
        let path = format!("/{status}");
        let answer = Behaviour::fields(status, &format!("{FRESH}Location: /x\r\n"), body);
        scene.server.set(slow(200, &answer));
        scene.server.forget_requests();
        for answer in answers(&mut clients(&scene, 20, &path)) {
            assert_eq!((answer.status, answer.text().as_str()), (status, body));
        }
        assert_eq!(scene.server.request_count(), 1, "{status}");
    }
}

#[test]
fn what_one_client_sends_does_not_make_others_ask_alone() {
    let scene = scene("");
    for (fields, status) in [
        ("Authorization: a\r\n", 200),
        ("Cache-Control: no-cache\r\n", 400),
        ("Cache-Control: no-cache\r\n", 429),
        ("Cache-Control: no-cache\r\n", 503),
        ("Cache-Control: no-store, no-cache\r\n", 200),
    ] {
        let path = format!("/{status}-{}", fields.len());
        scene.says(&format!("{FRESH}ETag: \"e\"\r\n"), "for all");
        scene.get(&path);
        scene.server.set(Behaviour::fields(status, "Cache-Control: max-age=0\r\n", "for one"));
        scene.get_with(&path, &format!("{fields}Cache-Control: no-cache\r\n"));
        let next = scene.get(&path);
        assert!(is_hit(&next) && next.text() == "for all", "{fields}{status}: {}", next.head.raw);
    }
}

#[test]
fn requests_with_credentials_wait_for_nobody() {
    let scene = scene("");
    scene.server.set(Behaviour::fields(200, "", "own"));
    scene.get_with("/", "Authorization: a\r\n");
    scene.server.set(Behaviour::hang());
    let mut first = scene.client();
    first.send(asking("/", "Authorization: a\r\n"));
    scene.server.wait_for_requests(2);
    scene.server.set(Behaviour::fields(200, FRESH, "own"));
    assert_eq!(scene.get_with("/", "Authorization: b\r\n").text(), "own");
    // And they keep nobody else from sharing.
    scene.server.forget_requests();
    scene.server.set(slow(200, &Behaviour::fields(200, FRESH, "for all")));
    for answer in answers(&mut clients(&scene, 20, "/")) {
        assert_eq!(answer.text(), "for all");
    }
    assert_eq!(scene.server.request_count(), 1);
}
