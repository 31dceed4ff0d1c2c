//! Tables: validation by the cache, and the client's own conditions.
//!
//! Owns: the tests of §3.2 and §4.3. May touch: nothing outside this room.

use http::Method;

use super::{
    super::{
        preconditions::{is_for_server, not_modified, not_modified_fields, range_applies},
        validation::{conditions, freshens, head_agrees, update},
        *,
    },
    *,
};

#[test]
fn what_is_asked() {
    for (stored, expected) in [
        ("", ""),
        ("etag: \"a\"", "if-none-match: \"a\""),
        ("etag: W/\"a\"", "if-none-match: W/\"a\""),
        ("last-modified: NOW", "if-modified-since: NOW"),
        ("etag: \"a\"|last-modified: NOW", "if-none-match: \"a\"|if-modified-since: NOW"),
        ("etag: a", ""),
        ("etag: \"a\"b\"", ""),
        ("etag: w/\"a\"", ""),
        ("etag: \"a\"|etag: \"b\"", ""),
        ("last-modified: yesterday", ""),
        ("last-modified: NOW|last-modified: NOW", ""),
    ] {
        let found: HeaderMap = conditions(&head(stored)).into_iter().flatten().collect();
        assert_eq!(found, head(expected), "§4.3.1: {stored}");
    }
}

#[test]
fn which_304_freshens() {
    for (stored, not_modified, expected) in [
        ("etag: \"a\"", "etag: \"a\"", true),
        ("etag: \"a\"", "etag: \"b\"", false),
        ("etag: \"a\"|last-modified: NOW", "etag: \"b\"|last-modified: NOW", false),
        ("etag: W/\"a\"", "etag: W/\"a\"", true),
        ("etag: \"a\"", "etag: W/\"a\"", true),
        ("etag: W/\"a\"", "etag: W/\"b\"", false),
        // Argued at `freshens`.
        ("etag: W/\"a\"", "etag: \"a\"", true),
        ("etag: \"a\"", "", true),
        ("last-modified: NOW", "", true),
        ("", "", true),
        ("last-modified: NOW", "last-modified: NOW", true),
        ("last-modified: NOW", "last-modified: HOUR_AGO", false),
        ("etag: \"a\"|last-modified: NOW", "last-modified: HOUR_AGO", false),
        ("etag: \"a\"", "last-modified: NOW", false),
        ("last-modified: NOW", "etag: \"a\"|last-modified: NOW", false),
        ("last-modified: NOW", "etag: W/\"a\"|last-modified: NOW", true),
        ("last-modified: NOW", "etag: W/\"a\"", false),
    ] {
        let found = freshens(&head(stored), &head(not_modified));
        assert_eq!(found, expected, "§4.3.4: {stored} / {not_modified}");
    }
}

#[test]
fn what_a_304_changes() {
    for (section, stored, not_modified, expected) in [
        ("§3.2", "x-a: 1|x-b: 2", "x-b: 3|x-b: 4|x-c: 5", "x-a: 1|x-b: 3|x-b: 4|x-c: 5"),
        (
            "§3.2",
            "content-length: 9|content-type: a/b",
            "content-length: 0|content-type: c/d",
            "content-length: 9|content-type: c/d",
        ),
        (
            "§3.2",
            "content-encoding: br",
            "content-encoding: gzip|content-range: a",
            "content-encoding: br",
        ),
        ("§3.1", "x-a: 1", "connection: x-b|x-b: 2|age: 9|transfer-encoding: chunked", "x-a: 1"),
        ("§4.2.3", "date: HOUR_AGO", "date: NOW", "date: NOW"),
        ("§4.2.3", "date: HOUR_AGO", "", ""),
        ("§4.3.4", "etag: W/\"a\"", "etag: \"a\"", "etag: W/\"a\""),
        ("§4.3.4", "last-modified: NOW", "etag: W/\"a\"", "last-modified: NOW|etag: W/\"a\""),
        ("§7.3", "x-a: 1", "set-cookie: a=b", "x-a: 1"),
        ("§5.2.2.4", "cc: no-cache=\"x-b\"", "x-b: 2", "cc: no-cache=\"x-b\""),
        ("§5.2.2.4", "cc: no-cache=\"x-b\"", "cc: max-age=9|x-b: 2", "cc: max-age=9|x-b: 2"),
        ("§5.2.2.4", "x-b: 2", "cc: no-cache=\"x-b\"", "cc: no-cache=\"x-b\""),
    ] {
        let found = update(&head(stored), &head(not_modified));
        assert_eq!(found, head(expected), "{section}: {stored} / {not_modified}");
    }
}

#[test]
fn how_fresh_a_304_makes_it() {
    let keep = |stored: &str, not_modified: &str, request: &str| {
        let times = Times { requested: NOW, received: NOW };
        let (stored, new) = (head(stored), head(not_modified));
        let asked = asked(request);
        let rules = Rules::default();
        let status = StatusCode::OK;
        may_keep(&asked, &head(request), status, &stored, &new, times, &rules)
    };
    let old = "etag: \"a\"|date: HOUR_AGO|cc: max-age=60";
    for (section, not_modified, expected) in [
        ("§4.3.4", "date: NOW", Ok(60)),
        ("§4.3.4", "", Ok(60)),
        ("§4.3.4", "date: NOW|cc: max-age=90", Ok(90)),
        ("§4.3.4", "date: NOW|age: 20", Ok(40)),
        ("§4.3.4", "date: NOW|cc: no-store", Err(NotStored::NoStore)),
        ("§4.3.4", "date: NOW|cc: private", Err(NotStored::Private)),
    ] {
        let (fields, verdict) = keep(old, not_modified, "");
        assert_eq!(verdict.map(|it| it.ttl(NOW)), expected, "{section}: {not_modified}");
        assert!(!fields.contains_key("age") && fields["date"] == DATE, "{not_modified}");
    }
    let to_head = Asked::new(&Method::HEAD, &HeaderMap::new(), true);
    let times = Times { requested: NOW, received: NOW };
    let (none, rules) = (HeaderMap::new(), Rules::default());
    let (_, verdict) = may_keep(&to_head, &none, StatusCode::OK, &head(old), &none, times, &rules);
    assert_eq!(verdict.map(|it| it.ttl(NOW)), Ok(60), "§4.3.5");
    let (_, verdict) = keep(old, "", "cc: no-store");
    assert_eq!(verdict, Err(NotStored::RequestNoStore), "§5.2.1.5");
    let (_, verdict) = keep(old, "", "authorization: Basic eDp5");
    assert_eq!(verdict, Err(NotStored::Authorization), "§3.5");
}

#[test]
fn which_head_agrees() {
    for (stored, of_head, expected) in [
        ("etag: \"a\"|content-length: 9", "", true),
        ("etag: \"a\"|content-length: 9", "etag: \"a\"|content-length: 9", true),
        ("etag: \"a\"|content-length: 9", "etag: \"a\"|content-length: 8", false),
        ("etag: \"a\"", "etag: \"b\"", false),
        ("", "etag: \"b\"", false),
        ("last-modified: NOW", "last-modified: HOUR_AGO", false),
    ] {
        let found = head_agrees(&head(stored), &head(of_head));
        assert_eq!(found, expected, "§4.3.5: {stored} / {of_head}");
    }
}

#[test]
fn what_the_client_has() {
    for (section, request, status, stored, expected) in [
        ("§4.3.2", "", 200, "etag: \"a\"", false),
        ("§4.3.2", "if-none-match: \"a\"", 200, "etag: \"a\"", true),
        ("§4.3.2", "if-none-match: W/\"a\"", 200, "etag: \"a\"", true),
        ("§4.3.2", "if-none-match: \"x,y\", \"a\"", 200, "etag: W/\"a\"", true),
        ("§4.3.2", "if-none-match: \"x\"|if-none-match: \"a\"", 200, "etag: \"a\"", true),
        ("§4.3.2", "if-none-match: x, \"a\"", 200, "etag: \"a\"", false),
        ("§4.3.2", "if-none-match: *", 200, "", true),
        ("§4.3.2", "if-none-match: \"a\"", 200, "", false),
        ("§4.3.2", "if-none-match: \"a\"", 404, "etag: \"a\"", false),
        (
            "§4.3.2",
            "if-none-match: \"b\"|if-modified-since: NOW",
            200,
            "etag: \"a\"|last-modified: NOW",
            false,
        ),
        ("§4.3.2", "if-modified-since: NOW", 200, "last-modified: NOW", true),
        ("§4.3.2", "if-modified-since: NOW", 200, "last-modified: HOUR_AGO", true),
        ("§4.3.2", "if-modified-since: HOUR_AGO", 200, "last-modified: NOW", false),
        ("§4.3.2", "if-modified-since: NOW", 200, "date: HOUR_AGO", true),
        ("§4.3.2", "if-modified-since: IN_A_MINUTE", 200, "", true),
        ("§4.3.2", "if-modified-since: HOUR_AGO", 200, "", false),
        ("§4.3.2", "if-modified-since: odd", 200, "last-modified: NOW", false),
    ] {
        let status = StatusCode::from_u16(status).expect("a status");
        let found = not_modified(&head(request), status, &head(stored), NOW);
        assert_eq!(found, expected, "{section}: {request} / {stored}");
    }
    assert!(is_for_server(&head("if-match: \"a\"")), "§4.3.2");
    assert!(is_for_server(&head("if-unmodified-since: NOW")), "§4.3.2");
    assert!(!is_for_server(&head("if-none-match: \"a\"")), "§4.3.2");
    let fields = not_modified_fields(&head("etag: \"a\"|content-length: 9|date: NOW|vary: a"));
    assert_eq!(fields, head("etag: \"a\"|date: NOW|vary: a"), "RFC 9110 §15.4.5");
}

#[test]
fn which_range_is_cut() {
    for (request, stored, expected) in [
        ("", "", true),
        ("if-range: \"a\"", "etag: \"a\"", true),
        ("if-range: W/\"a\"", "etag: W/\"a\"", false),
        ("if-range: \"b\"", "etag: \"a\"", false),
        ("if-range: \"a\"", "", false),
        ("if-range: HOUR_AGO", "last-modified: HOUR_AGO|date: NOW", true),
        ("if-range: HOUR_AGO", "last-modified: HOUR_AGO|date: HOUR_AGO", false),
        ("if-range: NOW", "last-modified: HOUR_AGO|date: NOW", false),
        ("if-range: \"a\"|if-range: \"a\"", "etag: \"a\"", false),
    ] {
        let found = range_applies(&head(request), &head(stored));
        assert_eq!(found, expected, "RFC 9110 §13.1.5: {request} / {stored}");
    }
    let asked = Asked::new(&Method::GET, &head("range: bytes=0-1"), true);
    assert!(asked.has_range());
}
