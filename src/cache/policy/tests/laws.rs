//! Laws that hold for all heads and times.
//!
//! Owns: the generators of heads. May touch: nothing outside this room.

use crate::http1::request::RequestFields;
use http::{HeaderValue, Method};
use proptest::{collection::vec, option, prelude::*};

use super::{
    super::{cache_status, invalidation, validation, vary, *},
    *,
};

/// One directive of a response, well-formed or not.
fn directive() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        (0u32..200).prop_map(|it| it.to_string()),
        "[0-9]{1,25}",
        Just("x".to_owned()),
        Just("\"60\"".to_owned()),
        Just(String::new()),
    ];
    let timed = prop_oneof![
        Just("max-age"),
        Just("s-maxage"),
        Just("stale-while-revalidate"),
        Just("stale-if-error"),
    ];
    prop_oneof![
        3 => (timed, number).prop_map(|(name, number)| format!("{name}={number}")),
        2 => prop_oneof![
            Just("public"),
            Just("must-revalidate"),
            Just("proxy-revalidate"),
            Just("no-cache"),
            Just("no-cache=\"x-a\""),
            Just("private=\"x-a\""),
            Just("immutable"),
            Just("foo=\"a, b\""),
            Just("MAX-AGE=9"),
        ]
        .prop_map(str::to_owned),
    ]
}

fn date() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("NOW"), Just("HOUR_AGO"), Just("IN_A_MINUTE"), Just("0")]
}

/// A response that says nothing of `no-store` and `private`, and sets no cookie.
fn response() -> impl Strategy<Value = String> {
    let line = |name: &'static str, value: BoxedStrategy<String>| {
        option::of(value)
            .prop_map(move |it| it.map_or(String::new(), |it| format!("{name}: {it}|")))
    };
    let dated = || date().prop_map(str::to_owned).boxed();
    let directives = || vec(directive(), 1..4).prop_map(|it| it.join(", ")).boxed();
    (
        line("cc", directives()),
        line("cc", directives()),
        line("expires", dated()),
        line("date", dated()),
        line("last-modified", dated()),
        line("age", "[0-9]{1,3}|x".boxed()),
        line("etag", Just("\"a\"".to_owned()).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].concat())
}

fn request() -> impl Strategy<Value = String> {
    let number = || prop_oneof![0u32..200, Just(u32::MAX)];
    option::of(prop_oneof![
        number().prop_map(|it| format!("cc: max-age={it}")),
        number().prop_map(|it| format!("cc: max-stale={it}")),
        number().prop_map(|it| format!("cc: max-stale, max-age={it}")),
        number().prop_map(|it| format!("cc: min-fresh={it}")),
        Just("cc: no-cache".to_owned()),
        Just("cc: max-stale".to_owned()),
        Just("pragma: no-cache".to_owned()),
    ])
    .prop_map(Option::unwrap_or_default)
}

fn rules() -> impl Strategy<Value = Rules> {
    let seconds = || option::of(0u32..200);
    (0u32..50, seconds(), option::of(50u32..100), seconds(), seconds()).prop_map(
        |(min_ttl, default_ttl, max_ttl, stale_while_revalidate, stale_if_error)| Rules {
            min_ttl,
            default_ttl,
            max_ttl,
            stale_while_revalidate,
            stale_if_error,
            ..Rules::default()
        },
    )
}

/// Any bytes that a field can have.
fn value() -> impl Strategy<Value = HeaderValue> {
    let syntax = "[a-z0-9*=\",;\\\\/:?() .W-]{0,24}".prop_map(String::into_bytes);
    let known = vec(directive(), 0..3).prop_map(|it| it.join(",").into_bytes());
    prop_oneof![vec(any::<u8>(), 0..24), syntax, known]
        .prop_filter_map("no field value", |it| HeaderValue::from_bytes(&it).ok())
}

fn any_head() -> impl Strategy<Value = HeaderMap> {
    const NAMES: [&str; 22] = [
        "cache-control",
        "cdn-cache-control",
        "pragma",
        "expires",
        "date",
        "age",
        "last-modified",
        "etag",
        "vary",
        "connection",
        "location",
        "content-location",
        "cache-status",
        "set-cookie",
        "x-a",
        "if-none-match",
        "if-modified-since",
        "if-range",
        "accept-encoding",
        "accept-language",
        "content-length",
        "cookie",
    ];
    vec((0..NAMES.len(), value()), 0..8).prop_map(|lines| {
        let lines = lines.into_iter();
        lines.map(|(at, value)| (HeaderName::from_static(NAMES[at]), value)).collect()
    })
}

proptest! {
    #[test]
    fn what_must_not_be_stored_is_not(
        response in response(),
        forbids in prop_oneof![
            Just("no-store"), Just("private"), Just("No-Store"), Just("PRIVATE=\"\""),
            Just("no-store; x"), Just("private=\"x-a, vary\""), Just("a=\"b, no-store"),
        ],
        first: bool,
        rules in rules(),
    ) {
        let line = format!("cc: {forbids}|");
        let text = if first { line + &response } else { response + &line };
        prop_assert!(stored("", 200, &text, &rules).is_err());
    }

    #[test]
    fn a_stricter_line_never_makes_it_fresher(
        response in response(),
        strict in prop_oneof![
            Just("no-cache"), Just("max-age=0"), Just("s-maxage=0"), Just("must-revalidate"),
            Just("max-age=x"), Just("s-maxage=x"), Just("proxy-revalidate"), Just("private=\"x-b\""),
        ],
        request in request(),
        passed in 0u64..300,
    ) {
        let rules = Rules::default();
        let text = format!("{response}cc: {strict}|");
        let Ok(stricter) = stored("", 200, &text, &rules) else { return Ok(()) };
        let Ok(before) = stored("", 200, &response, &rules) else {
            // It may only be stored with a lifetime of 0.
            prop_assert!(stricter.lifetime() == 0);
            return Ok(());
        };
        prop_assert!(stricter.lifetime() <= before.lifetime());
        let (now, asked) = (NOW + passed, asked(&request));
        if decide(&stricter, &asked, now) == Decision::Fresh {
            prop_assert_eq!(decide(&before, &asked, now), Decision::Fresh);
        }
    }

    #[test]
    fn lines_are_one_list(directives in vec(directive(), 1..6), at in 0usize..6) {
        let at = at.min(directives.len());
        let (left, right) = directives.split_at(at);
        let two = format!("cc: {}|cc: {}", left.join(","), right.join(" , "));
        let one = format!("cc: {}", directives.join(", "));
        let of = |text: &str| stored("", 200, &format!("etag: \"a\"|{text}"), &Rules::default());
        prop_assert_eq!(of(&two), of(&one));
    }

    #[test]
    fn the_operator_has_the_last_word(
        response in response(), rules in rules(), passed in 0u64..300,
    ) {
        let Ok(fresh) = stored("", 200, &response, &rules) else { return Ok(()) };
        let now = NOW + passed;
        if let Some(most) = rules.max_ttl {
            prop_assert!(!fresh.is_fresh(NOW + u64::from(most)));
            prop_assert!(fresh.ttl(now) <= i64::from(most));
        }
        prop_assert!(rules.min_ttl == 0 || fresh.ttl(NOW) >= i64::from(rules.min_ttl));
    }

    #[test]
    fn age_grows_with_time(response in response(), a: u64, b: u64) {
        let Ok(fresh) = stored("", 200, &response, &Rules::default()) else { return Ok(()) };
        let (early, late) = (a.min(b), a.max(b));
        prop_assert!(fresh.age(early) <= fresh.age(late));
        prop_assert!(fresh.ttl(early) >= fresh.ttl(late));
        prop_assert!(fresh.used(early) <= fresh.used(late));
        prop_assert!(fresh.age(early) >= fresh.initial_age());
    }

    #[test]
    fn what_is_served_may_be(
        response in response(), request in request(), rules in rules(), passed in 0u64..400,
    ) {
        let Ok(fresh) = stored("", 200, &response, &rules) else { return Ok(()) };
        let (now, asked) = (NOW + passed, asked(&request));
        let decision = decide(&fresh, &asked, now);
        let strict = response.contains("must-revalidate") || response.contains("proxy-revalidate");
        let stale = fresh.stale_for(now);
        match decision {
            Decision::Fresh => prop_assert!(fresh.age(now) < fresh.lifetime()),
            Decision::Stale => {
                prop_assert!(!strict && !fresh.no_cache() && request.contains("max-stale"));
            }
            Decision::StaleWhileRevalidate => {
                prop_assert!(!strict && !fresh.no_cache() && stale <= fresh.while_revalidate);
            }
            Decision::Validate(_) => {}
        }
        if decision != Decision::Fresh && strict {
            prop_assert!(fresh.ttl(now) > 0 || !may_serve_on_error(&fresh, &asked, now));
        }
        // What is past its time is of no use to anyone but who takes it however stale it is. An
        // age of 2^31 s grows no more.
        let stale = fresh.while_revalidate.max(fresh.if_error);
        let late = fresh.received + u64::from(fresh.lifetime) + u64::from(stale) + 1;
        if !request.contains("max-stale") && late < NOW + (1 << 30) {
            prop_assert!(matches!(decide(&fresh, &asked, late), Decision::Validate(_)));
            prop_assert!(!may_serve_on_error(&fresh, &asked, late));
        }
        // A soft purge lasts.
        let purged = fresh.staled(now);
        prop_assert!(!purged.is_fresh(now) && !purged.is_fresh(0) && purged.ttl(now) <= 0);
    }

    #[test]
    fn other_values_are_another_variant(a in value(), b in value()) {
        let of = |value: &HeaderValue| {
            let names = [HeaderName::from_static("x-a"), HeaderName::from_static("x-b")];
            let mut out = Vec::new();
            let request: HeaderMap = [(names[0].clone(), value.clone())].into_iter().collect();
            vary::write_variant(&mut out, &names, &RequestFields::Map(request.into()), None);
            out
        };
        let is_same = a.as_bytes().trim_ascii() == b.as_bytes().trim_ascii();
        prop_assert_eq!(of(&a) == of(&b), is_same);
    }

    #[test]
    fn a_304_that_says_nothing_changes_nothing(head in any_head()) {
        let mut stored = stored_fields(&head);
        stored.remove("date");
        prop_assert_eq!(validation::update(&stored, &HeaderMap::new()), stored);
    }

    #[test]
    fn no_bytes_do_harm(
        request in any_head(), response in any_head(), other in any_head(),
        status in 100u16..1000, requested: u64, received: u64, now: u64, rules in rules(),
    ) {
        let status = StatusCode::from_u16(status).expect("a status");
        let times = Times { requested, received };
        for (method, heed) in [(Method::GET, true), (Method::HEAD, false), (Method::POST, true)] {
            let asked = Asked::new(&method, &request, heed);
            if let Ok(fresh) = may_store(&asked, &request, status, &response, times, &rules) {
                let _ = decide(&fresh, &asked, now);
                let _ = may_serve_on_error(&fresh.staled(now), &asked, now);
                prop_assert!(fresh.age(now) <= 1 << 31 && fresh.lifetime() <= 1 << 31);
                prop_assert!(fresh.used(now).is_finite());
            }
            let (kept, _) =
                may_keep(&asked, &request, status, &response, &other, times, &rules);
            prop_assert!(!kept.contains_key("age"));
            let target =
                invalidation::Url { scheme: "http", authority: "a", path_and_query: "/b/../c" };
            for uri in invalidation::targets(&method, status, &target, &response) {
                prop_assert!(uri.starts_with("http://a/"), "{}", uri);
            }
        }
        let names: Vec<_> = other.keys().cloned().collect();
        vary::write_variant(&mut Vec::new(), &names, &RequestFields::Map(request.into()), None);
        let _ = vary::of(&response);
        let _ = validation::conditions(&response);
        let _ = validation::freshens(&response, &other);
        let outcome = cache_status::Handled::Hit { ttl: i64::MIN, detail: None };
        let _ = cache_status::write(&outcome, response.get_all("cache-status"));
    }
}
