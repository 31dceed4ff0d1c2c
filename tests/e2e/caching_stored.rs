//! Answers from what is stored: validation, conditions, ranges, HEAD, and variants.

use crate::{
    caching::{Scene, date, is_hit, scene, told},
    rig::{Behaviour, Step, secure::Http2},
};
use bytes::Bytes;
use http_body_util::Full;

/// Fresh, with both validators.
fn with_validators(changed: &str) -> String {
    format!("Cache-Control: max-age=60\r\nETag: \"e\"\r\nLast-Modified: {changed}\r\n")
}

fn stored_scene(changed: &str) -> Scene {
    let scene = scene("");
    scene.says(&with_validators(changed), "0123456789");
    assert_eq!(scene.get("/").text(), "0123456789");
    scene
}

#[test]
fn a_304_updates_what_is_stored() {
    for (name, field, value) in [
        ("ETag", "if-none-match", "\"e\"".to_owned()),
        ("Last-Modified", "if-modified-since", date(-99)),
    ] {
        let fields = format!("{name}: {value}\r\n");
        let scene = scene("");
        scene.says(&format!("{fields}Cache-Control: max-age=0\r\nX-A: 1\r\nX-B: 1\r\n"), "abc");
        scene.get("/");
        let new = format!("{fields}Cache-Control: max-age=60\r\nX-A: 2\r\nSet-Cookie: a=b\r\n");
        scene.server.set(Behaviour::fields(304, &new, ""));
        let answer = scene.get("/");
        let asked = scene.server.last_request().head;
        assert_eq!(asked.field(field), Some(&*value));
        assert_eq!((answer.status, answer.text().as_str()), (200, "abc"));
        assert!(
            told(&answer).starts_with("sheave; fwd=stale; fwd-status=304"),
            "{}",
            told(&answer)
        );
        let hit = scene.get("/");
        assert!(is_hit(&hit), "{}", hit.head.raw);
        let shown = (hit.field("x-a"), hit.field("x-b"), hit.text());
        assert_eq!(shown, (Some("2"), Some("1"), "abc".to_owned()));
        assert!(!hit.head.has("set-cookie"));
        scene.daemon.wait_for_access("validated", |it| it["cache"] == "validated");
    }
}

#[test]
fn a_304_about_another_response_is_asked_again_without_condition() {
    let scene = scene("");
    scene.says("Cache-Control: max-age=0\r\nETag: \"old\"\r\n", "old");
    scene.get("/");
    // It says "not modified" to a condition only.
    scene.server.set(Behaviour::new([Step::Body, Step::If(
        "if-none-match".into(),
        b"HTTP/1.1 304 No\r\nETag: \"new\"\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nETag: \"new\"\r\nCache-Control: max-age=60\r\nContent-Length: 3\r\n\r\nnew".to_vec(),
    )]));
    let answer = scene.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (200, "new"));
    assert_eq!(scene.server.request_count(), 3);
    assert!(is_hit(&scene.get("/")));
}

#[test]
fn a_200_to_a_condition_replaces_what_is_stored() {
    let scene = scene("");
    scene.says("Cache-Control: max-age=0\r\nETag: \"old\"\r\n", "old");
    scene.get("/");
    scene.says("Cache-Control: max-age=60\r\nETag: \"new\"\r\n", "new");
    assert_eq!(scene.get("/").text(), "new");
    let hit = scene.get("/");
    assert_eq!(
        (is_hit(&hit), hit.text().as_str(), hit.field("etag")),
        (true, "new", Some("\"new\""))
    );
}

#[test]
fn a_clients_own_conditions_are_answered_from_what_is_stored() {
    let changed = date(-1000);
    let scene = stored_scene(&changed);
    let later = date(-500);
    let earlier = date(-2000);
    for (fields, status) in [
        ("If-None-Match: \"e\"", 304),
        ("If-None-Match: W/\"e\"", 304),
        ("If-None-Match: \"x\", \"e\"", 304),
        ("If-None-Match: *", 304),
        ("If-None-Match: \"x\"", 200),
        (&format!("If-Modified-Since: {changed}"), 304),
        (&format!("If-Modified-Since: {later}"), 304),
        (&format!("If-Modified-Since: {earlier}"), 200),
        (&format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {later}"), 200),
    ] {
        let answer = scene.get_with("/", &format!("{fields}\r\n"));
        assert_eq!(answer.status, status, "{fields}");
        assert!(is_hit(&answer), "{fields}: {}", answer.head.raw);
        if status == 304 {
            assert_eq!(answer.field("etag"), Some("\"e\""));
            assert!(answer.head.has("cache-control") && answer.head.has("date"));
            assert!(!answer.head.has("content-length") && !answer.head.has("content-type"));
        }
    }
    assert_eq!(scene.server.request_count(), 1);
}

#[test]
fn what_only_the_server_can_test_goes_to_it_as_asked() {
    let scene = stored_scene(&date(-1000));
    scene.server.forget_requests();
    let behaviour = Behaviour::fields(412, "Cache-Control: max-age=60\r\n", "changed");
    scene.server.set(behaviour);
    for (count, (name, value)) in
        [("if-match", "\"e\""), ("if-unmodified-since", &*date(-500))].into_iter().enumerate()
    {
        for method in ["GET", "HEAD"] {
            let fields = format!("{name}: {value}\r\nRange: bytes=0-1\r\n");
            let answer = scene.ask(method, "/", &fields, "");
            assert_eq!(answer.status, 412, "{name}");
            assert_eq!(told(&answer), "sheave; fwd=bypass; detail=precondition");
        }
        let asked = scene.server.last_request();
        assert!(asked.head.raw.starts_with("HEAD "), "{}", asked.head.raw);
        assert_eq!(
            (asked.head.field(name), asked.head.field("range")),
            (Some(value), Some("bytes=0-1"))
        );
        assert_eq!(scene.server.request_count(), 2 * (count + 1));
    }
    assert!(is_hit(&scene.get("/")));
}

#[test]
fn parts_are_cut_from_what_is_stored() {
    let changed = date(-1000);
    let scene = stored_scene(&changed);
    for (fields, status, body, range) in [
        ("Range: bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("Range: bytes=7-", 206, "789", "bytes 7-9/10"),
        ("Range: bytes=-2", 206, "89", "bytes 8-9/10"),
        ("Range: bytes=0-99", 206, "0123456789", "bytes 0-9/10"),
        ("Range: bytes=10-", 416, "", "bytes */10"),
        ("Range: lines=1-2", 200, "0123456789", ""),
        ("Range: bytes=2-4\r\nIf-Range: \"e\"", 206, "234", "bytes 2-4/10"),
        ("Range: bytes=2-4\r\nIf-Range: \"x\"", 200, "0123456789", ""),
        (&format!("Range: bytes=2-4\r\nIf-Range: {changed}"), 206, "234", "bytes 2-4/10"),
        ("Range: bytes=2-4\r\nIf-None-Match: \"e\"", 304, "", ""),
    ] {
        let answer = scene.get_with("/", &format!("{fields}\r\n"));
        assert_eq!(answer.status, status, "{fields}");
        if status != 416 {
            assert_eq!(answer.text(), body, "{fields}");
        }
        assert_eq!(answer.field("content-range").unwrap_or_default(), range, "{fields}");
    }
    assert_eq!(scene.server.request_count(), 1);
}

#[test]
fn the_same_over_http2() {
    let scene = stored_scene(&date(-1000));
    let http2 = Http2::connect_plain(scene.daemon.http());
    let ask = |method: &str, name: &str, value: &str| {
        let request = http::Request::builder().method(method).uri("http://localhost/");
        http2.send(request.header(name, value).body(Full::new(Bytes::new())).unwrap()).unwrap()
    };
    for (name, value, status, body) in [
        ("x-none", "1", 200, "0123456789"),
        ("range", "bytes=2-4", 206, "234"),
        ("range", "bytes=99-", 416, ""),
        ("if-none-match", "\"e\"", 304, ""),
    ] {
        let answer = ask("GET", name, value);
        assert_eq!(answer.status, status, "{name}");
        if status < 400 {
            assert_eq!(answer.body, body.as_bytes(), "{name}");
            assert!(answer.headers["cache-status"].to_str().unwrap().contains("hit"));
        }
    }
    let head = ask("HEAD", "x-none", "1");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.headers["content-length"], "10");
    assert_eq!(scene.server.request_count(), 1);
}

#[test]
fn a_part_of_what_is_not_stored_is_right_and_the_whole_is_stored() {
    let scene = scene("");
    scene.says("Cache-Control: max-age=60\r\nETag: \"e\"\r\n", "0123456789");
    let answer = scene.get_with("/", "Range: bytes=2-4\r\n");
    match answer.status {
        206 => assert_eq!(answer.text(), "234"),
        200 => assert_eq!(answer.text(), "0123456789"),
        status => panic!("{status}"),
    }
    assert!(!scene.server.last_request().head.has("range"));
    let hit = scene.get("/");
    assert_eq!((is_hit(&hit), hit.text().as_str()), (true, "0123456789"));
    // A condition on a miss.
    let answer = scene.get_with("/b", "If-None-Match: \"e\"\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (304, ""));
    assert_eq!(scene.get("/b").text(), "0123456789");
}

#[test]
fn what_is_not_stored_is_asked_for_as_the_client_asks() {
    let scene = scene("");
    let large = "x".repeat(2 << 20);
    scene.says("Cache-Control: max-age=60\r\nETag: \"e\"\r\n", &large);
    assert_eq!(scene.get("/").text().len(), large.len());
    // It is known to be too large: parts and conditions are the server's.
    scene.server.set(Behaviour::fields(206, "Content-Range: bytes 2-4/9\r\n", "abc"));
    let answer = scene.get_with("/", "Range: bytes=2-4\r\nIf-Range: \"e\"\r\n");
    assert_eq!((answer.status, answer.text().as_str()), (206, "abc"));
    let asked = scene.server.last_request().head;
    assert_eq!((asked.field("range"), asked.field("if-range")), (Some("bytes=2-4"), Some("\"e\"")));
    scene.server.set(Behaviour::fields(304, "ETag: \"e\"\r\n", ""));
    let answer = scene.get_with("/", "If-None-Match: \"e\"\r\n");
    assert_eq!(answer.status, 304);
    assert_eq!(scene.server.last_request().head.field("if-none-match"), Some("\"e\""));
    // Without them, it is tried again to store it.
    scene.says("Cache-Control: max-age=60\r\n", "small");
    scene.get("/");
    assert!(is_hit(&scene.get("/")));
}

#[test]
fn head_is_served_from_a_stored_get_and_fetches_one() {
    let scene = stored_scene(&date(-1000));
    let head = scene.ask("HEAD", "/", "", "");
    assert_eq!((head.status, is_hit(&head), head.head.content_length()), (200, true, Some(10)));
    let mut client = scene.client();
    let miss = client.ask("HEAD /b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((miss.status, miss.head.content_length()), (200, Some(10)));
    assert!(told(&miss).contains("fwd=uri-miss"), "{}", told(&miss));
    // The connection is not out of step.
    let hit = client.get("/b");
    assert_eq!((is_hit(&hit), hit.text().as_str()), (true, "0123456789"));
    // Nor is it after one that is not stored.
    scene.says("Cache-Control: no-store\r\n", "abc");
    let head = client.ask("HEAD /c HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.status, head.head.content_length()), (200, Some(3)));
    assert_eq!(client.get("/c").text(), "abc");
}

#[test]
fn clients_that_take_the_same_codings_share_a_variant() {
    let scene = scene("");
    scene
        .server
        .set(Behaviour::echo_with("Cache-Control: max-age=60\r\nVary: Accept-Encoding\r\n"));
    let ask = |codings: &str| scene.get_with("/", &format!("Accept-Encoding: {codings}\r\n"));
    let first = ask("gzip, deflate, br");
    assert!(
        first.text().to_ascii_lowercase().contains("accept-encoding: br, gzip\r\n"),
        "{}",
        first.text()
    );
    for codings in
        ["br;q=1.0, gzip", "GZIP,BR", "deflate, br, x-gzip;q=0.1", "br\r\nAccept-Encoding: gzip"]
    {
        assert!(is_hit(&ask(codings)), "{codings}");
    }
    for (codings, reaches) in [("gzip", true), ("gzip;q=0, br", true), ("identity", false)] {
        let other = ask(codings);
        assert!(told(&other).contains("fwd=vary-miss"), "{codings}: {}", told(&other));
        assert_eq!(other.text().to_ascii_lowercase().contains("accept-encoding"), reaches);
        assert!(is_hit(&ask(codings)), "{codings}");
    }
    assert!(is_hit(&scene.get("/")), "as identity");
    assert!(is_hit(&ask("gzip, br")), "the first one is still there");
}

#[test]
fn variants_of_a_field_that_servers_do_not_get_are_one() {
    for (keys, name) in [
        ("cookies = \"drop\"", "Cookie"),
        ("cookies = [\"b\"]", "Cookie"),
        ("", "Range"),
        ("", "X-HTTP-Method-Override"),
        ("", "Host"),
        ("", "If-None-Match"),
    ] {
        let scene = scene(keys);
        scene.says(&format!("Cache-Control: max-age=60\r\nVary: {name}\r\n"), "x");
        let first = scene.get_with("/", &format!("{name}: a=1\r\n").replace("Host: a=1\r\n", ""));
        assert_eq!((first.status, first.text().as_str()), (200, "x"), "{name}");
        assert!(is_hit(&scene.get("/")), "{keys} {name}");
        let second = scene.get_with("/", &format!("{name}: a=2\r\n").replace("Host: a=2\r\n", ""));
        assert!(is_hit(&second), "{keys} {name}");
    }
}

#[test]
fn one_variant_that_is_private_leaves_the_others() {
    let scene = scene("");
    scene.says("Cache-Control: max-age=60\r\nVary: Cookie\r\n", "for all");
    scene.get("/");
    scene.says("Cache-Control: private\r\nVary: Cookie\r\n", "for one");
    assert_eq!(scene.get_with("/", "Cookie: session=1\r\n").text(), "for one");
    let hit = scene.get("/");
    assert!(is_hit(&hit), "{}", hit.head.raw);
    assert_eq!(hit.text(), "for all");
    // And the other way round.
    scene.says("Cache-Control: private\r\nVary: Cookie\r\n", "for one");
    scene.get_with("/b", "Cookie: session=1\r\n");
    scene.says("Cache-Control: max-age=60\r\nVary: Cookie\r\n", "for all");
    scene.get("/b");
    assert!(is_hit(&scene.get("/b")));
    assert!(!is_hit(&scene.get_with("/b", "Cookie: session=1\r\n")));
}

#[test]
fn what_varies_by_the_clients_address_is_not_shared() {
    for name in ["X-Forwarded-For", "X-Real-IP", "Forwarded"] {
        let scene = scene("");
        scene.says(&format!("Cache-Control: max-age=60\r\nVary: {name}\r\n"), "x");
        scene.get("/");
        assert!(!is_hit(&scene.get("/")), "{name}");
    }
}
