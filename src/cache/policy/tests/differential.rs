//! A second opinion: the `http-cache-semantics` crate, which follows RFC 7234.
//!
//! Owns: the comparison. [`super::differences`] lists what is decided otherwise here. May touch:
//! nothing outside this room.

use std::time::{Duration, UNIX_EPOCH};

use http::{Request, Response};
use http_cache_semantics::{CacheOptions, CachePolicy};
use proptest::{collection::vec, prelude::*};

use super::{super::*, differences::DIFFERENCES, *};

/// One exchange, and a request for the same thing some time later.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) status: u16,
    /// The request of the stored response.
    pub(super) first: String,
    pub(super) response: String,
    /// The later request.
    pub(super) second: String,
    /// How many seconds later.
    pub(super) passed: u64,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opinion {
    may_store: bool,
    serves: bool,
}

/// The crate's opinion.
fn theirs(case: &Case) -> Opinion {
    let request = |text: &str| {
        let mut request = Request::builder().uri("http://a.example/").body(()).expect("a request");
        *request.headers_mut() = head(text);
        request
    };
    let mut response = Response::builder().status(case.status).body(()).expect("a response");
    *response.headers_mut() = head(&case.response);
    let time = |at: u64| UNIX_EPOCH + Duration::from_secs(at);
    let first = request(&case.first);
    let policy = CachePolicy::new_options(&first, &response, time(NOW), CacheOptions::default());
    let may_store = policy.is_storable();
    let later = policy.before_request(&request(&case.second), time(NOW + case.passed));
    Opinion { may_store, serves: may_store && later.satisfies_without_revalidation() }
}

/// Ours. What is of no use may be stored all the same.
fn ours(case: &Case) -> Opinion {
    let rules = Rules::default();
    match stored(&case.first, case.status, &case.response, &rules) {
        Ok(fresh) => {
            let decision = decide(&fresh, &asked(&case.second), NOW + case.passed);
            Opinion { may_store: true, serves: !matches!(decision, Decision::Validate(_)) }
        }
        Err(NotStored::NoCache | NotStored::NotFresh | NotStored::Expired) => {
            Opinion { may_store: true, serves: false }
        }
        Err(_) => Opinion { may_store: false, serves: false },
    }
}

impl From<(u16, &'static str, &'static str, &'static str, u64)> for Case {
    fn from((status, first, response, second, passed): (u16, &str, &str, &str, u64)) -> Self {
        let [first, response, second] = [first, response, second].map(str::to_owned);
        Self { status, first, response, second, passed }
    }
}

#[test]
fn every_difference_is_one() {
    for difference in DIFFERENCES {
        let case = Case::from(difference.shown_by);
        let name = difference.name;
        let because = difference.because;
        assert_ne!(ours(&case), theirs(&case), "{name}: {because}");
        assert!((difference.applies)(&case), "{name}");
    }
}

/// Pieces of `Cache-Control`, plain ones more often than odd ones.
fn directives() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        3 => prop_oneof![Just(0u32), Just(9), Just(60), Just(5000)]
            .prop_map(|it| format!("max-age={it}")),
        2 => prop_oneof![Just(0u32), Just(9), Just(60)].prop_map(|it| format!("s-maxage={it}")),
        4 => prop::sample::select(vec![
            "public", "private", "no-store", "no-cache", "must-revalidate", "no-transform",
        ])
        .prop_map(str::to_owned),
    ];
    let odd = prop::sample::select(vec![
        "proxy-revalidate",
        "immutable",
        "must-understand",
        "private=\"x-a\"",
        "no-cache=\"x-a\"",
        "Max-Age=60",
        "NO-STORE",
        "foo=\"a, no-store, b\"",
        "max-age=x",
        "s-maxage=x",
        "max-age",
        "max-age=",
        "max-age=-1",
        "max-age=1.5",
        "max-age=+60",
        "max-age= 60",
        "max-age=\"60\"",
        "max-age=99999999999999999999",
        "stale-while-revalidate=60",
        "stale-if-error=60",
    ]);
    vec(prop_oneof![6 => plain, 1 => odd.prop_map(str::to_owned)], 1..4)
        .prop_map(|it| format!("cc: {}|", it.join(", ")))
}

fn case() -> impl Strategy<Value = Case> {
    let field = prop_oneof![
        4 => prop::sample::select(vec![
            "expires: IN_A_MINUTE", "expires: 0", "expires: HOUR_AGO", "date: NOW", "age: 5",
            "age: x", "last-modified: HOUR_AGO", "etag: \"a\"", "vary: accept", "x-a: 1",
        ]),
        1 => prop::sample::select(vec![
            "date: HOUR_AGO", "date: IN_A_MINUTE", "age: 50, 9", "set-cookie: a=b", "vary: *",
            "pragma: no-cache", "content-range: bytes 0-1/2",
            "expires: Sunday, 06-Nov-94 08:50:37 GMT",
            "last-modified: Tue, 10 May 1994 08:49:37 GMT", "cdn: max-age=9",
            "date: odd", "expires: odd",
        ]),
    ];
    let once = |fields: Vec<&'static str>| {
        let mut once: Vec<&str> = Vec::new();
        for field in fields {
            // Of a repeated field, the crate takes the first line; only Expires is listed for it.
            let (name, _) = field.split_once(':').expect("a colon");
            if name == "expires" || !once.iter().any(|it| it.starts_with(&format!("{name}:"))) {
                once.push(field);
            }
        }
        once.join("|")
    };
    let response = (prop::option::of(directives()), vec(field, 0..4))
        .prop_map(move |(directives, fields)| directives.unwrap_or_default() + &once(fields));
    let first = prop_oneof![
        4 => Just(""), 1 => Just("authorization: Basic eDp5"), 1 => Just("cc: no-store"),
    ];
    let second = prop_oneof![
        2 => Just(""),
        3 => prop::sample::select(vec![
            "cc: no-cache", "cc: max-age=0", "cc: max-age=20",
            "cc: max-age=x", "cc: max-stale", "cc: max-stale=11",
            "cc: max-stale=5000, max-age=20", "cc: min-fresh=20",
            "cc: min-fresh=0, max-stale", "cc: no-store",
            "pragma: no-cache", "pragma: no-cache|cc: max-age=20",
            "cc: only-if-cached",
        ]),
    ];
    let status = prop_oneof![
        5 => Just(200u16),
        3 => prop::sample::select(vec![203u16, 204, 206, 299, 301, 302, 304, 404, 410, 500, 503]),
    ];
    let passed = prop::sample::select(vec![0u64, 1, 8, 9, 10, 20, 55, 60, 61, 363, 5001, 90_000]);
    (status, first, response, second, passed).prop_map(
        |(status, first, response, second, passed)| Case {
            status,
            first: first.to_owned(),
            response,
            second: second.to_owned(),
            passed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn all_else_is_decided_alike(case in case()) {
        let is_listed = DIFFERENCES.iter().any(|it| (it.applies)(&case));
        prop_assert!(is_listed || ours(&case) == theirs(&case), "{:?} / {:?}", ours(&case), theirs(&case));
    }
}
