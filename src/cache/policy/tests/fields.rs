//! Tables: which fields are stored, variants, what is invalidated, and `Cache-Status`.
//!
//! Owns: the tests of §3.1, §4.1, §4.4 and RFC 9211. May touch: nothing outside this room.

use crate::http1::request::RequestFields;
use http::Method;

use super::{
    super::{
        cache_status::{Forwarded, Handled, write},
        invalidation::{Url, targets},
        vary::{self, Vary},
        *,
    },
    *,
};

#[test]
fn which_fields_are_stored() {
    for (section, response, expected) in [
        ("§3.1", "x-a: 1|x-a: 2|age: 9|date: NOW", "x-a: 1|x-a: 2|date: NOW"),
        ("§3.1", "connection: close, X-A|keep-alive: 5|te: x|upgrade: h2c|x-a: 1|x-b: 2", "x-b: 2"),
        ("§3.1", "transfer-encoding: chunked|trailer: x|content-type: a/b", "content-type: a/b"),
        ("§3.1", "proxy-authenticate: Basic|proxy-authentication-info: a|proxy-connection: a", ""),
        ("§3.1", "connection: vary, content-encoding|vary: a", "vary: a"),
        ("§3.1", "set-cookie: a=b", "set-cookie: a=b"),
        (
            "§5.2.2.4",
            "cc: no-cache=\"Set-Cookie, x-a\"|set-cookie: a=b|x-a: 1|x-b: 2",
            "cc: no-cache=\"Set-Cookie, x-a\"|x-b: 2",
        ),
        (
            "§5.2.2.7",
            "cc: private=x-a, private=\"x-b\"|x-a: 1|x-b: 2|x-c: 3",
            "cc: private=x-a, private=\"x-b\"|x-c: 3",
        ),
        ("§5.2.2.4", "cc: no-cache=\"vary\"|vary: a", "cc: no-cache=\"vary\"|vary: a"),
        (
            "RFC 9213 §2.2",
            "cdn: private=\"x-a\"|cc: private=\"x-b\"|x-a: 1|x-b: 2",
            "cdn: private=\"x-a\"|cc: private=\"x-b\"|x-b: 2",
        ),
    ] {
        assert_eq!(stored_fields(&head(response)), head(expected), "{section}: {response}");
    }
}

#[test]
fn a_missing_date_is_added() {
    for (response, expected) in
        [("", "date: NOW"), ("date: odd", "date: NOW"), ("date: HOUR_AGO", "date: HOUR_AGO")]
    {
        let mut headers = head(response);
        complete_date(&mut headers, NOW);
        assert_eq!(headers, head(expected), "RFC 9110 §6.6.1: {response}");
    }
    let mut headers = HeaderMap::new();
    complete_date(&mut headers, u64::MAX);
    assert_eq!(headers, head("date: Fri, 31 Dec 9999 23:59:59 GMT"));
}

#[test]
fn which_fields_a_response_varies_by() {
    let fields =
        |names: &[&str]| Vary::Fields(names.iter().map(|it| it.parse().expect("a name")).collect());
    for (response, expected) in [
        ("", Vary::None),
        ("vary:", Vary::None),
        ("vary: , ", Vary::None),
        ("vary: Accept", fields(&["accept"])),
        ("vary: b, A,|vary: a", fields(&["a", "b"])),
        ("vary: *", Vary::Any),
        ("vary: a|vary: b, *", Vary::Any),
        ("vary: a b", Vary::Any),
    ] {
        assert_eq!(vary::of(&head(response)), expected, "§4.1: {response}");
    }
}

#[test]
fn which_requests_are_of_the_same_variant() {
    let variant = |request: &str, coding| {
        let names = ["accept-encoding", "accept-language", "cookie", "x-a"];
        let names = names.map(|it| it.parse().expect("a name"));
        let mut out = Vec::new();
        vary::write_variant(&mut out, &names, &RequestFields::Map(head(request).into()), coding);
        out
    };
    for (a, b, same) in [
        ("", "", true),
        ("x-b: 1", "x-b: 2", true),
        ("x-a: 1", "x-a: 2", false),
        ("x-a:", "", false),
        ("x-a: a|x-a: b", "x-a: a, b", true),
        ("x-a: a, b", "x-a: b, a", false),
        ("x-a: a", "x-a: A", false),
        ("x-a: a,b", "x-a: a, b", false),
        ("accept-encoding: GZIP , br;q=0.5", "accept-encoding: gzip,br; q=0.5", true),
        ("accept-encoding: gzip|accept-encoding: br", "accept-encoding: gzip, br", true),
        ("accept-encoding: gzip", "accept-encoding: br", false),
        ("accept-language: de-DE", "accept-language: de-de", true),
        ("cookie: a=b; c=d", "cookie: a=b|cookie: c=d", true),
        ("cookie: a=b", "x-a: a=b", false),
        ("cookie: ax-a:", "cookie: a|x-a: x-a", false),
    ] {
        assert_eq!(variant(a, None) == variant(b, None), same, "§4.1: {a} / {b}");
    }
    let (a, b) = ("accept-encoding: gzip, br", "accept-encoding: br");
    assert_eq!(variant(a, Some("br")), variant(b, Some("br")));
    assert_eq!(variant("", Some("br")), variant(b, Some("br")));
    assert_ne!(variant(a, Some("br")), variant(a, Some("gzip")));
}

#[test]
fn what_is_invalidated() {
    let target = Url { scheme: "https", authority: "a.example", path_and_query: "/b/c?d" };
    let of = |method: &str, status: u16, response: &str| {
        let method = method.parse::<Method>().expect("a method");
        let status = StatusCode::from_u16(status).expect("a status");
        let found = targets(&method, status, &target, &head(response));
        found.iter().map(|it| it.replace("https://a.example", "")).collect::<Vec<_>>()
    };
    for (section, method, status, invalidates) in [
        ("§4.4", "POST", 200, true),
        ("§4.4", "PUT", 201, true),
        ("§4.4", "DELETE", 204, true),
        ("§4.4", "PATCH", 303, true),
        ("§4.4", "FROB", 200, true),
        ("§4.4", "POST", 404, false),
        ("§4.4", "POST", 500, false),
        ("§4.4", "POST", 100, false),
        ("§4.4", "GET", 200, false),
        ("§4.4", "HEAD", 200, false),
        ("§4.4", "OPTIONS", 200, false),
        ("§4.4", "TRACE", 200, false),
        ("§4.4", "PROPFIND", 207, false),
        ("§4.4", "QUERY", 200, false),
    ] {
        let found = of(method, status, "");
        assert_eq!(found.len(), usize::from(invalidates), "{section}: {method} {status}");
    }
    assert_eq!(of("POST", 201, "location: /x|content-location: y"), ["/b/c?d", "/x", "/b/y"]);
    for (reference, expected) in [
        ("/x?y#z", Some("/x?y")),
        ("x", Some("/b/x")),
        ("./x/../y", Some("/b/y")),
        ("../../../x/.", Some("/x/")),
        ("?e", Some("/b/c?e")),
        ("", None),
        ("#f", None),
        ("/b/c?d", None),
        ("https://a.example/x", Some("/x")),
        ("HTTPS://A.Example:443/x", Some("/x")),
        ("https://a.example", Some("/")),
        ("https://a.example?q", Some("/?q")),
        ("//a.example/x", Some("/x")),
        ("//a.example:/x", Some("/x")),
        ("//b.example/x", None),
        ("https://a.example:8443/x", None),
        ("https://a.example:80/x", None),
        ("https://user@a.example/x", None),
        ("https://a.example.b/x", None),
        ("http://a.example/x", None),
        ("https:x", None),
        ("mailto:a@a.example", None),
        ("x/y:z", Some("/b/x/y:z")),
    ] {
        let found = of("POST", 200, &format!("location: {reference}"));
        assert_eq!(found.get(1).map(String::as_str), expected, "§4.4: {reference}");
    }
}

#[test]
fn cache_status_is_written() {
    let forward = |why, status, stored, collapsed, ttl, detail| Handled::Forward {
        why,
        status,
        stored,
        collapsed,
        ttl,
        detail,
    };
    for (outcome, expected) in [
        (Handled::Hit { ttl: 376, detail: None }, "sheave; hit; ttl=376"),
        (Handled::Hit { ttl: -412, detail: Some("soft") }, "sheave; hit; ttl=-412; detail=soft"),
        (
            forward(Forwarded::UriMiss, Some(200), true, true, Some(60), None),
            "sheave; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60",
        ),
        (
            forward(Forwarded::Stale, Some(503), false, false, Some(-3), Some("stale-if-error")),
            "sheave; fwd=stale; fwd-status=503; ttl=-3; detail=stale-if-error",
        ),
        (
            forward(Forwarded::Bypass, None, false, false, None, Some("a \"b\" \\ \u{e9}")),
            "sheave; fwd=bypass; detail=\"a \\\"b\\\" \\\\ \"",
        ),
        (
            forward(Forwarded::Method, None, false, false, None, Some("")),
            "sheave; fwd=method; detail=\"\"",
        ),
    ] {
        assert_eq!(write(&outcome, []), expected, "RFC 9211 §2");
    }
    let existing = head("cache-status: Origin; hit|cache-status:|cache-status: \"A, B\"; fwd=miss");
    let found = write(&Handled::Hit { ttl: 1, detail: None }, existing.get_all("cache-status"));
    assert_eq!(found, "Origin; hit, \"A, B\"; fwd=miss, sheave; hit; ttl=1", "RFC 9211 §2");
    let words = [Forwarded::VaryMiss, Forwarded::Miss, Forwarded::Request, Forwarded::Partial];
    assert_eq!(words.map(Forwarded::token), ["vary-miss", "miss", "request", "partial"]);
}
