//! Tables: what a stored response may answer, and how old it is.
//!
//! Owns: the tests of §4, §4.2.3, §4.2.4, §5.2.1 and RFC 5861. May touch: nothing outside this
//! room.

use http::Method;

use Decision::{Fresh, Stale, StaleWhileRevalidate, Validate};
use Why::{Expired, RequestMaxAge, RequestMinFresh, RequestNoCache, ResponseNoCache};

use super::{super::*, *};

/// A row: the section, the response's directives, how long ago it came, the request, the decision.
type ServingRow = (&'static str, &'static str, u64, &'static str, Decision);

fn check(rules: &Rules, table: &[ServingRow]) {
    for (section, directives, passed, request, expected) in table {
        let response = format!("etag: \"a\"|cc: {directives}");
        let fresh = stored("", 200, &response, rules).expect(directives);
        let found = decide(&fresh, &asked(request), NOW + passed);
        assert_eq!(found, *expected, "{section}: {directives} / {passed} s / {request}");
    }
}

const ANY: &str = "cc: max-stale";

const ASKED: &[ServingRow] = &[
    ("§4.2", "max-age=60", 0, "", Fresh),
    ("§4.2", "max-age=60", 59, "", Fresh),
    ("§4.2", "max-age=60", 60, "", Validate(Expired)),
    ("§5.2.1.1", "max-age=60", 10, "cc: max-age=10", Fresh),
    ("§5.2.1.1", "max-age=60", 11, "cc: max-age=10", Validate(RequestMaxAge)),
    ("§5.2.1.1", "max-age=60", 0, "cc: max-age=0", Validate(RequestMaxAge)),
    ("§5.2.1.1", "max-age=60", 9, "cc: max-age=x", Validate(RequestMaxAge)),
    ("§5.2.1.1", "max-age=60", 11, "cc: max-age=99, max-age=10", Validate(RequestMaxAge)),
    ("§5.2.1.1", "max-age=60", 61, "cc: max-age=99", Validate(Expired)),
    ("§5.2.1.1", "max-age=60", 61, "cc: max-age=99, max-stale", Stale),
    ("§5.2.1.2", "max-age=60", 9999, ANY, Stale),
    ("§5.2.1.2", "max-age=60", 70, "cc: max-stale=10", Stale),
    ("§5.2.1.2", "max-age=60", 71, "cc: max-stale=10", Validate(Expired)),
    ("§5.2.1.2", "max-age=60", 71, "cc: max-stale=10, max-stale", Validate(Expired)),
    ("§5.2.1.2", "max-age=60", 61, "cc: max-stale=x", Validate(Expired)),
    ("§5.2.1.2", "max-age=60", 59, "cc: max-stale=10", Fresh),
    ("§5.2.1.3", "max-age=60", 50, "cc: min-fresh=10", Fresh),
    ("§5.2.1.3", "max-age=60", 51, "cc: min-fresh=10", Validate(RequestMinFresh)),
    ("§5.2.1.3", "max-age=60", 0, "cc: min-fresh=x", Validate(RequestMinFresh)),
    ("§5.2.1.3", "max-age=60", 61, "cc: min-fresh=1, max-stale", Validate(Expired)),
    ("§5.2.1.4", "max-age=60", 0, "cc: No-Cache", Validate(RequestNoCache)),
    ("§5.2.1.4", "max-age=60", 70, "cc: no-cache, max-stale", Validate(RequestNoCache)),
    ("§5.2.1.5", "max-age=60", 0, "cc: no-store", Fresh),
    ("§5.2.1.7", "max-age=60", 0, "cc: only-if-cached", Fresh),
    ("§5.4", "max-age=60", 0, "pragma: foo, No-Cache", Validate(RequestNoCache)),
    ("§5.4", "max-age=60", 0, "pragma: no-cache|cc: max-age=9", Fresh),
    ("§5.4", "max-age=60", 0, "pragma: foo", Fresh),
    ("§5.2.2.4", "max-age=60, no-cache", 0, "", Validate(ResponseNoCache)),
    ("§5.2.2.4", "max-age=60, no-cache", 0, ANY, Validate(ResponseNoCache)),
    ("§5.2.2.4", "max-age=60, no-cache=\"x-a\"", 0, "", Fresh),
    ("§5.2.2.4", "max-age=60, no-cache=\"a b\"", 0, "", Validate(ResponseNoCache)),
    ("§5.2.2.2", "max-age=60, must-revalidate", 59, "", Fresh),
    ("§5.2.2.2", "max-age=60, must-revalidate", 60, ANY, Validate(Expired)),
    ("§5.2.2.8", "max-age=60, proxy-revalidate", 60, ANY, Validate(Expired)),
    ("§5.2.2.10", "s-maxage=60", 60, ANY, Validate(Expired)),
    ("§5.2.2.10", "s-maxage=x", 0, ANY, Validate(Expired)),
    ("RFC 8246", "max-age=60, immutable", 0, "cc: no-cache", Validate(RequestNoCache)),
    ("RFC 8246", "max-age=60, immutable", 60, "", Validate(Expired)),
    ("RFC 8246", "max-age=60, immutable", 59, "cc: max-age=0", Fresh),
    ("RFC 8246", "max-age=60, immutable", 60, "cc: max-age=0", Validate(RequestMaxAge)),
    ("RFC 8246", "max-age=60, immutable", 59, "cc: max-age=9", Validate(RequestMaxAge)),
    ("RFC 8246", "max-age=60, immutable, no-cache", 9, "cc: max-age=0", Validate(ResponseNoCache)),
    ("RFC 5861 §3", "max-age=60, stale-while-revalidate=30", 59, "", Fresh),
    ("RFC 5861 §3", "max-age=60, stale-while-revalidate=30", 90, "", StaleWhileRevalidate),
    ("RFC 5861 §3", "max-age=60, stale-while-revalidate=30", 91, "", Validate(Expired)),
    ("RFC 5861 §3", "max-age=60, stale-while-revalidate=30", 91, ANY, Stale),
    (
        "RFC 5861 §3",
        "max-age=60, stale-while-revalidate=30",
        80,
        "cc: max-stale=9",
        Validate(Expired),
    ),
    (
        "RFC 5861 §3",
        "max-age=60, stale-while-revalidate=30",
        80,
        "cc: max-age=99",
        Validate(Expired),
    ),
    ("RFC 5861 §3", "max-age=60, stale-while-revalidate=x", 61, "", Validate(Expired)),
    ("RFC 5861 §3", "max-age=0, stale-while-revalidate=30", 0, "", StaleWhileRevalidate),
    (
        "RFC 5861 §3",
        "max-age=60, stale-while-revalidate=30, must-revalidate",
        61,
        "",
        Validate(Expired),
    ),
    (
        "RFC 5861 §3",
        "max-age=60, stale-while-revalidate=30, proxy-revalidate",
        61,
        "",
        Validate(Expired),
    ),
    ("RFC 5861 §3", "s-maxage=60, stale-while-revalidate=30", 61, "", StaleWhileRevalidate),
];

#[test]
fn what_a_client_may_ask() {
    check(&Rules::default(), ASKED);
}

#[test]
fn the_operator_allows_stale_where_the_response_is_silent() {
    let rules = Rules { stale_while_revalidate: Some(30), ..Rules::default() };
    check(
        &rules,
        &[
            ("§4.2.4", "max-age=60", 90, "", StaleWhileRevalidate),
            ("§4.2.4", "max-age=60", 91, "", Validate(Expired)),
            ("§4.2.4", "max-age=60, stale-while-revalidate=0", 61, "", Validate(Expired)),
            ("§4.2.4", "max-age=60, stale-while-revalidate=99", 159, "", StaleWhileRevalidate),
            ("§4.2.4", "max-age=60, must-revalidate", 61, "", Validate(Expired)),
            ("§4.2.4", "s-maxage=60", 61, "", Validate(Expired)),
            ("§4.2.4", "no-cache", 0, "", Validate(ResponseNoCache)),
        ],
    );
}

#[test]
fn what_is_served_when_the_server_fails() {
    let lenient = Rules { stale_if_error: Some(30), ..Rules::default() };
    let plain = Rules::default();
    for (section, rules, directives, passed, request, expected) in [
        ("RFC 5861 §4", &plain, "max-age=60, stale-if-error=30", 90, "", true),
        ("RFC 5861 §4", &plain, "max-age=60, stale-if-error=30", 91, "", false),
        ("RFC 5861 §4", &plain, "max-age=60", 61, "", false),
        ("RFC 5861 §4", &plain, "max-age=60", 61, "cc: stale-if-error=9", true),
        ("RFC 5861 §4", &plain, "max-age=60", 70, "cc: stale-if-error=9", false),
        ("RFC 5861 §4", &plain, "s-maxage=60", 61, "cc: stale-if-error=9", false),
        ("RFC 5861 §4", &lenient, "max-age=60", 90, "", true),
        ("RFC 5861 §4", &lenient, "max-age=60", 90, "cc: no-cache", true),
        ("RFC 5861 §4", &lenient, "max-age=60", 0, "cc: max-age=0", true),
        ("RFC 5861 §4", &lenient, "max-age=60, stale-if-error=0", 61, "", false),
        ("RFC 5861 §4", &plain, "s-maxage=60, stale-if-error=30", 61, "", true),
        ("§4.2.4", &lenient, "max-age=60, must-revalidate", 61, "", false),
        ("§4.2.4", &lenient, "max-age=60, must-revalidate", 59, "", true),
        ("§4.2.4", &lenient, "max-age=60, proxy-revalidate", 61, "", false),
        ("§4.2.4", &lenient, "s-maxage=60", 61, "", false),
        ("§4.2.4", &lenient, "max-age=60, no-cache", 0, "", false),
        ("§5.2.1.2", &plain, "max-age=60", 61, "cc: max-stale", true),
        ("§5.2.1", &plain, "max-age=60", 59, "cc: no-cache", true),
        ("§5.2.1", &plain, "max-age=60, must-revalidate", 59, "cc: max-age=0", true),
        ("§5.2.1", &plain, "max-age=60", 60, "cc: no-cache", false),
    ] {
        let response = format!("etag: \"a\"|cc: {directives}");
        let fresh = stored("", 200, &response, rules).expect(directives);
        let found = may_serve_on_error(&fresh, &asked(request), NOW + passed);
        assert_eq!(found, expected, "{section}: {directives} / {passed} s / {request}");
    }
    let failures =
        (100..=599).filter(|it| is_failure(StatusCode::from_u16(*it).expect("a status")));
    assert_eq!(failures.collect::<Vec<_>>(), [500, 502, 503, 504], "RFC 5861 §4");
}

#[test]
fn a_client_that_is_not_heeded() {
    let request = "cc: no-cache, max-age=0, min-fresh=99, max-stale, stale-if-error=9, \
                   no-store, only-if-cached";
    let asked = Asked::new(&Method::GET, &head(request), false);
    assert!(asked.no_store() && asked.only_if_cached() && !asked.no_cache());
    let fresh = fresh("cc: max-age=60");
    assert_eq!(decide(&fresh, &asked, NOW + 59), Fresh);
    assert_eq!(decide(&fresh, &asked, NOW + 60), Validate(Expired));
    assert!(!may_serve_on_error(&fresh, &asked, NOW + 60));
    let pragma = Asked::new(&Method::GET, &head("pragma: no-cache"), false);
    assert_eq!(decide(&fresh, &pragma, NOW), Fresh);
}

#[test]
fn what_a_request_is() {
    let of = |method: &Method, text| Asked::new(method, &head(text), true);
    assert!(of(&Method::GET, "").is_get());
    assert!(![Method::HEAD, Method::POST].iter().any(|it| of(it, "").is_get()));
    assert!(of(&Method::GET, "cc: Only-If-Cached").only_if_cached(), "§5.2.1.7");
}

#[test]
fn a_soft_purge() {
    let response = "cc: max-age=60, stale-while-revalidate=30, stale-if-error=300";
    let purged = fresh(response).staled(NOW + 5);
    let asked = asked("");
    assert_eq!(decide(&purged, &asked, NOW + 5), StaleWhileRevalidate);
    assert_eq!(decide(&purged, &asked, NOW + 35), StaleWhileRevalidate);
    assert_eq!(decide(&purged, &asked, NOW + 36), Validate(Expired));
    assert!(may_serve_on_error(&purged, &asked, NOW + 305));
    assert_eq!((purged.age(NOW + 6), purged.ttl(NOW + 6)), (6, -1));
    // What is stale already is not made younger.
    let late = fresh(response).staled(NOW + 80);
    assert_eq!(late.ttl(NOW + 80), -20);
}
