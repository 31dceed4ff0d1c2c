//! Who the client is: the peer, or what a trusted proxy says of it.
//!
//! Owns: reading `X-Forwarded-For`. May touch: [`crate::cidr`]. Writing the forwarded fields is the
//! request head's ([`crate::proxy::request_head`]).

use super::request_id::X_REQUEST_ID;
use crate::{
    cidr::{AddressSet, PeerAddress},
    http1::request::RequestFields,
};
use http::{HeaderName, header};
use std::net::SocketAddr;

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Real-IP`.
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Fields of our own that the route's edits name, so that the edits decide on them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// `Forwarded`.
    pub forwarded: bool,
    /// `X-Forwarded-For`.
    pub forwarded_for: bool,
    /// `X-Forwarded-Proto`.
    pub forwarded_proto: bool,
    /// `X-Forwarded-Host`.
    pub forwarded_host: bool,
    /// `X-Real-IP`.
    pub real_ip: bool,
    /// `Via`.
    pub via: bool,
    /// `X-Request-Id`.
    pub request_id: bool,
}

impl Edited {
    /// Which of ours `names` hold.
    pub fn of<'a>(names: impl Iterator<Item = &'a HeaderName>) -> Self {
        let mut edited = Self::default();
        for name in names {
            edited.forwarded |= *name == header::FORWARDED;
            edited.forwarded_for |= *name == X_FORWARDED_FOR;
            edited.forwarded_proto |= *name == X_FORWARDED_PROTO;
            edited.forwarded_host |= *name == X_FORWARDED_HOST;
            edited.real_ip |= *name == X_REAL_IP;
            edited.via |= *name == header::VIA;
            edited.request_id |= *name == X_REQUEST_ID;
        }
        edited
    }
}

/// The client's address: seen from us, the first in `X-Forwarded-For` that is no trusted proxy; and
/// how many stand right of it. What stands left of it is the client's own claim. `peer` must be
/// trusted.
pub fn client(
    fields: &RequestFields,
    trusted: &AddressSet,
    peer: PeerAddress,
) -> (PeerAddress, usize) {
    let (mut client, mut read) = (peer, 0_usize);
    let values: Vec<_> = fields.values(&X_FORWARDED_FOR).collect();
    for value in values.into_iter().rev() {
        // Empty members do not count (RFC 9110 §5.6.1).
        let hops = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for hop in hops.filter(|hop| !hop.is_empty()) {
            let address = parse_hop(hop);
            let Some(address) = address else { return (client, read.saturating_sub(1)) };
            (client, read) = (address, read + 1);
            if !trusted.contains(address) {
                return (client, read - 1);
            }
        }
    }
    (client, read.saturating_sub(1))
}

/// Whether the client came by `https`, as `X-Forwarded-Proto` says it: in the member that was written
/// together with the client's address, which has `later` ones right of it. Where there are fewer, a
/// proxy replaces what it is told instead of adding to it, and the first is of the client.
pub fn is_https(fields: &RequestFields, later: usize) -> Option<bool> {
    let told: Vec<_> = fields.tokens(&X_FORWARDED_PROTO).collect();
    let scheme = told.iter().rev().nth(later).or(told.first())?;
    if scheme.eq_ignore_ascii_case(b"https") {
        Some(true)
    } else {
        scheme.eq_ignore_ascii_case(b"http").then_some(false)
    }
}

/// An address, which some proxies write with a port or in brackets.
fn parse_hop(hop: &[u8]) -> Option<PeerAddress> {
    let text = std::str::from_utf8(hop).ok()?;
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip().into()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn seen(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted = AddressSet { ranges: vec!["10.0.0.0/8".parse().unwrap()], unix: false };
        let peer = PeerAddress::Ip([10, 0, 0, 1].into());
        client(&RequestFields::Map(headers.into()), &trusted, peer).0.to_string()
    }

    #[test]
    fn the_first_untrusted_from_the_right_is_the_client() {
        assert_eq!(seen(&[]), "10.0.0.1");
        assert_eq!(seen(&["1.2.3.4"]), "1.2.3.4");
        assert_eq!(seen(&["6.6.6.6, 1.2.3.4, 10.9.9.9"]), "1.2.3.4");
        assert_eq!(seen(&["6.6.6.6", "1.2.3.4", "10.9.9.9"]), "1.2.3.4");
        assert_eq!(seen(&["10.2.2.2,10.9.9.9"]), "10.2.2.2");
        assert_eq!(seen(&["1.2.3.4:5678"]), "1.2.3.4");
        assert_eq!(seen(&["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(seen(&["nonsense, 10.9.9.9"]), "10.9.9.9");
        assert_eq!(seen(&["1.2.3.4,,10.9.9.9, ", ""]), "1.2.3.4");
        assert_eq!(seen(&["::ffff:1.2.3.4, ::ffff:10.9.9.9"]), "1.2.3.4");
    }
}
