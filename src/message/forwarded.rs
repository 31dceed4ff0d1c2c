//! Who the client is: the peer, or what a trusted proxy says of it.
//!
//! Owns: which proxies are believed, and reading `X-Forwarded-*`; [`super::rfc7239`] reads
//! `Forwarded`. May touch: [`crate::cidr`], [`crate::http1`]. [`crate::proxy::forwarded_fields`]
//! writes these fields.

use super::{
    request_id::X_REQUEST_ID,
    rfc7239::{self, scheme},
    trace_context::TRACEPARENT,
};
use crate::{
    cidr::{AddressSet, PeerAddress},
    http1::request::RequestFields,
};
use http::{HeaderName, header};
use std::{borrow::Cow, net::SocketAddr};

/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Real-IP`.
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Which of the fields that we write are named by the route's edits. For these the edits decide.
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
    /// `traceparent`.
    pub trace_parent: bool,
}

impl Edited {
    /// Which of our fields are among `names`.
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
            edited.trace_parent |= *name == TRACEPARENT;
        }
        edited
    }
}

/// Which fields the trusted proxies write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Believed {
    /// `X-Forwarded-*` if there is an `X-Forwarded-For`, otherwise `Forwarded`.
    #[default]
    Any,
    /// `X-Forwarded-*` alone.
    XForwarded,
    /// `Forwarded` alone.
    Forwarded,
}

/// Which of the forwarded fields servers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, and `X-Real-IP`.
    pub x_forwarded: bool,
    /// `Forwarded`.
    pub forwarded: ForwardedField,
    /// What the route's edits decide.
    pub edited: Edited,
}

/// What happens to `Forwarded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedField {
    /// No server gets it.
    Dropped,
    /// What a trusted proxy said passes.
    Passed,
    /// Written, after what a trusted proxy said.
    Written,
}

/// What a trusted proxy says of the client. The client is the first address from the right that is
/// not a trusted proxy. Anything left of it is only the client's claim. Scheme and host come from
/// the same place, and never from the other kind of field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToldOfClient {
    /// The client; `None` is the peer.
    pub client: Option<PeerAddress>,
    /// Whether it came by `https`, if a proxy says so.
    pub https: Option<bool>,
    /// Whether `Forwarded` says so, and not `X-Forwarded-*`.
    pub by_forwarded: bool,
    /// How many places from the right are believed: those of the trusted proxies other than the
    /// peer, and the client's.
    hops: usize,
}

impl ToldOfClient {
    /// Reads what `fields` say. They came from `peer`, a trusted proxy.
    pub fn read(
        fields: &RequestFields,
        trusted: &AddressSet,
        believed: Believed,
        peer: PeerAddress,
    ) -> Self {
        let by_x_forwarded = || {
            let (client, hops) = walk(x_forwarded_for(fields), trusted, peer);
            let https = x_member(fields, &X_FORWARDED_PROTO, hops).and_then(scheme);
            Self { client, https, by_forwarded: false, hops }
        };
        let by_forwarded = || {
            let clients = rfc7239::elements(fields).map_while(|it| it.map(|it| it.client));
            let (client, hops) = walk(clients, trusted, peer);
            let https = element(fields, hops).and_then(|it| it.https);
            Self { client, https, by_forwarded: true, hops }
        };
        match believed {
            Believed::Forwarded => by_forwarded(),
            Believed::Any
                if fields.get(&header::FORWARDED).is_some()
                    && fields.tokens(&X_FORWARDED_FOR).next().is_none() =>
            {
                by_forwarded()
            }
            Believed::Any | Believed::XForwarded => by_x_forwarded(),
        }
    }

    /// The host that the client asked for, if a proxy says it.
    pub fn host<'a>(&self, fields: &'a RequestFields) -> Option<Cow<'a, [u8]>> {
        if self.by_forwarded {
            // A quoted text may hold more than a host: accept only what may be in one.
            let is_plain = |host: &Cow<'_, [u8]>| {
                let is_plain =
                    |it: &u8| it.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+=".contains(it);
                host.iter().all(is_plain)
            };
            return element(fields, self.hops)?.host.filter(is_plain);
        }
        x_member(fields, &X_FORWARDED_HOST, self.hops).map(Cow::Borrowed)
    }

    /// The believed addresses, from the client to the proxy before the peer; `None` stands for an
    /// unknown one.
    pub fn way(&self, fields: &RequestFields) -> Vec<Option<PeerAddress>> {
        let mut way: Vec<_> = if self.by_forwarded {
            let clients = rfc7239::elements(fields).map(|it| it.and_then(|it| it.client));
            clients.take(self.hops).collect()
        } else {
            x_forwarded_for(fields).take(self.hops).collect()
        };
        way.reverse();
        way
    }
}

/// The client, and how many hops are believed. `clients` come from the right. If one is unknown,
/// the addresses before it are unknown, too.
fn walk(
    clients: impl Iterator<Item = Option<PeerAddress>>,
    trusted: &AddressSet,
    peer: PeerAddress,
) -> (Option<PeerAddress>, usize) {
    let (mut client, mut hops) = (peer, 0);
    for told in clients {
        hops += 1;
        let Some(address) = told else { break };
        client = address;
        if !trusted.contains(address) {
            break;
        }
    }
    ((client != peer).then_some(client), hops)
}

/// The members of `X-Forwarded-For`, from the right; `None` for one that is no address.
fn x_forwarded_for(fields: &RequestFields) -> impl Iterator<Item = Option<PeerAddress>> {
    let values: Vec<_> = fields.values(&X_FORWARDED_FOR).collect();
    values.into_iter().rev().flat_map(|value| {
        // Empty members do not count (RFC 9110 §5.6.1).
        let hops = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        hops.filter(|hop| !hop.is_empty()).map(parse_hop)
    })
}

/// The member that was written together with the client's address, which is the one at `hops` from
/// the right. If there are fewer members, a proxy replaces the field instead of adding to it, and
/// the first member is the client's.
fn x_member<'a>(fields: &'a RequestFields, name: &HeaderName, hops: usize) -> Option<&'a [u8]> {
    let told: Vec<_> = fields.tokens(name).collect();
    told.iter().rev().nth(hops.saturating_sub(1)).or(told.first()).copied()
}

/// The element at `hops` from the right.
fn element(fields: &RequestFields, hops: usize) -> Option<rfc7239::Element<'_>> {
    rfc7239::elements(fields).nth(hops.checked_sub(1)?).flatten()
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
        let told =
            ToldOfClient::read(&RequestFields::Map(headers.into()), &trusted, Believed::Any, peer);
        told.client.unwrap_or(peer).to_string()
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
