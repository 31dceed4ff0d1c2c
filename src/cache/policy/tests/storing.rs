//! Tables: what is stored, and for how long.
//!
//! Owns: the tests of §3, §4.2 and §5 where they are about storing. May touch: nothing outside this
//! room.

use http::Method;

use NotStored as N;

use super::{super::*, *};

/// A row: the section, the request, the status, the response, and for how long it is fresh when
/// it comes, or why it is not stored.
pub(super) type Row = (&'static str, &'static str, u16, &'static str, Result<i64, NotStored>);

pub(super) fn check(rules: &Rules, table: &[Row]) {
    for (section, request, status, response, expected) in table {
        let found = stored(request, *status, response, rules).map(|it| it.ttl(NOW));
        assert_eq!(found, *expected, "{section}: {request} / {status} / {response}");
    }
}

const AUTH: &str = "authorization: Basic eDp5";

const STORED: &[Row] = &[
    ("§3", "", 200, "cc: max-age=60", Ok(60)),
    ("§3", "", 200, "expires: IN_A_MINUTE|date: NOW", Ok(60)),
    ("§3", "", 200, "", Err(N::NotFresh)),
    ("§3", "", 200, "etag: \"a\"", Ok(0)),
    ("§3", "", 500, "etag: \"a\"", Err(N::Status)),
    ("§3", "", 500, "cc: max-age=60", Ok(60)),
    ("§3", "", 302, "location: /", Err(N::Status)),
    ("§3", "", 302, "cc: s-maxage=60", Ok(60)),
    ("§3", "", 299, "cc: max-age=60", Ok(60)),
    ("§3", "", 404, "", Err(N::NotFresh)),
    ("§3", "", 404, "cc: max-age=60", Ok(60)),
    ("§3", "", 101, "cc: max-age=60", Err(N::Interim)),
    ("§3", "", 304, "cc: max-age=60", Err(N::Interim)),
    ("§3", "", 600, "cc: max-age=60", Err(N::Interim)),
    ("§3.3", "", 206, "cc: max-age=60", Err(N::Partial)),
    ("RFC 6585 §3", "", 428, "cc: max-age=60", Err(N::ForOneRequest)),
    ("RFC 6585 §4", "", 429, "cc: max-age=60", Err(N::ForOneRequest)),
    ("RFC 6585 §5", "", 431, "cc: max-age=60", Err(N::ForOneRequest)),
    ("RFC 6585 §6", "", 511, "cc: max-age=60", Err(N::ForOneRequest)),
    ("§3.3", "", 200, "cc: max-age=60|content-range: bytes 0-1/2", Err(N::Partial)),
    ("§3.3", "range: bytes=0-1", 200, "cc: max-age=60", Ok(60)),
    ("§3.5", AUTH, 200, "cc: max-age=60", Err(N::Authorization)),
    ("§3.5", AUTH, 200, "cc: max-age=60, public", Ok(60)),
    ("§3.5", AUTH, 200, "cc: max-age=60, public=x", Err(N::Authorization)),
    ("§3.5", AUTH, 200, "cc: max-age=60, must-revalidate", Ok(60)),
    ("§3.5", AUTH, 200, "cc: max-age=60, proxy-revalidate", Err(N::Authorization)),
    ("§3.5", AUTH, 200, "cc: s-maxage=60", Ok(60)),
    ("§3.5", AUTH, 200, "cc: s-maxage=x", Err(N::Authorization)),
    ("§3.5", AUTH, 200, "expires: IN_A_MINUTE", Err(N::Authorization)),
    ("§4.1", "", 200, "cc: max-age=60|vary: a|vary: b, *", Err(N::VaryAny)),
    ("§4.1", "", 200, "cc: max-age=60|vary: a b", Err(N::VaryAny)),
    ("§4.1", "", 200, "cc: max-age=60|vary: accept", Ok(60)),
    ("§5.2.1.5", "cc: No-Store", 200, "expires: NOW", Err(N::RequestNoStore)),
    ("§5.2.2.5", "", 200, "cc: max-age=60, no-store", Err(N::NoStore)),
    ("§5.2.2.5", "", 200, "cc: max-age=60, no-store=x", Err(N::NoStore)),
    ("§5.2.2.5", "", 200, "cc: no-store; x, max-age=60", Err(N::NoStore)),
    ("§5.2.2.5", "", 200, "cc: max-age=60|cc: NO-STORE", Err(N::NoStore)),
    ("§5.2", "", 200, "cc: x=\"no-store\", max-age=60", Ok(60)),
    ("§5.2", "", 200, "cc: x=\"a\\\", no-store\", max-age=60", Ok(60)),
    ("§5.2", "", 200, "cc: x=\"max-age=60, no-store", Err(N::NoStore)),
    ("§5.2", "", 200, "cc: x-no-store, max-age=60", Ok(60)),
    ("§5.2.2.7", "", 200, "cc: private, max-age=60", Err(N::Private)),
    ("§5.2.2.7", "", 200, "cc: private=\"x-a\", max-age=60", Ok(60)),
    ("§5.2.2.7", "", 200, "cc: private=x-a, max-age=60", Ok(60)),
    ("§5.2.2.7", "", 200, "cc: private=\"\", max-age=60", Err(N::Private)),
    ("§5.2.2.7", "", 200, "cc: private=\"a b\", max-age=60", Err(N::Private)),
    ("§5.2.2.7", "", 200, "cc: private=\"*\", max-age=60", Err(N::Private)),
    ("§5.2.2.7", "", 200, "cc: private=\"vary\", max-age=60", Err(N::Private)),
    ("§5.2.2.7", "", 200, "cc: private=\"x, max-age=60", Err(N::Private)),
    ("§5.2.2.7", "", 200, "cc: private=\"a\", private, max-age=9", Err(N::Private)),
    ("§5.2.2.4", "", 200, "cc: no-cache, max-age=60", Err(N::NoCache)),
    ("§5.2.2.4", "", 200, "cc: no-cache, max-age=60|etag: \"a\"", Ok(60)),
    ("§5.2.2.4", "", 200, "cc: no-cache=\"x-a\", max-age=60", Ok(60)),
    ("§5.2.2.3", "", 200, "cc: must-understand, no-store, max-age=60", Ok(60)),
    ("§5.2.2.3", "", 299, "cc: must-understand, max-age=60", Err(N::NotUnderstood)),
    ("§5.2.2.3", "", 206, "cc: must-understand, max-age=60", Err(N::Partial)),
    ("§5.2.2.3", "", 200, "cc: must-understand=1, no-store, max-age=60", Err(N::NoStore)),
    ("§5.4", "", 200, "pragma: no-cache|cc: max-age=60", Ok(60)),
    ("§5.4", "", 200, "pragma: no-cache|expires: IN_A_MINUTE", Ok(60)),
    ("§7.3", "", 200, "cc: max-age=60|set-cookie: a=b", Err(N::SetCookie)),
    ("§7.3", "", 200, "cc: max-age=60, public|set-cookie: a=b", Ok(60)),
    ("§7.3", "", 200, "cc: s-maxage=60|set-cookie: a=b", Ok(60)),
    ("§7.3", "", 200, "cdn: max-age=60|set-cookie: a=b", Ok(60)),
    ("§7.3", "", 200, "cdn: foo|etag: \"a\"|set-cookie: a=b", Err(N::SetCookie)),
    ("§7.3", "", 200, "cc: max-age=60, private=\"Set-Cookie\"|set-cookie: a=b", Ok(60)),
];

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_may_be_stored() {
    check(&Rules::default(), STORED);
    let cookies = Rules { cookies: true, ..Rules::default() };
    check(&cookies, &[("§7.3", "", 200, "cc: max-age=60|set-cookie: a=b", Ok(60))]);
}

#[test]
fn only_get_is_stored() {
    let response = head("cc: max-age=60");
    let times = Times { requested: NOW, received: NOW };
    for method in [Method::HEAD, Method::POST, Method::OPTIONS, Method::PUT] {
        let asked = Asked::new(&method, &HeaderMap::new(), true);
        let status = StatusCode::OK;
        let found =
            may_store(&asked, &HeaderMap::new(), status, &response, times, &Rules::default());
        assert_eq!(found, Err(NotStored::Method), "§3: {method}");
    }
}

#[test]
fn every_reason_has_its_words() {
    let all = [
        N::Method,
        N::RequestNoStore,
        N::Interim,
        N::Partial,
        N::NotUnderstood,
        N::NoStore,
        N::Private,
        N::Authorization,
        N::VaryAny,
        N::SetCookie,
        N::Status,
        N::MaxTtl,
        N::NoCache,
        N::NotFresh,
        N::Expired,
    ];
    let mut words: Vec<_> = all.iter().map(|it| it.word()).collect();
    assert!(words.iter().all(|it| it.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all.len());
    for reason in all {
        let is_ours = reason == N::MaxTtl;
        assert!(is_ours || reason.sentence().contains("RFC 9111 §"), "{reason:?}");
    }
}
