//! The key: what counts of a request, and that nobody chooses what others get.

use crate::{
    caching::{Scene, config, is_hit, scene, told},
    rig::{Behaviour, Daemon, Response, Server, secure::Http2},
};
use bytes::Bytes;
use http_body_util::Full;

/// The server tells each request that it gets, and all of it may be stored.
fn telling(keys: &str) -> Scene {
    let scene = scene(keys);
    scene.server.set(Behaviour::echo_with("Cache-Control: public, max-age=60\r\n"));
    scene
}

/// A line of the request that the server got.
fn asked<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    let line = |it: &'a str| it.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name));
    told.lines().skip(1).find_map(line).map(|(_, value)| value)
}

#[test]
fn parameters_that_do_not_count_reach_no_server() {
    for (keys, first, second, target) in [
        ("query = \"none\"", "/a?x=1&y=2", "/a?z", "/a"),
        ("query = { only = [\"page\"] }", "/a?x=1&page=2", "/a?page=2&y=3", "/a?page=2"),
        ("query = { without = [\"utm_*\"] }", "/a?utm_x=1&b=2&a=1", "/a?a=1&b=2", "/a?a=1&b=2"),
    ] {
        let scene = telling(keys);
        let answer = scene.get(first);
        assert!(
            answer.text().starts_with(&format!("GET {target} HTTP/1.1\r\n")),
            "{keys}: {}",
            answer.text()
        );
        let hit = scene.get(second);
        assert!(is_hit(&hit), "{keys}: {}", hit.head.raw);
        // A client that asks for what is not stored gets no more parameters through either.
        scene.server.set(Behaviour::fields(200, "Cache-Control: no-store\r\n", "x"));
        for _ in 0..2 {
            scene.get_with(&first.replace("/a", "/b"), "Range: bytes=0-1\r\n");
            assert_eq!(
                scene.server.last_request().head.target(),
                target.replace("/a", "/b"),
                "{keys}"
            );
        }
    }
    let scene = telling("");
    scene.get("/a?b=1");
    assert!(!is_hit(&scene.get("/a?b=2")) && !is_hit(&scene.get("/a")));
    assert!(is_hit(&scene.get("/a?b=1")));
}

#[test]
fn cookies_that_do_not_count_reach_no_server() {
    let scene = telling("cookies = \"drop\"");
    let answer = scene.get_with("/", "Cookie: a=1; b=2\r\n");
    assert_eq!(asked(&answer.text(), "cookie"), None);
    assert!(is_hit(&scene.get("/")) && is_hit(&scene.get_with("/", "Cookie: c=1\r\n")));
    let scene = telling("cookies = [\"lang\"]");
    let answer = scene.get_with("/", "Cookie: a=1; lang=de; b=2\r\n");
    assert_eq!(asked(&answer.text(), "cookie"), Some("lang=de"));
    assert!(is_hit(&scene.get_with("/", "Cookie: lang=de; x=y\r\n")));
    assert!(!is_hit(&scene.get_with("/", "Cookie: lang=en\r\n")));
    assert!(!is_hit(&scene.get("/")));
}

#[test]
fn a_cookie_may_pass_the_cache_by() {
    let scene = telling("bypass_cookies = [\"session\"]");
    scene.get("/");
    let answer = scene.get_with("/", "Cookie: a=1; session=x\r\n");
    assert_eq!(answer.field("cache-status"), Some("sheave; fwd=bypass; detail=cookie"));
    assert!(answer.text().contains("session=x"));
    let hit = scene.get_with("/", "Cookie: a=1\r\n");
    assert!(is_hit(&hit) && !hit.text().contains("session"), "{}", hit.text());
}

#[test]
fn hosts_and_schemes_are_apart_and_spellings_are_not() {
    let scene = telling("");
    let ask = |host: &str| -> Response {
        scene.client().ask(&format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    };
    let first = ask("a.Example");
    let told = first.text().to_ascii_lowercase();
    assert_eq!(asked(&told, "host"), Some("a.example"), "{told}");
    for host in ["a.example", "A.EXAMPLE", "a.example.", "a.example:80", "a.example:080"] {
        let hit = ask(host);
        assert!(is_hit(&hit), "{host}");
    }
    for host in ["b.example", "a.example:81", "xa.example"] {
        assert!(!is_hit(&ask(host)), "{host}");
    }
    // Servers see no spelling that a client chose, in no field.
    let scene = telling("");
    let answer = scene.client().ask("GET /b HTTP/1.1\r\nHost: A.Example.:80\r\n\r\n");
    assert!(!answer.text().contains("A.Example"), "{}", answer.text());
    assert!(!answer.text().contains(".:80"), "{}", answer.text());
    // The absolute form counts before Host.
    let scene = telling("");
    let mut client = scene.client();
    let request = "GET http://a.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let answer = client.ask(request);
    assert!(!answer.text().contains("evil"), "{}", answer.text());
    let hit = client.ask("GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert!(is_hit(&hit));
    assert!(!is_hit(&client.ask("GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n")));
    // An HTTP/2 client shares with the others.
    let http2 = Http2::connect_plain(scene.daemon.http());
    let request = http::Request::get("http://A.example/x").body(Full::new(Bytes::new()));
    let answer = http2.send(request.unwrap()).unwrap();
    assert!(answer.headers["cache-status"].to_str().unwrap().contains("hit"));
}

#[test]
fn no_client_chooses_what_the_next_one_gets() {
    let fields = "X-Forwarded-Host: evil\r\nX-Forwarded-Port: evil\r\nX-Forwarded-Prefix: /evil\r\n\
        X-Forwarded-Proto: evil\r\nX-Forwarded-Scheme: evil\r\nX-Forwarded-Server: evil\r\n\
        X-Forwarded-Path: evil\r\nX-Forwarded-Ssl: evil\r\nForwarded: host=evil\r\nX-Host: evil\r\n\
        X-Original-URL: /evil\r\nX-Original-Host: evil\r\nX-Rewrite-URL: /evil\r\n\
        X-HTTP-Method-Override: EVIL\r\nX-HTTP-Method: EVIL\r\nX-Method-Override: EVIL\r\n\
        X-Original-URI: /evil\r\nX-Url-Scheme: evil\r\nX-Proxy-Url: evil\r\nX_Forwarded_Host: evil\r\n\
        X-HTTP-Host-Override: evil\r\nX-HTTP-Path-Override: evil\r\nFront-End-Https: evil\r\n\
        X-HTTP-DestinationURL: evil\r\nRange: bytes=0-0\r\nIf-None-Match: \"evil\"\r\n\
        Content-Type: evil/evil\r\nAccept-Encoding: evil\r\n\
        Connection: x-evil\r\nX-Evil: evil\r\nTE: evil\r\n";
    let scene = telling("");
    scene.get_with("/a", fields);
    let next = scene.get("/a");
    let told = next.text().to_ascii_lowercase();
    assert!(is_hit(&next) && !told.contains("evil"), "{told}");
    // Whole requests.
    for (at, request) in [
        "GET /PATH HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nevil",
        "GET /PATH HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        "HEAD /PATH HTTP/1.1\r\nHost: localhost\r\nX-HTTP-Method-Override: EVIL\r\n\r\n",
        "POST /PATH HTTP/1.1\r\nHost: localhost\r\nX-HTTP-Method-Override: GET\r\nContent-Length: 4\r\n\r\nevil",
        "GET /PATH HTTP/1.1\r\nHost: localhost\r\nUpgrade: evil\r\nConnection: upgrade\r\n\r\n",
        "GET /PATH HTTP/1.1\r\nHost: localhost\r\nIf-Match: \"evil\"\r\n\r\n",
        "GET /PATH#evil HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /x/../PATH?evil HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/poison-{at}");
        let mut client = scene.client();
        client.send(request.replace("/PATH", &path));
        let _ = client.try_response(request.split(' ').next().unwrap());
        let next = scene.get(&path);
        let told = next.text().to_ascii_lowercase();
        assert!(next.status == 200 && !told.contains("evil"), "{request}: {told}");
        assert!(told.starts_with("get /"), "{told}");
    }
}

#[test]
fn a_trusted_proxys_host_is_part_of_the_key() {
    let server = Server::start("1");
    server.set(Behaviour::echo_with("Cache-Control: max-age=60\r\n"));
    let config = config(&server, "").top("trusted_proxies = [\"127.0.0.1\"]");
    let scene = Scene { daemon: Daemon::start(&config), server };
    let ask = |host: &str| {
        scene.get_with("/", &format!("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: {host}\r\n"))
    };
    let first = ask("a.example");
    assert_eq!(asked(&first.text(), "x-forwarded-host"), Some("a.example"));
    let other = ask("b.example");
    assert_eq!(asked(&other.text(), "x-forwarded-host"), Some("b.example"));
    assert!(is_hit(&ask("a.example")));
}

#[test]
fn what_the_routes_edits_set_is_what_the_server_gets() {
    let server = Server::start("1");
    server.set(Behaviour::echo_with("Cache-Control: max-age=60\r\nVary: X-Place\r\n"));
    let config = config(&server, "").route(
        "request_headers.set = { \"Host\" = \"inside\", \"X-Original-URL\" = \"/set\", \
         \"X-Place\" = \"{client_ip}\" }",
    );
    let scene = Scene { daemon: Daemon::start(&config), server };
    let answer = scene.get_with("/", "X-Original-URL: /evil\r\nX-Place: evil\r\n");
    let told = answer.text();
    assert_eq!(asked(&told, "host"), Some("inside"), "{told}");
    assert_eq!(asked(&told, "x-original-url"), Some("/set"), "{told}");
    assert_eq!(asked(&told, "x-place"), Some("127.0.0.1"), "{told}");
    assert!(is_hit(&scene.get("/")));
}

#[test]
fn responses_that_vary_by_different_fields_do_not_hide_each_other() {
    let scene = scene("");
    let (a, b) = ("X-A: 1\r\n", "X-A: 2\r\nX-B: 1\r\n");
    let fetch = |name: &str, asks: &str, text: &str| {
        scene.says(&format!("Cache-Control: max-age=60\r\nETag: \"e\"\r\nVary: {name}\r\n"), text);
        assert_eq!(scene.get_with("/", asks).text(), text);
    };
    // The first one's key is that of its own fields, until another one names more.
    fetch("X-A", a, "first");
    fetch("X-B", b, "b");
    fetch("X-A", a, "a");
    scene.server.forget_requests();
    for _ in 0..2 {
        for (asks, text) in [(a, "a"), (b, "b")] {
            let hit = scene.get_with("/", asks);
            assert!(is_hit(&hit) && hit.text() == text, "{text}: {}", hit.head.raw);
        }
    }
    assert_eq!(scene.server.request_count(), 0);
    // Validation finds its own, too.
    scene.server.set(Behaviour::raw("HTTP/1.1 304 No\r\nETag: \"e\"\r\n\r\n"));
    let answer = scene.get_with("/", &format!("{a}Cache-Control: no-cache\r\n"));
    assert!(told(&answer).contains("fwd-status=304"), "{}", told(&answer));
    // Too many: the newest counts.
    let many: Vec<_> = (0..9).map(|it| format!("X-{it}")).collect();
    fetch(&many.join(", "), "", "many");
    assert!(is_hit(&scene.get("/")));
    // One for all requests takes the place of all.
    scene.says("Cache-Control: max-age=60\r\n", "for all");
    assert_eq!(scene.get_with("/", "X-1: 1\r\n").text(), "for all");
    assert!(is_hit(&scene.get_with("/", a)) && is_hit(&scene.get_with("/", b)));
}
