//! What RFC 9111 requires, a row each, with laws and a second opinion.
//!
//! Owns: the tests of this room. May touch: nothing outside this room.

use http::{HeaderMap, HeaderName, Method, StatusCode};

use super::{Asked, Freshness, NotStored, Rules, Times, may_store};

mod ages;
mod differences;
mod differential;
mod fields;
mod laws;
mod lifetimes;

mod serving;
mod storing;
mod validating;

/// When every response of the tables comes.
const NOW: u64 = 784_111_777;
/// The same as an HTTP-date.
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
/// An hour before.
const HOUR_AGO: &str = "Sun, 06 Nov 1994 07:49:37 GMT";
/// A minute later.
const IN_A_MINUTE: &str = "Sun, 06 Nov 1994 08:50:37 GMT";

/// A head from lines of `name: value` with `|` between them. `cc` is `Cache-Control`, and `cdn` is
/// `CDN-Cache-Control`.
fn head(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in text.split('|').filter(|it| !it.trim().is_empty()) {
        let (name, value) = line.split_once(':').expect("a colon");
        let name = match name.trim() {
            "cc" => "cache-control",
            "cdn" => "cdn-cache-control",
            name => name,
        };
        let value = value.trim().replace("NOW", DATE);
        let value = value.replace("HOUR_AGO", HOUR_AGO).replace("IN_A_MINUTE", IN_A_MINUTE);
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
            value.parse().expect("a value"),
        );
    }
    headers
}

fn asked(request: &str) -> Asked {
    Asked::new(&Method::GET, &head(request), true)
}

/// What becomes of a response that comes at [`NOW`], after no time at all.
fn stored(
    request: &str,
    status: u16,
    response: &str,
    rules: &Rules,
) -> Result<Freshness, NotStored> {
    let status = StatusCode::from_u16(status).expect("a status");
    let times = Times { requested: NOW, received: NOW };
    may_store(&asked(request), &head(request), status, &head(response), times, rules)
}

/// The freshness of a 200 that must be storable.
fn fresh(response: &str) -> Freshness {
    stored("", 200, response, &Rules::default()).expect(response)
}
