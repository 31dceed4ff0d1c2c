//! Whatever `X-Forwarded-For` says: no panic, and a client that some trusted hop named.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use sheave::cidr::{AddressSet, PeerAddress};
use sheave::http1::request::RequestFields;
use sheave::message::forwarded::{X_FORWARDED_FOR, client};

fuzz_target!(|fields: Vec<Vec<u8>>| {
    let ranges = ["10.0.0.0/8", "fd00::/8"].map(|it| it.parse().expect("a range"));
    let trusted = AddressSet { ranges: ranges.into(), unix: false };
    let peer = PeerAddress::Ip([10, 0, 0, 1].into());
    let mut headers = HeaderMap::new();
    for field in fields {
        if let Ok(value) = HeaderValue::from_bytes(&field) {
            headers.append(X_FORWARDED_FOR, value);
        }
    }
    let there_are_some = !headers.is_empty();
    let fields = RequestFields::Map(headers.into());
    let (found, _) = client(&fields, &trusted, peer);
    // Nothing was said, or something was: the peer itself only where it is the best guess.
    assert!(found == peer || there_are_some);
    let _ = trusted.contains(found);
});
