//! What is stored while servers fail, and while the daemon is reloaded or stopped.

use crate::{
    caching::{Scene, asking, config, is_hit, scene, told},
    rig::{Behaviour, Client, Config, Daemon, Gate, Server, Step, until},
};
use std::time::{Duration, Instant};

/// Stale, and may be served while servers fail.
const STALE: &str = "Cache-Control: max-age=5\r\nAge: 9\r\nETag: \"e\"\r\n";

#[test]
fn what_is_stored_is_served_while_all_servers_are_down() {
    let scene = scene("stale_if_error = \"1h\"");
    for path in ["/a", "/b", "/c"] {
        scene.says(STALE, path);
        scene.get(path);
    }
    scene.says("Cache-Control: max-age=60\r\n", "fresh");
    scene.get("/fresh");
    scene.server.kill();
    let mut client = scene.client();
    for round in 0..50 {
        for path in ["/a", "/b", "/c"] {
            let answer = client.get(path);
            assert_eq!((answer.status, answer.text().as_str()), (200, path), "{round}");
            assert!(told(&answer).ends_with("detail=stale-if-error"), "{}", told(&answer));
        }
        assert!(is_hit(&client.get("/fresh")));
    }
    assert!(client.get("/absent").status >= 502);
    scene.server.come_back();
    scene.says("Cache-Control: max-age=60\r\n", "new");
    until("the server is asked again", || scene.get("/a").text() == "new");
}

#[test]
fn what_is_stored_is_served_instead_of_an_error() {
    for (fields, status, served) in [
        ("", 503, false),
        (", stale-if-error=60", 500, true),
        (", stale-if-error=60", 502, true),
        (", stale-if-error=60", 503, true),
        (", stale-if-error=60", 504, true),
        (", stale-if-error=60", 501, false),
        (", stale-if-error=60", 404, false),
        (", stale-if-error=1", 503, false),
        (", stale-if-error=60, must-revalidate", 503, false),
        (", stale-if-error=60, no-cache", 503, false),
    ] {
        let scene = scene("");
        scene
            .says(&format!("Cache-Control: max-age=5{fields}\r\nAge: 9\r\nETag: \"e\"\r\n"), "old");
        scene.get("/");
        scene.server.set(Behaviour::fields(status, "", "error"));
        let answer = scene.get("/");
        let expected = if served { (200, "old") } else { (status, "error") };
        assert_eq!((answer.status, answer.text().as_str()), expected, "{fields} {status}");
        if served {
            let status = format!("fwd=stale; fwd-status={status}");
            assert!(told(&answer).contains(&status), "{}", told(&answer));
            scene.daemon.wait_for_access("stale", |it| it["cache"] == "stale");
        }
    }
}

#[test]
fn a_reload_of_what_is_fresh_gets_it_while_servers_fail() {
    let scene = scene("");
    let directives = ["", ", must-revalidate", ", no-cache"];
    for (number, directive) in directives.iter().enumerate() {
        scene.says(&format!("Cache-Control: max-age=60{directive}\r\nETag: \"e\"\r\n"), "fresh");
        scene.get(&format!("/{number}"));
    }
    for down in [false, true] {
        let status = if down {
            scene.server.kill();
            ""
        } else {
            scene.server.set(Behaviour::fields(503, "", "sick"));
            "fwd-status=503; "
        };
        for (number, directive) in directives.iter().enumerate() {
            for asks in ["Cache-Control: max-age=0\r\n", "Cache-Control: no-cache\r\n"] {
                let answer = scene.get_with(&format!("/{number}"), asks);
                if directive.contains("no-cache") {
                    assert!(answer.status >= 500, "{directive}: {}", answer.head.raw);
                    continue;
                }
                assert_eq!((answer.status, answer.text().as_str()), (200, "fresh"), "{asks}");
                let expected = format!("sheave; fwd=request; {status}ttl=");
                assert!(told(&answer).starts_with(&expected), "{}", told(&answer));
                assert!(told(&answer).ends_with("; detail=fresh-if-error"), "{}", told(&answer));
            }
        }
    }
}

#[test]
fn must_revalidate_forbids_it_to_the_operator_too() {
    let scene = scene("stale_if_error = \"1h\", stale_while_revalidate = \"1h\"");
    let fields = "Cache-Control: max-age=5, must-revalidate\r\nAge: 9\r\nETag: \"e\"\r\n";
    scene.says(fields, "old");
    scene.get("/");
    scene.server.kill();
    assert!(scene.get("/").status >= 502);
}

#[test]
fn a_refresh_that_fails_leaves_what_is_stored() {
    let scene = scene("stale_while_revalidate = \"1h\"");
    scene.says(STALE, "old");
    scene.get("/");
    scene.server.set(Behaviour::fields(503, "", "error"));
    for count in 2..6 {
        let answer = scene.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
        scene.server.wait_for_requests(count);
        // It is over when the next request may begin another one.
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_waits_for_a_failing_fetch_gets_an_answer() {
    let scene = scene("");
    scene.server.set(Behaviour::new([
        Step::Body,
        Step::Pause(Duration::from_millis(300)),
        Step::Reset,
    ]));
    let mut all: Vec<Client> = (0..20).map(|_| scene.client()).collect();
    for client in &mut all {
        client.send(asking("/", ""));
    }
    for client in &mut all {
        assert_eq!(client.response().status, 502);
    }
    assert!(scene.server.request_count() < 20, "{}", scene.server.request_count());
    scene.says("Cache-Control: max-age=60\r\n", "x");
    assert_eq!(scene.get("/").text(), "x");
}

fn sized(server: &Server, memory: &str) -> Config {
    Config::to([server])
        .route("cache = \"main\"")
        .rest(&format!("[cache.main]\nmemory = \"{memory}\"\nmax_object = \"1MiB\""))
}

#[test]
fn a_reload_keeps_what_is_stored_also_in_another_size() {
    let server = Server::start("1");
    let scene = Scene { daemon: Daemon::start(&sized(&server, "16MiB")), server };
    scene.says("Cache-Control: max-age=60\r\n", "x");
    scene.get("/");
    for memory in ["16MiB", "64MiB", "8MiB"] {
        scene.daemon.reconfigure(&sized(&scene.server, memory));
        assert!(is_hit(&scene.get("/")), "{memory}");
    }
    assert_eq!(scene.server.request_count(), 1);
}

/// A scene in which a response is half there.
fn halfway(gate: &Gate) -> (Scene, Client) {
    let scene = scene("");
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 8\r\n\r\nhalf";
    scene.server.set(Behaviour::new([
        Step::Body,
        Step::Send(head.into()),
        Step::Wait(gate.clone()),
        Step::Send("half".into()),
    ]));
    let mut client = scene.client();
    client.send(asking("/", ""));
    scene.server.wait_for_requests(1);
    (scene, client)
}

#[test]
fn a_reload_during_a_fetch_changes_nothing_for_it() {
    let gate = Gate::default();
    let (scene, mut client) = halfway(&gate);
    scene.daemon.reconfigure(&config(&scene.server, "min_ttl = \"1s\""));
    let mut joining = scene.client();
    joining.send(asking("/", ""));
    scene.daemon.wait_for_metric("sheave_requests_in_flight", &[], 2);
    gate.open();
    assert_eq!(
        (client.response().text(), joining.response().text()),
        ("halfhalf".into(), "halfhalf".into())
    );
    assert!(is_hit(&scene.get("/")));
    assert_eq!(scene.server.request_count(), 1);
}

#[test]
fn a_stop_during_a_fetch_lets_it_end() {
    let gate = Gate::default();
    let (mut scene, mut client) = halfway(&gate);
    let mut waiting = scene.client();
    waiting.send(asking("/", ""));
    scene.daemon.wait_for_metric("sheave_requests_in_flight", &[], 2);
    scene.daemon.signal("TERM");
    std::thread::sleep(Duration::from_millis(100));
    gate.open();
    assert_eq!(
        (client.response().text(), waiting.response().text()),
        ("halfhalf".into(), "halfhalf".into())
    );
    assert_eq!(scene.daemon.wait_exit(), Some(0));
}

#[test]
fn a_fetch_that_nobody_waits_for_does_not_hold_up_a_stop() {
    let gate = Gate::default();
    let (mut scene, client) = halfway(&gate);
    drop(client);
    scene.daemon.wait_for_metric("sheave_requests_in_flight", &[], 0);
    let begun = Instant::now();
    scene.daemon.signal("TERM");
    assert_eq!(scene.daemon.wait_exit(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    gate.open();
}

#[test]
fn a_full_cache_of_256_mib_is_in_less_than_512_mb() {
    let server = Server::start("1");
    let config = Config::to([&server])
        .route("cache = \"main\"")
        .rest("[cache.main]\nmemory = \"256MiB\"\nmax_object = \"1MiB\"")
        .quiet();
    let scene = Scene { daemon: Daemon::start(&config), server };
    let mut client = scene.client();
    // 500 MB in all.
    for (round, size) in [10_000, 1_000_000, 30_000, 300_000, 100_000].into_iter().enumerate() {
        scene.says("Cache-Control: max-age=60\r\n", &"x".repeat(size));
        for number in 0..100_000_000 / size.max(100_000) {
            let answer = client.get(&format!("/{round}/{number}"));
            assert_eq!(answer.body.len(), size);
        }
    }
    let file = scene.daemon.path("rss");
    scene.daemon.shell(&format!("grep VmRSS /proc/$0/status > {}", file.display()));
    let told = std::fs::read_to_string(file).unwrap();
    let kib: u64 = told.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((200 << 10..512_000_000 >> 10).contains(&kib), "{told}");
}
