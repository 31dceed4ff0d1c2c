//! The PROXY protocol's header as we write it to servers
//! (haproxy.org/download/3.0/doc/proxy-protocol.txt, versions 1 and 2).
//!
//! Owns: the bytes of a header. May touch: nothing outside this room. [`super::proxy_protocol`]
//! reads those of others; [`crate::origin::dial`] sends ours.

use std::net::{IpAddr, SocketAddr};

/// Which form a server wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// What it connected to.
    pub destination: SocketAddr,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Writes a header. Without `ends` it says that the connection is for no client.
pub fn write(version: HeaderVersion, ends: Option<&Ends>) -> Vec<u8> {
    match version {
        HeaderVersion::V1 => line(ends).into_bytes(),
        HeaderVersion::V2 => binary(ends),
    }
}

/// Both addresses in one family: IPv4 only if both are.
enum Ips {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Ips {
    fn of(ends: &Ends) -> Self {
        let mapped = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        match (ends.source.ip().to_canonical(), ends.destination.ip().to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Self::V4(source.octets(), destination.octets())
            }
            (source, destination) => Self::V6(mapped(source), mapped(destination)),
        }
    }
}

/// Section 2.1.
fn line(ends: Option<&Ends>) -> String {
    let Some(ends) = ends else { return "PROXY UNKNOWN\r\n".into() };
    let (family, source, destination): (_, IpAddr, IpAddr) = match Ips::of(ends) {
        Ips::V4(source, destination) => ("TCP4", source.into(), destination.into()),
        Ips::V6(source, destination) => ("TCP6", source.into(), destination.into()),
    };
    let ports = (ends.source.port(), ends.destination.port());
    format!("PROXY {family} {source} {destination} {} {}\r\n", ports.0, ports.1)
}

/// Section 2.2.
fn binary(ends: Option<&Ends>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(ends) = ends else {
        // LOCAL, without addresses.
        header.extend_from_slice(&[0x20, 0, 0, 0]);
        return header;
    };
    match Ips::of(ends) {
        Ips::V4(source, destination) => {
            header.extend_from_slice(&[0x21, 0x11, 0, 12]);
            header.extend_from_slice(&source);
            header.extend_from_slice(&destination);
        }
        Ips::V6(source, destination) => {
            header.extend_from_slice(&[0x21, 0x21, 0, 36]);
            header.extend_from_slice(&source);
            header.extend_from_slice(&destination);
        }
    }
    header.extend_from_slice(&ends.source.port().to_be_bytes());
    header.extend_from_slice(&ends.destination.port().to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::proxy_protocol::{Announcement, Origin, length};
    use proptest::prelude::*;

    fn ends(source: &str, destination: &str) -> Ends {
        Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn lines_are_as_the_protocol_has_them() {
        let text = |ends: Option<&Ends>| line(ends);
        let four = ends("192.0.2.1:4711", "198.51.100.1:443");
        assert_eq!(text(Some(&four)), "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n");
        let mapped = ends("[::ffff:192.0.2.1]:1", "198.51.100.1:2");
        assert_eq!(text(Some(&mapped)), "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n");
        let mixed = ends("192.0.2.1:1", "[2001:db8::1]:2");
        assert_eq!(text(Some(&mixed)), "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
        assert_eq!(text(None), "PROXY UNKNOWN\r\n");
        assert_eq!(binary(None).len(), 16);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was_meant(source: SocketAddr, destination: SocketAddr) {
            let ends = Ends { source, destination };
            for version in [HeaderVersion::V1, HeaderVersion::V2] {
                let header = write(version, Some(&ends));
                prop_assert_eq!(length(&header), Ok(Some(header.len())));
                let Origin::Ip { source: read, destination: also } =
                    Announcement::parse(&header).unwrap().origin
                else { panic!("{header:?}") };
                prop_assert_eq!((read.ip(), read.port()), (source.ip().to_canonical(), source.port()));
                prop_assert_eq!(
                    (also.ip(), also.port()),
                    (destination.ip().to_canonical(), destination.port())
                );
                let nobody = write(version, None);
                prop_assert_eq!(Announcement::parse(&nobody).unwrap().origin, Origin::Itself);
            }
        }
    }
}
