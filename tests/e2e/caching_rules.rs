//! What RFC 9111 requires, a row each with its section, on the real daemon.

use crate::{
    caching::{Scene, date, is_hit, scene, told},
    rig::Behaviour,
};

/// What becomes of the second request for the same URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Answered from what is stored.
    Hit,
    /// The server is asked without a condition.
    Miss,
    /// The server is asked whether what is stored is still right.
    Asks,
    /// Answered with this status, and without the server.
    Refused(u16),
}
use Then::{Asks, Hit, Miss, Refused};

/// Section and rule, fields of the first request, status and fields of its response, fields of the
/// second request, and what becomes of that. ` | ` stands between fields, `cc` for Cache-Control.
type Row = (&'static str, &'static str, u16, &'static str, &'static str, Then);

#[rustfmt::skip]
const STORING: &[Row] = &[
    ("3 explicit lifetime", "", 200, "cc: max-age=60", "", Hit),
    ("3 no lifetime, no validator", "", 200, "", "", Miss),
    ("3 any final status with a lifetime", "", 499, "cc: max-age=60", "", Hit),
    ("3 not heuristically cacheable", "", 302, "last-modified: {-9999}", "", Miss),
    ("3 redirect with a lifetime", "", 302, "cc: max-age=60 | location: /x", "", Hit),
    ("3 error with a lifetime", "", 503, "cc: max-age=60", "", Hit),
    ("3 no-store", "", 200, "cc: no-store, max-age=60", "", Miss),
    ("3 private", "", 200, "cc: private, max-age=60", "", Miss),
    ("5.2.2.3 must-understand", "", 200, "cc: must-understand, no-store, max-age=60", "", Hit),
    ("5.2.2.3 unknown status", "", 299, "cc: must-understand, max-age=60", "", Miss),
    ("3.1 named by Connection", "", 200, "cc: max-age=60 | connection: x-a | x-a: 1", "", Hit),
    ("3.3 parts are not stored", "", 206, "cc: max-age=60 | content-range: bytes 0-6/7", "", Miss),
    ("3.5 Authorization", "authorization: a", 200, "cc: max-age=60", "", Miss),
    ("3.5 with public", "authorization: a", 200, "cc: public, max-age=60", "", Hit),
    ("3.5 with s-maxage", "authorization: a", 200, "cc: s-maxage=60", "", Hit),
    ("3.5 must-revalidate", "authorization: a", 200, "cc: must-revalidate, max-age=60", "", Hit),
    ("3.5 stored for all", "", 200, "cc: max-age=60", "authorization: a", Hit),
    ("4.1 Vary: *", "", 200, "cc: max-age=60 | vary: *", "", Miss),
    ("4.1 same values", "x-a: 1", 200, "cc: max-age=60 | vary: X-A", "x-a: 1", Hit),
    ("4.1 other values", "x-a: 1", 200, "cc: max-age=60 | vary: x-b, x-a", "x-a: 2", Miss),
    ("4.1 missing in both", "", 200, "cc: max-age=60 | vary: x-a", "", Hit),
    ("4.1 missing in one", "x-a: 1", 200, "cc: max-age=60 | vary: x-a", "", Miss),
    ("4.1 empty is not missing", "x-a:", 200, "cc: max-age=60 | vary: x-a", "", Miss),
    ("4.1 two lines", "x-b: 1", 200, "cc: max-age=60 | vary: x-a | vary: x-b", "", Miss),
    ("4.1 a list", "x-a: 1 | x-a: 2", 200, "cc: max-age=60 | vary: x-a", "x-a: 1, 2", Hit),
    ("7.3 Set-Cookie", "", 200, "cc: max-age=60 | set-cookie: a=b", "", Miss),
    ("7.3 with public", "", 200, "cc: public, max-age=60 | set-cookie: a=b", "", Hit),
    ("5.2.2.4 a field", "", 200, "cc: no-cache=\"set-cookie\", max-age=60 | set-cookie: a=b", "", Hit),
    ("5.2.2.7 a field", "", 200, "cc: private=\"x-a\", max-age=60 | x-a: 1", "", Hit),
];

#[rustfmt::skip]
const FRESHNESS: &[Row] = &[
    ("4.2.1 s-maxage before max-age", "", 200, "cc: max-age=0, s-maxage=60", "", Hit),
    ("4.2.1 s-maxage shorter", "", 200, "cc: max-age=60, s-maxage=0 | etag: \"e\"", "", Asks),
    ("4.2.1 max-age before Expires", "", 200, "cc: max-age=60 | expires: {-60}", "", Hit),
    ("4.2.1 Expires", "", 200, "expires: {60}", "", Hit),
    ("4.2.1 Expires past", "", 200, "expires: {-60} | etag: \"e\"", "", Asks),
    ("5.3 by the server's clock", "", 200, "date: {-60} | expires: {-50}", "", Miss),
    ("5.3 Expires: 0", "", 200, "expires: 0 | etag: \"e\"", "", Asks),
    ("4.2.1 the lesser of two", "", 200, "cc: max-age=60, max-age=0 | etag: \"e\"", "", Asks),
    ("4.2.1 not a number", "", 200, "cc: max-age=x | etag: \"e\"", "", Asks),
    ("4.2.1 quoted", "", 200, "cc: max-age=\"60\"", "", Hit),
    ("1.2.2 huge", "", 200, "cc: max-age=99999999999999999999", "", Hit),
    ("5.2 case", "", 200, "cc: MAX-AGE=60", "", Hit),
    ("5.2 unknown directives", "", 200, "cc: x=\"no-store, a\", max-age=60, y", "", Hit),
    ("4.2.2 heuristic", "", 200, "last-modified: {-100000}", "", Hit),
    ("4.2.2 changed just now", "", 200, "last-modified: {-5}", "", Asks),
    ("4.2.2 heuristic for 404", "", 404, "last-modified: {-100000}", "", Hit),
    ("4.2.3 came old", "", 200, "cc: max-age=60 | age: 60 | etag: \"e\"", "", Asks),
    ("4.2.3 old by Date", "", 200, "cc: max-age=60 | date: {-61} | etag: \"e\"", "", Asks),
    ("4.2.3 Date in the future", "", 200, "cc: max-age=60 | date: {9999}", "", Hit),
    ("4.2.3 no date", "", 200, "cc: max-age=60 | date: x", "", Hit),
    ("5.1 the first Age counts", "", 200, "cc: max-age=60 | age: 1, 99", "", Hit),
    ("5.1 Age is not a number", "", 200, "cc: max-age=60 | age: x", "", Hit),
    ("5.1 Age is huge", "", 200, "cc: max-age=60 | age: 99999999999 | etag: \"e\"", "", Asks),
    ("5.2.2.4 no-cache", "", 200, "cc: no-cache, max-age=60 | etag: \"e\"", "", Asks),
    ("5.2.2.4 no validator", "", 200, "cc: no-cache, max-age=60", "", Miss),
    ("5.4 Pragma of responses", "", 200, "cc: max-age=60 | pragma: no-cache", "", Hit),
    ("9213 CDN-Cache-Control", "", 200, "cc: no-store | cdn-cache-control: max-age=60", "", Hit),
    ("9213 it also forbids", "", 200, "cc: max-age=60 | cdn-cache-control: no-store", "", Miss),
    ("9213 malformed is none", "", 200, "cc: max-age=60 | cdn-cache-control: a b", "", Hit),
    ("9213 before Expires", "", 200, "expires: {60} | cdn-cache-control: max-age=0 | etag: \"e\"", "", Asks),
];

#[rustfmt::skip]
const ASKING: &[Row] = &[
    ("5.2.1.1 max-age", "", 200, "cc: max-age=60 | age: 9 | etag: \"e\"", "cc: max-age=5", Asks),
    ("5.2.1.1 young enough", "", 200, "cc: max-age=60 | age: 9", "cc: max-age=50", Hit),
    ("5.2.1.1 max-age=0", "", 200, "cc: max-age=60 | etag: \"e\"", "cc: max-age=0", Asks),
    ("8246 reload", "", 200, "cc: max-age=60, immutable | etag: \"e\"", "cc: max-age=0", Hit),
    ("8246 forced", "", 200, "cc: max-age=60, immutable | etag: \"e\"", "cc: no-cache", Asks),
    ("5.2.1.2 max-stale", "", 200, "cc: max-age=5 | age: 9 | etag: \"e\"", "cc: max-stale=60", Hit),
    ("5.2.1.2 any", "", 200, "cc: max-age=5 | age: 9 | etag: \"e\"", "cc: max-stale", Hit),
    ("5.2.1.2 too stale", "", 200, "cc: max-age=5 | age: 99 | etag: \"e\"", "cc: max-stale=9", Asks),
    ("5.2.2.2", "", 200, "cc: max-age=5, must-revalidate | age: 9 | etag: \"e\"", "cc: max-stale", Asks),
    ("5.2.2.8", "", 200, "cc: max-age=5, proxy-revalidate | age: 9 | etag: \"e\"", "cc: max-stale", Asks),
    ("5.2.2.10", "", 200, "cc: s-maxage=5 | age: 9 | etag: \"e\"", "cc: max-stale=60", Asks),
    ("5.2.1.3 min-fresh", "", 200, "cc: max-age=60 | etag: \"e\"", "cc: min-fresh=99", Asks),
    ("5.2.1.3 fresh enough", "", 200, "cc: max-age=60", "cc: min-fresh=9", Hit),
    ("5.2.1.4 no-cache", "", 200, "cc: max-age=60 | etag: \"e\"", "cc: no-cache", Asks),
    ("5.4 Pragma", "", 200, "cc: max-age=60 | etag: \"e\"", "pragma: no-cache", Asks),
    ("5.4 beside Cache-Control", "", 200, "cc: max-age=60", "pragma: no-cache | cc: max-age=50", Hit),
    ("5.2.1.5 is not stored", "cc: no-store", 200, "cc: max-age=60", "", Miss),
    ("5.2.1.5 may be served", "", 200, "cc: max-age=60", "cc: no-store", Hit),
    ("5.2.1.7 only-if-cached", "", 200, "cc: max-age=60", "cc: only-if-cached", Hit),
    ("5.2.1.7 not cached", "", 200, "cc: no-store", "cc: only-if-cached", Refused(504)),
    ("5.2.1.7 stale", "", 200, "cc: max-age=5 | age: 9 | etag: \"e\"", "cc: only-if-cached", Refused(504)),
    ("4.3.1 Last-Modified", "", 200, "cc: max-age=0 | last-modified: {-99}", "", Asks),
    ("4.3.1 weak tag", "", 200, "cc: max-age=0 | etag: W/\"e\"", "", Asks),
    ("5861 meanwhile", "", 200, "cc: max-age=5, stale-while-revalidate=60 | age: 9", "", Hit),
    ("5861 past it", "", 200, "cc: max-age=5, stale-while-revalidate=9 | age: 99 | etag: \"e\"", "", Asks),
];

/// Lines from a row's text; `{N}` is a date N seconds from now.
fn lines(text: &str) -> String {
    let mut lines = String::new();
    for line in text.split(" | ").filter(|it| !it.is_empty()) {
        let line = match line.split_once('{') {
            Some((before, number)) => {
                let number = number.trim_end_matches('}').parse().expect("a number");
                format!("{before}{}", date(number))
            }
            None => line.replacen("cc:", "Cache-Control:", 1),
        };
        lines.push_str(&line);
        lines.push_str("\r\n");
    }
    lines
}

fn outcome(scene: &Scene, path: &str, row: &Row) -> Then {
    let &(what, first, status, response, second, _) = row;
    scene.server.set_for(path, Behaviour::fields(status, &lines(response), "content"));
    assert_eq!(scene.get_with(path, &lines(first)).status, status, "{what}");
    let count = scene.server.request_count();
    let answer = scene.get_with(path, &lines(second));
    if is_hit(&answer) {
        assert_eq!((answer.status, answer.text().as_str()), (status, "content"), "{what}");
        assert!(answer.head.has("age") && answer.head.has("date"), "{what}: {}", answer.head.raw);
        return Hit;
    }
    if scene.server.request_count() == count {
        return Refused(answer.status);
    }
    assert_eq!(answer.text(), "content", "{what}");
    let asked = scene.server.last_request().head;
    if asked.has("if-none-match") || asked.has("if-modified-since") { Asks } else { Miss }
}

fn holds(rows: &[Row]) {
    let scene = scene("");
    let mut wrong = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let found = outcome(&scene, &format!("/{at}"), row);
        if found != row.5 {
            wrong.push(format!("{}: {found:?} instead of {:?}", row.0, row.5));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_may_be_stored_is_stored_and_nothing_else() {
    holds(STORING);
}

#[test]
fn what_is_fresh_is_served_and_nothing_else() {
    holds(FRESHNESS);
}

#[test]
fn requests_get_what_they_ask_for() {
    holds(ASKING);
}

#[test]
fn fields_that_are_not_for_all_are_not_stored() {
    let scene = scene("");
    scene.says(
        &lines(
            "cc: max-age=60, private=\"x-private\", no-cache=\"set-cookie\" | x-private: 1 | \
             set-cookie: a=b | connection: x-hop | x-hop: 1 | keep-alive: 5 | x-kept: 1",
        ),
        "x",
    );
    let first = scene.get("/");
    assert!(first.head.has("x-kept") && !first.head.has("x-hop"), "{}", first.head.raw);
    let hit = scene.get("/");
    assert!(is_hit(&hit) && hit.head.has("x-kept"), "{}", hit.head.raw);
    for name in ["x-private", "set-cookie", "x-hop", "keep-alive"] {
        assert!(!hit.head.has(name), "{name}: {}", hit.head.raw);
    }
}

#[test]
fn statuses_without_content_are_stored_as_they_are() {
    let scene = scene("");
    for status in [204, 301, 404, 410] {
        let path = format!("/{status}");
        let fields = lines("cc: max-age=60 | location: /x");
        scene.server.set_for(&path, Behaviour::fields(status, &fields, ""));
        let first = scene.get(&path);
        let hit = scene.get(&path);
        assert_eq!((first.status, hit.status, is_hit(&hit)), (status, status, true));
        assert_eq!(hit.field("location"), Some("/x"));
        assert_eq!(hit.head.has("content-length"), status != 204, "{}", hit.head.raw);
        assert_eq!(first.head.has("content-length"), status != 204, "{}", first.head.raw);
    }
}

#[test]
fn other_methods_are_not_stored() {
    let scene = scene("");
    scene.says("Cache-Control: max-age=60\r\n", "x");
    for method in ["POST", "OPTIONS", "PUT", "QUERY"] {
        let path = format!("/{method}");
        scene.ask(method, &path, "", "");
        assert!(!is_hit(&scene.ask(method, &path, "", "")), "{method}");
        let get = scene.get(&path);
        assert!(told(&get).contains("fwd=uri-miss"), "{method}: {}", told(&get));
    }
}
