//! Tables: validation by the cache, and the client's own conditions.
//!
//! Owns: the tests of §3.2 and §4.3. May touch: nothing outside this room.

use http::Method;

use super::{
    super::{
        validation::{conditions, freshens, update},
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
