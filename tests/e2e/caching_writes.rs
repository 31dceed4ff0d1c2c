//! What requests that change something do to what is stored (RFC 9111 §4.4).

use crate::{
    caching::{Scene, asking, is_hit, scene},
    rig::{Behaviour, Gate, Step, until},
};

const FRESH: &str = "Cache-Control: max-age=60\r\n";

/// Stored under these paths; the server says "new" from now on.
fn stored(keys: &str, paths: &[&str]) -> Scene {
    let scene = scene(keys);
    scene.says(FRESH, "old");
    for path in paths {
        scene.get(path);
        assert!(is_hit(&scene.get(path)), "{path}");
    }
    scene.says(FRESH, "new");
    scene
}

#[test]
fn a_success_invalidates_its_url_and_those_that_it_names() {
    for method in ["POST", "PUT", "DELETE", "PATCH", "ODD"] {
        let scene = stored("", &["/a", "/b", "/c", "/other"]);
        scene.server.set_for(
            "/a",
            Behaviour::fields(
                201,
                "Location: /b\r\nContent-Location: http://LOCALHOST:80/c\r\n",
                "",
            ),
        );
        let answer = scene.ask(method, "/a", "", "x");
        assert_eq!(answer.status, 201);
        scene.server.set_for("/a", Behaviour::fields(200, FRESH, "new"));
        for path in ["/a", "/b", "/c"] {
            assert_eq!(scene.get(path).text(), "new", "{method} {path}");
        }
        assert!(is_hit(&scene.get("/other")));
    }
}

#[test]
fn errors_safe_methods_and_other_hosts_invalidate_nothing() {
    let scene = stored("", &["/a", "/b"]);
    for (method, status, fields) in [
        ("POST", 400, ""),
        ("POST", 500, "Location: /b\r\n"),
        ("OPTIONS", 200, ""),
        ("QUERY", 200, ""),
    ] {
        scene.server.set_for("/a", Behaviour::fields(status, fields, ""));
        scene.ask(method, "/a", "", "x");
        assert!(is_hit(&scene.get("/a")) && is_hit(&scene.get("/b")), "{method} {status}");
    }
    scene.server.set(Behaviour::fields(200, "Location: http://other.example/b\r\n", ""));
    scene.ask("POST", "/elsewhere", "", "x");
    assert!(is_hit(&scene.get("/b")));
    // Nor does a request of another host name this one's.
    scene.server.set(Behaviour::fields(200, "Location: http://localhost/b\r\n", ""));
    scene.client().ask("POST /x HTTP/1.1\r\nHost: other.example\r\nContent-Length: 0\r\n\r\n");
    assert!(is_hit(&scene.get("/b")));
}

#[test]
fn all_variants_and_parameters_that_do_not_count_go_too() {
    let scene = scene("query = { without = [\"utm_*\"] }, cookies = [\"lang\"]");
    scene.says(&format!("{FRESH}Vary: X-A\r\n"), "old");
    let variants = ["X-A: 1\r\n", "X-A: 2\r\n", "Cookie: lang=de\r\n"];
    for fields in variants {
        scene.get_with("/a?b=1", fields);
        assert!(is_hit(&scene.get_with("/a?b=1&utm_x=1", fields)));
    }
    scene.says(&format!("{FRESH}Vary: X-A\r\n"), "new");
    scene.ask("POST", "/a?utm_y=2&b=1", "", "x");
    for fields in variants {
        assert_eq!(scene.get_with("/a?b=1", fields).text(), "new", "{fields}");
    }
}

#[test]
fn a_write_refreshes_on_request() {
    for (keys, before) in
        [("after_write = \"refresh_before\"", true), ("after_write = \"refresh_after\"", false)]
    {
        let scene = stored(keys, &["/a"]);
        let fields = "Content-Type: text/x\r\nIf-Match: \"e\"\r\n";
        let answer = scene.ask("POST", "/a", fields, "content");
        assert_eq!(answer.status, 200);
        if before {
            assert_eq!(scene.server.request_count(), 3);
        }
        scene.server.wait_for_requests(3);
        let fetch = scene.server.last_request();
        assert_eq!((fetch.head.method(), fetch.body.len()), ("GET", 0));
        for name in ["content-type", "content-length", "transfer-encoding", "if-match"] {
            assert!(!fetch.head.has(name), "{}", fetch.head.raw);
        }
        until("it is stored", || is_hit(&scene.get("/a")));
        assert_eq!(scene.get("/a").text(), "new");
        assert_eq!(scene.server.request_count(), 3);
    }
}

#[test]
fn who_comes_after_a_write_does_not_get_what_was_fetched_before() {
    let scene = scene("");
    let gate = Gate::default();
    let old = format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 3\r\n\r\nold");
    scene.server.set(Behaviour::new([
        Step::Body,
        Step::Wait(gate.clone()),
        Step::Send(old.into()),
    ]));
    let mut early = scene.client();
    early.send(asking("/a", ""));
    scene.server.wait_for_requests(1);
    scene.says(FRESH, "new");
    assert_eq!(scene.ask("POST", "/a", "", "x").status, 200);
    assert_eq!(scene.get("/a").text(), "new");
    gate.open();
    assert_eq!(early.response().text(), "old");
    let hit = scene.get("/a");
    assert_eq!((is_hit(&hit), hit.text().as_str()), (true, "new"));
}
