//! What is decided otherwise here than by the `http-cache-semantics` crate, and why.
//!
//! Owns: the list. May touch: nothing outside this room.

use super::{super::*, differential::Case, *};

/// A difference: its name, what is right about ours, what a case has where it is to be expected,
/// and a case that shows it: status, first request, response, second request, seconds.
pub(super) struct Difference {
    pub(super) name: &'static str,
    pub(super) because: &'static str,
    pub(super) applies: fn(&Case) -> bool,
    pub(super) shown_by: (u16, &'static str, &'static str, &'static str, u64),
}

/// Whether the response has a piece of text.
fn says(case: &Case, text: &str) -> bool {
    case.response.contains(text)
}

/// Whether the later request has a piece of text.
fn asks(case: &Case, text: &str) -> bool {
    case.second.contains(text)
}

/// Whether a directive is in the response twice.
fn twice(case: &Case, name: &str) -> bool {
    let starts = [format!(" {name}="), format!(" {name},"), format!(" {name}|")];
    starts.iter().map(|it| case.response.matches(it.as_str()).count()).sum::<usize>() > 1
}

pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "case",
        because: "§5.2: directives are case-insensitive",
        applies: |case| says(case, "Max-Age") || says(case, "NO-STORE"),
        shown_by: (200, "", "cc: NO-STORE", "", 0),
    },
    Difference {
        name: "quoted commas",
        because: "§5.2: what is quoted is no directive",
        applies: |case| says(case, "foo=\""),
        shown_by: (200, "", "cc: foo=\"a, no-store, b\", max-age=60", "", 0),
    },
    Difference {
        name: "private fields",
        because: "§5.2.2.7: with a list, all but these fields may be stored",
        applies: |case| says(case, "private=\"x-a\""),
        shown_by: (200, "", "cc: private=\"x-a\", max-age=60", "", 0),
    },
    Difference {
        name: "no-cache fields",
        because: "§5.2.2.4: with a list, all but these fields may be used without validation",
        applies: |case| says(case, "no-cache=\"x-a\""),
        shown_by: (200, "", "cc: no-cache=\"x-a\", max-age=60", "", 0),
    },
    Difference {
        name: "must-understand",
        because: "§5.2.2.3: newer than the crate; lifts no-store where the status is understood",
        applies: |case| says(case, "must-understand"),
        shown_by: (200, "", "cc: must-understand, no-store, max-age=60", "", 0),
    },
    Difference {
        name: "unknown statuses",
        because: "§3: a final status need not be understood if there is an explicit lifetime",
        applies: |case| matches!(case.status, 299 | 500 | 503),
        shown_by: (503, "", "cc: max-age=60", "", 0),
    },
    Difference {
        name: "CDN-Cache-Control",
        because: "RFC 9213: newer than the crate",
        applies: |case| says(case, "cdn:"),
        shown_by: (200, "", "cdn: max-age=60", "", 0),
    },
    Difference {
        name: "stale-while-revalidate",
        because: "RFC 5861 §3: the crate has no state for it",
        applies: |case| says(case, "stale-while-revalidate"),
        shown_by: (200, "", "cc: max-age=9, stale-while-revalidate=60", "", 20),
    },
    Difference {
        name: "cookies",
        because: "§7.3: without a mark for shared caches not even stored; s-maxage is such a mark, \
                  immutable is not",
        applies: |case| says(case, "set-cookie"),
        shown_by: (200, "", "cc: s-maxage=60|set-cookie: a=b", "", 0),
    },
    Difference {
        name: "Vary: *",
        because: "§4.1: it never matches again, so that it is not stored",
        applies: |case| says(case, "vary: *"),
        shown_by: (200, "", "cc: max-age=60|vary: *", "", 0),
    },
    Difference {
        name: "a part",
        because: "§3.3: Content-Range makes it a part, whatever the status",
        applies: |case| says(case, "content-range"),
        shown_by: (200, "", "cc: max-age=60|content-range: bytes 0-1/2", "", 0),
    },
    Difference {
        name: "proxy-revalidate",
        because: "§5.2.2.8: it forbids stale use, not fresh use",
        applies: |case| says(case, "proxy-revalidate"),
        shown_by: (200, "", "cc: proxy-revalidate, max-age=60", "", 0),
    },
    Difference {
        name: "s-maxage is proxy-revalidate",
        because: "§5.2.2.10: a shared cache must not use it stale, max-stale or not",
        applies: |case| says(case, "s-maxage") && asks(case, "max-stale"),
        shown_by: (200, "", "cc: s-maxage=9", "cc: max-stale", 20),
    },
    Difference {
        name: "no-cache and max-stale",
        because: "§5.2.2.4: never without validation; the crate takes it for a lifetime of 0",
        applies: |case| says(case, "no-cache") && asks(case, "max-stale"),
        shown_by: (200, "", "cc: no-cache", "cc: max-stale", 0),
    },
    Difference {
        name: "an s-maxage that cannot be read",
        because: "§3.5: it does not permit to share the answer to Authorization",
        applies: |case| says(case, "s-maxage=x") && case.first.contains("authorization"),
        shown_by: (200, "authorization: Basic eDp5", "cc: s-maxage=x", "", 0),
    },
    Difference {
        name: "what is of no use",
        because: "§3 lets, but does not make, a cache store; what is stale when it comes and has no \
                  validator is kept for no one, not even for max-stale",
        applies: |case| {
            let found = stored(&case.first, case.status, &case.response, &Rules::default());
            let is_useless = matches!(found, Err(NotStored::NotFresh | NotStored::Expired));
            is_useless && asks(case, "max-stale")
        },
        shown_by: (200, "", "cc: max-age=0", "cc: max-stale", 20),
    },
    Difference {
        name: "max-stale's limit",
        because: "§5.2.1.2: no more than the number of seconds, so just as many will do",
        applies: |case| asks(case, "max-stale="),
        shown_by: (200, "", "cc: max-age=9", "cc: max-stale=11", 20),
    },
    Difference {
        name: "min-fresh and max-stale",
        because: "§5.2.1.3: what must stay fresh is not stale, also for min-fresh=0",
        applies: |case| asks(case, "min-fresh=0, max-stale"),
        shown_by: (200, "", "cc: max-age=9", "cc: min-fresh=0, max-stale", 20),
    },
    Difference {
        name: "max-age=0 in a request",
        because: "§5.2.1.1: ages are cut to whole seconds; a browser's reload means validation",
        applies: |case| asks(case, "max-age=0"),
        shown_by: (200, "", "cc: max-age=60", "cc: max-age=0", 0),
    },
    Difference {
        name: "max-age and max-stale in a request",
        because: "a number that cannot be read is taken for the strictest one",
        applies: |case| asks(case, "=x"),
        shown_by: (200, "", "cc: max-age=60", "cc: max-age=x", 0),
    },
    Difference {
        name: "Pragma beside Cache-Control in a request",
        because: "§5.4 (RFC 7234): Pragma counts only without Cache-Control",
        applies: |case| asks(case, "pragma") && asks(case, "cc:"),
        shown_by: (200, "", "cc: max-age=60", "pragma: no-cache|cc: max-age=60", 0),
    },
    Difference {
        name: "Pragma in a response",
        because: "§5.4: its meaning there was never specified",
        applies: |case| says(case, "pragma"),
        shown_by: (200, "", "pragma: no-cache|expires: IN_A_MINUTE", "", 0),
    },
    Difference {
        name: "apparent age",
        because: "§4.2.3: an old Date makes it older; the crate trusts Age alone",
        applies: |case| says(case, "date: HOUR_AGO"),
        shown_by: (200, "", "date: HOUR_AGO|cc: max-age=60", "", 0),
    },
    Difference {
        name: "Age as a list",
        because: "§5.1: its first member counts; the crate ignores them all",
        applies: |case| says(case, "age: 50, 9"),
        shown_by: (200, "", "age: 50, 9|cc: max-age=60", "", 20),
    },
    Difference {
        name: "immutable",
        because: "RFC 8246 §2: it lengthens nothing; the crate takes it for a day",
        applies: |case| says(case, "immutable"),
        shown_by: (200, "", "cc: immutable", "", 0),
    },
    Difference {
        name: "lifetimes that cannot be read",
        because: "§4.2.1: they are 0; the crate ignores max-age without a number, and reads +60",
        applies: |case| says(case, "max-age,") || says(case, "max-age|") || says(case, "=+60"),
        shown_by: (200, "", "cc: max-age=+60", "", 0),
    },
    Difference {
        name: "spaces around =",
        because: "§5.2: they are not in the grammar",
        applies: |case| says(case, "max-age= 60"),
        shown_by: (200, "", "cc: max-age= 60", "", 0),
    },
    Difference {
        name: "lifetimes without end",
        because: "§1.2.2: too great a number counts as 2^31; the crate makes it 0",
        applies: |case| says(case, "99999999999999999999"),
        shown_by: (200, "", "cc: max-age=99999999999999999999", "", 0),
    },
    Difference {
        name: "repeated directives",
        because: "§4.2.1: the most restrictive one; the crate takes the first",
        applies: |case| ["max-age", "s-maxage"].iter().any(|it| twice(case, it)),
        shown_by: (200, "", "cc: max-age=60, max-age=9", "", 20),
    },
    Difference {
        name: "several Expires",
        because: "§4.2.1: the earliest; the crate takes the first",
        applies: |case| case.response.matches("expires:").count() > 1,
        shown_by: (200, "", "expires: IN_A_MINUTE|expires: 0", "", 0),
    },
    Difference {
        name: "old forms of dates",
        because: "RFC 9110 §5.6.7: all three are read",
        applies: |case| says(case, "Sunday, 06-Nov-94"),
        shown_by: (200, "", "expires: Sunday, 06-Nov-94 08:50:37 GMT", "", 0),
    },
    Difference {
        name: "the heuristic's limit",
        because: "§4.2.2: at most a day here, so that what never changed is asked about daily",
        applies: |case| says(case, "last-modified: Tue, 10 May 1994"),
        shown_by: (200, "", "last-modified: Tue, 10 May 1994 08:49:37 GMT", "", 90_000),
    },
    Difference {
        name: "a Date in the future",
        because: "§4.2.2: the heuristic counts to when it came; there is no time after that yet",
        applies: |case| says(case, "date: IN_A_MINUTE") && says(case, "last-modified"),
        shown_by: (200, "", "date: IN_A_MINUTE|last-modified: HOUR_AGO", "", 363),
    },
];
