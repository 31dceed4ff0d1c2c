//! Whatever `X-Forwarded-For` and `Forwarded` say: no panic, the same client whatever a stranger put in
//! front, and elements that are written as they are read.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use sheave::cidr::{AddressSet, PeerAddress};
use sheave::http1::request::RequestFields;
use sheave::message::forwarded::{Believed, ToldOfClient, X_FORWARDED_FOR};
use sheave::message::rfc7239;

fn fields(all: &[(bool, Vec<u8>)], added: Option<&str>) -> RequestFields {
    let mut headers = HeaderMap::new();
    for (forwarded, value) in all {
        let name = if *forwarded { header::FORWARDED } else { X_FORWARDED_FOR };
        let added = added.filter(|_| *forwarded).unwrap_or_default();
        if let Ok(value) = HeaderValue::from_bytes(&[value, added.as_bytes()].concat()) {
            headers.append(name, value);
        }
    }
    RequestFields::Map(headers.into())
}

fuzz_target!(|all: Vec<(bool, Vec<u8>)>| {
    let ranges = ["10.0.0.0/8", "fd00::/8"].map(|it| it.parse().expect("a range"));
    let trusted = AddressSet { ranges: ranges.into(), unix: false };
    let peer = PeerAddress::Ip([10, 0, 0, 1].into());
    for believed in [Believed::Any, Believed::XForwarded, Believed::Forwarded] {
        let fields = fields(&all, None);
        let told = ToldOfClient::read(&fields, &trusted, believed, peer);
        // Only somebody who was named can be the client.
        let named = told.way(&fields);
        assert!(told.client.is_none_or(|client| named.contains(&Some(client))));
        if let Some(host) = told.host(&fields) {
            assert!(HeaderValue::from_bytes(&host).is_ok());
        }
        let mut written = Vec::new();
        for hop in named {
            if !written.is_empty() {
                written.extend_from_slice(b", ");
            }
            rfc7239::write(&mut written, hop, b"a:1", Some("https"));
        }
        assert!(rfc7239::split_from_right(&written).all(|it| rfc7239::parse(it).is_some()));
    }
    // A trusted proxy adds an element to each line: that is what counts.
    if all.iter().any(|(forwarded, _)| *forwarded) {
        let fields = fields(&all, Some(", for=192.0.2.1;proto=https"));
        if fields.get(&header::FORWARDED).is_some() {
            let told = ToldOfClient::read(&fields, &trusted, Believed::Forwarded, peer);
            assert_eq!(told.client, Some(PeerAddress::Ip([192, 0, 2, 1].into())));
            assert_eq!(told.https, Some(true));
        }
    }
});
