//! Tables: how old a stored response is, and how long it is worth keeping.
//!
//! Owns: the tests of §4.2.3 and of what is kept. May touch: nothing outside this room.

use super::{super::*, *};

#[test]
fn how_old_it_is() {
    // A row: the section, the response, when it was asked for and came, its age after 10 s.
    for (section, response, requested, received, expected) in [
        ("§4.2.3", "date: NOW", NOW, NOW, 10),
        ("§4.2.3", "date: NOW", NOW - 3, NOW, 13),
        ("§4.2.3", "date: NOW|age: 100", NOW - 3, NOW, 113),
        ("§4.2.3", "date: HOUR_AGO|age: 100", NOW - 3, NOW, 3610),
        ("§4.2.3", "date: HOUR_AGO|age: 5000", NOW - 3, NOW, 5013),
        ("§4.2.3", "date: IN_A_MINUTE", NOW, NOW, 10),
        ("§4.2.3", "", NOW - 3, NOW, 13),
        ("§4.2.3", "date: odd", NOW, NOW, 10),
        ("§4.2.3", "date: NOW", NOW + 9, NOW, 10),
        ("§4.2.3", "date: Thu, 01 Jan 1970 00:00:00 GMT", NOW, NOW, NOW + 10),
        ("§1.2.2", "age: 2147483648", NOW, NOW, 1 << 31),
        ("§1.2.2", "age: 99999999999999999999999999", NOW - 5, NOW, 1 << 31),
    ] {
        let text = format!("etag: \"a\"|cc: max-age=60|{response}");
        let times = Times { requested, received };
        let asked = asked("");
        let rules = Rules::default();
        let found =
            may_store(&asked, &HeaderMap::new(), StatusCode::OK, &head(&text), times, &rules);
        let age = found.expect(response).age(received + 10);
        assert_eq!(u64::from(age), expected, "{section}: {response}");
    }
}

#[test]
fn a_clock_that_goes_back() {
    let fresh = fresh("cc: max-age=60|age: 10");
    assert_eq!((fresh.age(NOW - 1000), fresh.age(0), fresh.age(u64::MAX)), (10, 10, 1 << 31));
    assert_eq!((fresh.ttl(0), fresh.ttl(NOW + 60)), (50, -10));
    let purged = fresh.staled(NOW + 5);
    assert!(!purged.is_fresh(0) && purged.ttl(0) == 0, "what is purged does not come back");
}

#[test]
fn how_much_of_its_time_is_over() {
    let used = |response: &str, passed| fresh(response).used(NOW + passed);
    let close = |found: f32, expected: f32| (found - expected).abs() < 1e-6;
    assert!(close(used("cc: max-age=100", 0), 0.0));
    assert!(close(used("cc: max-age=100", 80), 0.8));
    assert!(close(used("cc: max-age=100|age: 50", 0), 0.0));
    assert!(close(used("cc: max-age=100|age: 50", 40), 0.8));
    assert!(close(used("cc: max-age=100", 100), 1.0));
    assert!(close(used("etag: \"a\"", 0), 1.0));
}
