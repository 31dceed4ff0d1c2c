//! `Forwarded` (RFC 7239): who a proxy's client is, in one field.
//!
//! Owns: the grammar, in both directions. May touch: [`crate::cidr`], [`crate::http1`].
//! [`super::forwarded`] decides whom to believe.
//!
//! Elements are found from the right. What a stranger has sent stands at the left, and may have a
//! quote that never ends: read from the left, it would swallow what trusted proxies wrote.

use crate::{cidr::PeerAddress, http1::request::RequestFields};
use http::header;
use std::{
    borrow::Cow,
    io::Write,
    mem::replace,
    net::{IpAddr, Ipv6Addr},
};

/// Names a Unix socket: an obfuscated identifier (§6.3), which no other proxy takes for an address.
const UNIX: &[u8] = b"_unix";

/// What one proxy says of its client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element<'a> {
    /// `for`, where it is an address.
    pub client: Option<PeerAddress>,
    /// `proto`, where it is `https` or `http`.
    pub https: Option<bool>,
    /// `host`.
    pub host: Option<Cow<'a, [u8]>>,
}

/// RFC 9110 §5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let is_in = |it: &u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(it);
    !bytes.is_empty() && bytes.iter().all(is_in)
}

/// Every element, the last one first; `None` where there is one that breaks the grammar.
pub fn elements(fields: &RequestFields) -> impl Iterator<Item = Option<Element<'_>>> {
    let values: Vec<_> = fields.values(&header::FORWARDED).collect();
    values.into_iter().rev().flat_map(split_from_right).map(parse)
}

/// The members of a list (RFC 9110 §5.6.1), the last one first. A comma within quotes is none.
pub fn split_from_right(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        loop {
            let left = rest?;
            let comma = last_comma(left);
            let member = comma.map_or(left, |at| &left[at + 1..]).trim_ascii();
            rest = comma.map(|at| &left[..at]);
            if !member.is_empty() {
                return Some(member);
            }
        }
    })
}

fn last_comma(list: &[u8]) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in list.iter().enumerate().rev() {
        match byte {
            b'"' if !quoted => quoted = true,
            b'"' => {
                // Within quotes, a backslash before a quote makes it a part of the text.
                let slashes = list[..at].iter().rev().take_while(|it| **it == b'\\').count();
                quoted = slashes % 2 == 1;
            }
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// One element (§4). Spaces around `;` are not in the grammar, but common.
pub fn parse(element: &[u8]) -> Option<Element<'_>> {
    let mut found = Element::default();
    let (mut has_for, mut has_proto, mut rest) = (false, false, element);
    loop {
        rest = rest.trim_ascii();
        if let Some(next) = rest.strip_prefix(b";") {
            rest = next;
            continue;
        }
        if rest.is_empty() {
            return Some(found);
        }
        let at = memchr::memchr(b'=', rest)?;
        let name = &rest[..at];
        if !is_token(name) {
            return None;
        }
        let (value, behind) = value(&rest[at + 1..])?;
        rest = behind.trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b";") {
            return None;
        }
        // §4: each parameter at most once.
        let twice = if name.eq_ignore_ascii_case(b"for") {
            found.client = client(&value);
            replace(&mut has_for, true)
        } else if name.eq_ignore_ascii_case(b"proto") {
            found.https = scheme(&value);
            replace(&mut has_proto, true)
        } else {
            name.eq_ignore_ascii_case(b"host") && found.host.replace(value).is_some()
        };
        if twice {
            return None;
        }
    }
}

/// A token or a quoted string, and what is behind it.
fn value(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b';' | b' ' | b'\t'));
        let (token, rest) = text.split_at(end.unwrap_or(text.len()));
        // A bare IPv6 address or a port is no token, but can't be misread.
        let is_plain = |byte: &u8| is_token(&[*byte]) || matches!(byte, b':' | b'[' | b']');
        return (!token.is_empty() && token.iter().all(is_plain)).then_some((token.into(), rest));
    };
    let mut plain = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let whole = &quoted[..at];
                let text = if plain.len() == at { whole.into() } else { Cow::Owned(plain) };
                return Some((text, &quoted[at + 1..]));
            }
            b'\\' => plain.push(*bytes.next()?.1),
            byte => plain.push(*byte),
        }
    }
    None
}

/// §6: an address, maybe with a port; not `unknown`, and not the obfuscated `_name`.
fn client(node: &[u8]) -> Option<PeerAddress> {
    let text = std::str::from_utf8(node).ok()?;
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.split_once(']')?;
        return is_port(port).then(|| inside.parse::<Ipv6Addr>().ok()).flatten().map(ip);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.into());
    }
    let (name, port) = text.split_at(text.rfind(':').unwrap_or(text.len()));
    if !is_port(port) {
        return None;
    }
    if name.as_bytes() == UNIX {
        return Some(PeerAddress::Unix);
    }
    name.parse().ok().filter(IpAddr::is_ipv4).map(PeerAddress::from)
}

fn ip(address: Ipv6Addr) -> PeerAddress {
    IpAddr::V6(address).into()
}

/// Nothing, or `:` and up to five digits or an obfuscated port.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    let obfuscated = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(obfuscated),
        None => matches!(port.len(), 1..=5) && port.bytes().all(|it| it.is_ascii_digit()),
    }
}

/// Whether a scheme is `https`; `None` for what is neither that nor `http`.
pub fn scheme(name: &[u8]) -> Option<bool> {
    if name.eq_ignore_ascii_case(b"https") {
        Some(true)
    } else {
        name.eq_ignore_ascii_case(b"http").then_some(false)
    }
}

/// Appends an element; without an address the client is `unknown`.
pub fn write(out: &mut Vec<u8>, client: Option<PeerAddress>, host: &[u8], scheme: Option<&str>) {
    // Writing to a vector can't fail.
    let _ = match client {
        Some(PeerAddress::Ip(IpAddr::V6(ip))) => write!(out, "for=\"[{ip}]\""),
        Some(PeerAddress::Ip(ip)) => write!(out, "for={ip}"),
        Some(PeerAddress::Unix) => out.write_all(b"for=_unix"),
        None => out.write_all(b"for=unknown"),
    };
    if !host.is_empty() {
        out.extend_from_slice(b";host=");
        write_value(out, host);
    }
    if let Some(scheme) = scheme {
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(scheme.as_bytes());
    }
}

fn write_value(out: &mut Vec<u8>, value: &[u8]) {
    if is_token(value) {
        return out.extend_from_slice(value);
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(element: &str) -> Option<(Option<String>, Option<bool>, Option<String>)> {
        let Element { client, https, host } = parse(element.as_bytes())?;
        let host = host.map(|it| String::from_utf8_lossy(&it).into_owned());
        Some((client.map(|it| it.to_string()), https, host))
    }

    fn client_of(element: &str) -> Option<String> {
        told(element).unwrap().0
    }

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(client_of("for=\"_gazonk\""), None);
        assert_eq!(client_of("For=\"[2001:db8:cafe::17]:4711\"").unwrap(), "2001:db8:cafe::17");
        let all = told("for=192.0.2.60;proto=http;by=203.0.113.43").unwrap();
        assert_eq!(all, (Some("192.0.2.60".into()), Some(false), None));
        let members: Vec<_> =
            split_from_right(b"for=192.0.2.43, for=\"[2001:db8:cafe::17]\",for=unknown")
                .map(|it| String::from_utf8_lossy(it).into_owned())
                .collect();
        assert_eq!(members, ["for=unknown", "for=\"[2001:db8:cafe::17]\"", "for=192.0.2.43"]);
        assert_eq!(client_of("for=_SEVKISEK"), None);
        assert_eq!(client_of("for=_hidden:_port"), None);
        assert_eq!(client_of("for=unknown"), None);
    }

    #[test]
    fn what_is_an_address_and_what_is_none() {
        for (node, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("\"192.0.2.1:80\"", "192.0.2.1"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("\"192.0.2.1:_p-1\"", "192.0.2.1"),
            ("\"[::ffff:192.0.2.1]\"", "192.0.2.1"),
            ("\"2001:db8::1\"", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("_unix", "unix:"),
            ("\"\\[2001:db8::1\\]\"", "2001:db8::1"),
        ] {
            assert_eq!(client_of(&format!("for={node}")).as_deref(), Some(client), "{node}");
        }
        for node in [
            "\"192.0.2.1:123456\"",
            "\"192.0.2.1:\"",
            "\"192.0.2.1:x\"",
            "192.0.2.256",
            "\"[192.0.2.1]\"",
            "\"[2001:db8::1\"",
            "\"[2001:db8::1]80\"",
            "\"[fe80::1%eth0]\"",
            "\"\"",
            "unix:",
            "192.0.2.1:_",
        ] {
            assert_eq!(client_of(&format!("for={node}")), None, "{node}");
        }
    }

    #[test]
    fn elements_that_break_the_grammar() {
        assert_eq!(told("; for=192.0.2.1 ; HOST=\"a:\\80\";;").unwrap().2.unwrap(), "a:80");
        for element in [
            "for",
            "for=",
            "for=1;for=2",
            "host=a;host=b",
            "proto=http;proto=https",
            "=1",
            "f r=1",
            "for =1",
            "for=a\"b\"",
            "for=\"a\"b",
            "for=\"a",
            "for=\"a\\",
            "for=a b",
            "for=a,b",
        ] {
            assert_eq!(told(element), None, "{element}");
        }
        assert_eq!(told("by=x;secret=1").unwrap(), (None, None, None));
        assert_eq!(told("proto=gopher").unwrap().1, None);
    }

    /// A member of a list, by the grammar.
    fn member() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            "[a-z0-9.]{1,9}",
            "([a-z0-9.:,; \\[\\]]|\\\\[\"\\\\a])*".prop_map(|it| format!("\"{it}\"")),
        ];
        prop::collection::vec(("[a-z]{1,5}", value), 1..4).prop_map(|pairs| {
            pairs
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(";")
        })
    }

    proptest! {
        #[test]
        fn members_are_the_same_from_the_right(members in prop::collection::vec(member(), 0..5)) {
            let list = members.join(", ");
            let mut found: Vec<_> = split_from_right(list.as_bytes()).collect();
            found.reverse();
            prop_assert_eq!(found, members.iter().map(String::as_bytes).collect::<Vec<_>>());
        }

        #[test]
        fn nothing_at_the_left_changes_what_a_proxy_has_added(
            left in prop::collection::vec(any::<u8>(), 0..30),
            odd in "[\"\\\\,;= a]{0,12}",
            added in member(),
        ) {
            let list = [&left[..], odd.as_bytes(), b", ", added.as_bytes()].concat();
            prop_assert_eq!(split_from_right(&list).next(), Some(added.as_bytes()));
        }

        #[test]
        fn what_is_written_is_read(
            ip in prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)],
            host in "[a-zA-Z0-9.:\\[\\]\"\\\\ ,;-]{1,20}",
            https: bool,
        ) {
            let mut out = Vec::new();
            let client = PeerAddress::from(ip);
            write(&mut out, Some(client), host.as_bytes(), Some(if https { "https" } else { "http" }));
            let element = Element {
                client: Some(client),
                https: Some(https),
                host: Some(host.as_bytes().into()),
            };
            prop_assert_eq!(parse(&out), Some(element));
            prop_assert_eq!(split_from_right(&out).collect::<Vec<_>>(), [&out[..]]);
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            split_from_right(&bytes).for_each(|member| drop(parse(member)));
        }
    }
}
