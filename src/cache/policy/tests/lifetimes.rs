//! Tables: how long what is stored is fresh.
//!
//! Owns: the tests of §4.2, RFC 9213 and the operator's rules. May touch: nothing outside this
//! room.

use NotStored as N;

use super::{
    super::*,
    storing::{Row, check},
    *,
};

const HALF_A_YEAR_AGO: &str = "last-modified: Tue, 10 May 1994 08:49:37 GMT";
const MAX: i64 = 1 << 31;

const FRESH: &[Row] = &[
    ("§4.2.1", "", 200, "cc: s-maxage=9, max-age=60|expires: NOW", Ok(9)),
    ("§4.2.1", "", 200, "cc: max-age=60|expires: NOW", Ok(60)),
    ("§4.2.1", "", 200, "cc: max-age=60, max-age=9", Ok(9)),
    ("§4.2.1", "", 200, "cc: max-age=9|cc: max-age=60", Ok(9)),
    ("§4.2.1", "", 200, "cc: s-maxage=9, s-maxage=x|etag: \"a\"", Ok(0)),
    ("§4.2.1", "", 200, "cc: s-maxage=9, max-age=x", Ok(9)),
    ("§5.2", "", 200, "cc: MAX-Age=60", Ok(60)),
    ("§5.2", "", 200, "cc: max-age=\"60\"", Ok(60)),
    ("§5.2", "", 200, "cc: ,, max-age=060 ,", Ok(60)),
    ("§5.2", "", 200, "cc: foo, max-age=60, bar=\"x,y\"", Ok(60)),
    ("§1.2.2", "", 200, "cc: max-age=2147483649", Ok(MAX)),
    ("§1.2.2", "", 200, "cc: max-age=99999999999999999999999", Ok(MAX)),
    ("§5.3", "", 200, "date: HOUR_AGO|expires: NOW|etag: \"a\"", Ok(0)),
    ("§5.3", "", 200, "date: HOUR_AGO|expires: IN_A_MINUTE", Ok(60)),
    ("§5.3", "", 200, "date: NOW|expires: 0", Err(N::NotFresh)),
    ("§5.3", "", 200, "date: NOW|expires: -1", Err(N::NotFresh)),
    ("§5.3", "", 200, "date: NOW|expires: tomorrow", Err(N::NotFresh)),
    ("§5.3", "", 200, "date: NOW|expires:", Err(N::NotFresh)),
    ("§5.3", "", 200, "date: NOW|expires: IN_A_MINUTE|expires: 0", Err(N::NotFresh)),
    ("§5.3", "", 200, "expires: Fri, 31 Dec 9999 23:59:59 GMT", Ok(MAX)),
    ("§5.3", "", 200, "expires: Sunday, 06-Nov-94 08:50:37 GMT", Ok(60)),
    ("§5.3", "", 200, "expires: Sun Nov  6 08:50:37 1994", Ok(60)),
    ("§4.2", "", 200, "expires: sun, 06 nov 1994 08:50:37 gmt", Ok(60)),
    ("§4.2", "", 200, "expires: SUN, 06 NOV 1994 08:50:37 GMT", Ok(60)),
    ("§4.2", "", 200, "expires: SUNDAY, 06-nov-94 08:50:37 Gmt", Ok(60)),
    ("§4.2", "", 200, "expires: sun nov  6 08:50:37 1994", Ok(60)),
    ("§4.2", "", 200, "date: sun, 06 nov 1994 08:49:37 gmt|expires: IN_A_MINUTE", Ok(60)),
    ("§4.2", "", 200, "expires: sun, 06 nov 1994 08:50:37 utc", Err(N::NotFresh)),
    ("§5.3", "", 200, "expires: Sun, 06 Nov 1994 08:50:37 +0200", Err(N::NotFresh)),
    ("§5.3", "", 200, "expires: Wed, 01 Jan 1800 00:00:00 GMT", Err(N::NotFresh)),
    ("§6.6.1", "", 200, "date: never|expires: IN_A_MINUTE", Ok(60)),
    ("§4.2.3", "", 200, "date: HOUR_AGO|cc: max-age=3660", Ok(60)),
    ("§4.2.3", "", 200, "date: HOUR_AGO|cc: max-age=60", Err(N::Expired)),
    ("§4.2.3", "", 200, "date: IN_A_MINUTE|cc: max-age=60", Ok(60)),
    ("§4.2.3", "", 200, "date: IN_A_MINUTE|date: HOUR_AGO|cc: max-age=3660", Ok(60)),
    ("§5.1", "", 200, "age: 50|cc: max-age=60", Ok(10)),
    ("§5.1", "", 200, "age: 50, 9|cc: max-age=60", Ok(10)),
    ("§5.1", "", 200, "age: 50|age: 9|cc: max-age=60", Ok(10)),
    ("§5.1", "", 200, "age: x, 50|cc: max-age=60", Ok(60)),
    ("§5.1", "", 200, "age: -5|cc: max-age=60", Ok(60)),
    ("§5.1", "", 200, "age: 5.0|cc: max-age=60", Ok(60)),
    ("§5.1", "", 200, "age:|cc: max-age=60", Ok(60)),
    ("§5.1", "", 200, "age: 60|cc: max-age=60", Err(N::Expired)),
    ("§5.1", "", 200, "age: 99999999999|cc: max-age=60", Err(N::Expired)),
    ("§4.2.2", "", 200, "date: NOW|last-modified: HOUR_AGO", Ok(360)),
    ("§4.2.2", "", 200, "last-modified: HOUR_AGO", Ok(360)),
    ("§4.2.2", "", 404, "last-modified: HOUR_AGO", Ok(360)),
    ("§4.2.2", "", 200, HALF_A_YEAR_AGO, Ok(86_400)),
    ("§4.2.2", "", 200, "last-modified: IN_A_MINUTE", Ok(0)),
    ("§4.2.2", "", 200, "last-modified: HOUR_AGO|last-modified: NOW|etag: \"a\"", Ok(0)),
    ("§4.2.2", "", 302, "last-modified: HOUR_AGO", Err(N::Status)),
    ("§4.2.2", "", 302, "last-modified: HOUR_AGO|cc: public", Ok(360)),
    ("§4.2.2", "", 200, "last-modified: HOUR_AGO|expires: 0", Ok(0)),
    ("RFC 9213 §2.2", "", 200, "cdn: max-age=9|cc: max-age=60", Ok(9)),
    ("RFC 9213 §2.2", "", 200, "cdn: max-age=9|cc: no-store", Ok(9)),
    ("RFC 9213 §2.2", "", 200, "cdn: no-store|cc: max-age=60", Err(N::NoStore)),
    ("RFC 9213 §2.2", "", 200, "cdn: private|cc: max-age=60", Err(N::Private)),
    ("RFC 9213 §2.2", "", 200, "cdn: foo|expires: IN_A_MINUTE", Err(N::NotFresh)),
    ("RFC 9213 §2.1", "", 200, "cdn: |cc: max-age=60", Ok(60)),
    ("RFC 9213 §2.1", "", 200, "cdn: max-age=9;a=\"b\";c, x=(1 a);q|expires: NOW", Ok(9)),
    ("RFC 9213 §2.1", "", 200, "cdn: max-age=9|cdn: max-age=10", Ok(10)),
    ("RFC 9213 §2.1", "", 200, "cdn: max-age=9, no-store=?0, private=?0", Ok(9)),
    ("RFC 9213 §2.1", "", 200, "cdn: no-store, max-age=9, no-store=?0", Ok(9)),
    ("RFC 9213 §2.1", "", 200, "cdn: private=\"x-a\", max-age=9", Ok(9)),
    ("RFC 8941 §3.2", "", 200, "cdn: private, max-age=9, private=?0", Ok(9)),
    ("RFC 8941 §3.2", "", 200, "cdn: private=?0, max-age=9, private", Err(N::Private)),
    ("RFC 5861 §3", "", 200, "cc: max-age=0, stale-while-revalidate=30", Ok(0)),
    ("RFC 5861 §3", "", 200, "cc: max-age=5, stale-while-revalidate=30|age: 20", Ok(-15)),
    ("RFC 5861 §3", "", 200, "cc: max-age=5, stale-if-error=30|age: 35", Err(N::Expired)),
];

/// Lifetimes that cannot be read.
const BROKEN: &[&str] = &[
    "cc: max-age=",
    "cc: max-age",
    "cc: max-age=-1",
    "cc: max-age=+60",
    "cc: max-age=1.5",
    "cc: max-age=60s",
    "cc: max-age='60'",
    "cc: max-age = 60",
    "cc: max-age= 60",
    "cc: max-age=60; public",
    "cc: max-age=\"60",
    "cc: max-age=\"60\"0",
    "cc: max-age=60, max-age=x",
    "cc: s-maxage=x, max-age=60",
    "cdn: max-age=1.5",
    "cdn: max-age=-1",
    "cdn: max-age=\"60\"",
    "cdn: max-age=sixty",
    "cdn: max-age",
    "cdn: max-age=(60)",
];

const BY_RULES: &[Row] = &[
    ("default", "", 200, "", Ok(100)),
    ("default counts from now", "", 200, "age: 5000", Ok(100)),
    ("default before heuristic", "", 200, "last-modified: HOUR_AGO", Ok(100)),
    ("not for every status", "", 404, "", Err(N::NotFresh)),
    ("not for every status", "", 500, "", Err(N::Status)),
    ("min", "", 200, "cc: max-age=5", Ok(10)),
    ("min", "", 200, "cc: max-age=x", Ok(10)),
    ("min", "", 200, "expires: 0", Ok(10)),
    ("min counts from now", "", 200, "cc: max-age=60|age: 5000", Ok(10)),
    ("min, but not for errors", "", 500, "cc: max-age=5", Ok(5)),
    ("min, but not for a login", "", 302, "cc: max-age=5", Ok(5)),
    ("min is no no-store", "", 200, "cc: no-store", Err(N::NoStore)),
    ("min is no private", "", 200, "cc: private", Err(N::Private)),
    ("min is no no-cache", "", 200, "cc: no-cache", Err(N::NoCache)),
    ("max", "", 200, "cc: s-maxage=5000", Ok(1000)),
    ("max", "", 500, "cc: max-age=5000", Ok(1000)),
    ("max counts from now", "", 200, "cc: max-age=9000|age: 5000", Ok(1000)),
];

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn how_long_it_is_fresh() {
    check(&Rules::default(), FRESH);
    // A lifetime that cannot be read is none (§4.2.1).
    for response in BROKEN {
        check(&Rules::default(), &[("§4.2.1", "", 200, *response, Err(N::NotFresh))]);
    }
}

#[test]
fn a_targeted_field_with_a_mistake_is_none() {
    for field in [
        "max-age=9,",
        ",max-age=9",
        "max-age=9,,a",
        "Max-Age=9",
        "max-age=9 a",
        "max-age =9",
        "max-age= 9",
        "max-age=",
        "max-age=9; ;a",
        "max-age=9s",
        "max-age='9'",
        "max-age=1234567890123456",
        "max-age=9.",
        "max-age=9.1234",
        "max-age=-",
        "a=\"x, max-age=9",
        "a=\"\\x\", max-age=9",
        "a=:x, max-age=9",
        "a=?2, max-age=9",
        "a=(1, max-age=9",
        "a=(1\"x\"), max-age=9",
        "a=@1, max-age=9",
        "=9",
        "9",
    ] {
        let text = format!("cc: max-age=60|cdn: {field}");
        assert_eq!(fresh(&text).lifetime(), 60, "RFC 9213 §2.1: {field}");
        let text = format!("{text}|cdn: max-age=9");
        assert_eq!(fresh(&text).lifetime(), 60, "RFC 9213 §2.1: {field} and a valid line");
    }
    for field in ["max-age=9 , a", "max-age=9,\ta", "a=:eA==:, max-age=9", "*x=*y/z:1, max-age=009"]
    {
        let text = format!("cc: max-age=60|cdn: {field}");
        assert_eq!(fresh(&text).lifetime(), 9, "RFC 9213 §2.1: {field}");
    }
}

#[test]
fn the_operator_has_a_word() {
    let rules =
        Rules { min_ttl: 10, default_ttl: Some(100), max_ttl: Some(1000), ..Rules::default() };
    check(&rules, BY_RULES);
    let none = Rules { max_ttl: Some(0), ..Rules::default() };
    check(&none, &[("max 0", "", 200, "cc: max-age=5|etag: \"a\"", Err(N::MaxTtl))]);
    let errors = Rules { default_ttl: Some(5), statuses: vec![404, 503], ..Rules::default() };
    check(
        &errors,
        &[
            ("statuses", "", 503, "", Ok(5)),
            ("statuses", "", 200, "", Err(N::NotFresh)),
            ("statuses", "", 200, "last-modified: HOUR_AGO", Ok(360)),
        ],
    );
}

#[test]
fn the_default_statuses_are_those_that_hide_nothing() {
    let rules = Rules::default();
    assert_eq!((rules.min_ttl, rules.default_ttl, rules.max_ttl), (0, None, None));
    assert!(rules.heed_client && !rules.cookies);
    assert_eq!(rules.statuses, [200, 203, 204, 300, 301, 308, 410]);
}

#[test]
fn who_says_so() {
    let plain = Rules::default();
    let rules =
        Rules { min_ttl: 10, default_ttl: Some(100), max_ttl: Some(1000), ..Rules::default() };
    for (rules, response, expected) in [
        (&plain, "etag: \"a\"", "none"),
        (&plain, "cdn: max-age=60", "cdn-cache-control"),
        (&plain, "cc: s-maxage=60, max-age=9", "s-maxage"),
        (&plain, "cc: max-age=60|expires: 0", "max-age"),
        (&plain, "expires: IN_A_MINUTE", "expires"),
        (&plain, "last-modified: HOUR_AGO", "heuristic"),
        (&rules, "", "default_ttl"),
        (&rules, "cc: max-age=9", "min_ttl"),
        (&rules, "cc: max-age=10", "max-age"),
        (&rules, "cc: max-age=1000", "max-age"),
        (&rules, "cc: max-age=1001", "max_ttl"),
    ] {
        let found = stored("", 200, response, rules).expect(response);
        assert_eq!(found.source().word(), expected, "{response}");
    }
    let listed = Rules { min_ttl: 10, statuses: vec![302], ..Rules::default() };
    let found = stored("", 302, "", &listed).expect("what the operator lists");
    assert_eq!((found.source(), found.lifetime()), (LifetimeSource::MinTtl, 10));
}
