//! The PROXY protocol's header: the client of a connection, as a balancer in front of us names it
//! (haproxy.org/download/3.0/doc/proxy-protocol.txt, versions 1 and 2).
//!
//! Owns: where the header ends, and what it says. May touch: nothing outside this room. Read from
//! the socket by [`crate::client::announcement`].

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Version 1 begins with this word, version 2 with [`SIGNATURE`].
const WORD: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2's fixed part: the signature, version and command, family and transport, the length.
const FIXED: usize = 16;

/// Version 1's longest line, with its end.
const LINE: usize = 107;

/// The TLV with the header's checksum.
const CRC32C: u8 = 0x03;

/// Who made a connection, by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The header names no client: the balancer made the connection for itself, or does not know
    /// the client. The real addresses count.
    Itself,
    /// A client over TCP or UDP.
    Ip {
        /// Its address.
        source: SocketAddr,
        /// The address that it connected to.
        destination: SocketAddr,
    },
    /// A client of a Unix socket.
    Unix,
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Who made the connection.
    pub origin: Origin,
    /// What else version 2 says of the connection: type, length and value, as received.
    tlvs: Box<[u8]>,
}

/// Why there is no announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// The connection does not begin with a header.
    Missing,
    /// The connection begins with a header, but with a wrong one.
    Broken(&'static str),
}

/// How many of a connection's first bytes belong to the header; `None` if the header is longer than
/// these bytes. So no byte after the header needs to be taken from the socket.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, HeaderFault> {
    let begins = |with: &[u8]| {
        let seen = bytes.len().min(with.len());
        bytes[..seen] == with[..seen]
    };
    if begins(WORD) {
        let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE)]);
        return match end {
            Some(end) => Ok(Some(end + 1)),
            None if bytes.len() < LINE => Ok(None),
            None => Err(HeaderFault::Broken("the line does not end within 107 bytes")),
        };
    }
    if begins(SIGNATURE) {
        let Some(&[.., high, low]) = bytes.first_chunk::<FIXED>() else { return Ok(None) };
        let whole = FIXED + usize::from(u16::from_be_bytes([high, low]));
        return Ok((bytes.len() >= whole).then_some(whole));
    }
    Err(HeaderFault::Missing)
}

impl Announcement {
    /// Reads a whole header, with nothing after it.
    pub fn parse(header: &[u8]) -> Result<Self, HeaderFault> {
        if header.starts_with(SIGNATURE) { version2(header) } else { version1(header) }
    }

    /// The value of the first TLV of this type.
    pub fn tlv(&self, kind: u8) -> Option<&[u8]> {
        tlvs(&self.tlvs).find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The same for a TLV within another one, such as those about TLS. The other TLV's value begins
    /// with `skip` bytes that are no TLVs.
    pub fn tlv_within(&self, outer: u8, skip: usize, kind: u8) -> Option<&[u8]> {
        let within = self.tlv(outer)?.get(skip..)?;
        tlvs(within).find_map(|(found, value)| (found == kind).then_some(value))
    }
}

/// Section 2.1: one line of text.
fn version1(header: &[u8]) -> Result<Announcement, HeaderFault> {
    let broken = |what| Err(HeaderFault::Broken(what));
    let line = header.strip_prefix(WORD).ok_or(HeaderFault::Missing)?;
    let Some(line) = line.strip_suffix(b"\r\n") else { return broken("the line ends without CR") };
    let Ok(line) = std::str::from_utf8(line) else { return broken("the line is no text") };
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // The rest of such a line means nothing.
        return Ok(Announcement { origin: Origin::Itself, tlvs: Box::default() });
    }
    let [Some(source), Some(destination), Some(source_port), Some(destination_port), None] =
        [words.next(), words.next(), words.next(), words.next(), words.next()]
    else {
        return broken("the line does not have two addresses and two ports");
    };
    let addresses = match family {
        "TCP4" => ips::<Ipv4Addr>(source, destination),
        "TCP6" => ips::<Ipv6Addr>(source, destination),
        _ => return broken("the family is not TCP4, TCP6 or UNKNOWN"),
    };
    let Some((source, destination)) = addresses else {
        return broken("an address is none of its family");
    };
    let (Some(source_port), Some(destination_port)) = (port(source_port), port(destination_port))
    else {
        return broken("a port is no number from 0 to 65535");
    };
    let origin = Origin::Ip {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    };
    Ok(Announcement { origin, tlvs: Box::default() })
}

fn ips<T: FromStr + Into<IpAddr>>(source: &str, destination: &str) -> Option<(IpAddr, IpAddr)> {
    let ip = |text: &str| Some(text.parse::<T>().ok()?.into().to_canonical());
    Some((ip(source)?, ip(destination)?))
}

/// Only digits, without leading zeros.
fn port(text: &str) -> Option<u16> {
    let is_plain =
        text.bytes().all(|it| it.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// Section 2.2: binary.
fn version2(header: &[u8]) -> Result<Announcement, HeaderFault> {
    let broken = |what| Err(HeaderFault::Broken(what));
    let Some((fixed, rest)) = header.split_first_chunk::<FIXED>() else {
        return broken("the header is cut off");
    };
    let [.., command, kind, _, _] = *fixed;
    if command >> 4 != 2 {
        return broken("the version is not 2");
    }
    let (family, transport) = (kind >> 4, kind & 0xf);
    let (origin, rest) = match (command & 0xf, family, transport) {
        // LOCAL: the addresses must not be used, whatever their family is. Their length is known.
        (0, family, _) => {
            (Origin::Itself, rest.get(addresses_length(family)..).unwrap_or_default())
        }
        (1, 0, _) | (1, _, 0) => {
            (Origin::Itself, rest.get(addresses_length(family)..).unwrap_or_default())
        }
        (1, 1..=3, 1..=2) => {
            let Some((addresses, rest)) = rest.split_at_checked(addresses_length(family)) else {
                return broken("the header is too short for its addresses");
            };
            (origin(addresses), rest)
        }
        (1, ..) => return broken("the family or the transport is unknown"),
        _ => return broken("the command is unknown"),
    };
    if !is_list(rest) {
        return broken("the TLVs do not fill the header");
    }
    let announcement = Announcement { origin, tlvs: rest.into() };
    if let Some(told) = announcement.tlv(CRC32C)
        && *told != checksum(header, rest).to_be_bytes()
    {
        return broken("the checksum is wrong");
    }
    Ok(announcement)
}

/// How many bytes both addresses and their ports take.
fn addresses_length(family: u8) -> usize {
    match family {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    }
}

/// The addresses in these bytes. Their number tells the family.
fn origin(bytes: &[u8]) -> Origin {
    let port = |bytes: &[u8]| bytes.first_chunk().map_or(0, |it| u16::from_be_bytes(*it));
    let ip = |bytes: &[u8]| match bytes.first_chunk::<16>() {
        Some(bytes) => IpAddr::V6((*bytes).into()).to_canonical(),
        None => {
            bytes.first_chunk::<4>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |it| (*it).into())
        }
    };
    let size = match bytes.len() {
        12 => 4,
        36 => 16,
        _ => return Origin::Unix,
    };
    let (addresses, ports) = bytes.split_at(2 * size);
    let (source, destination) = addresses.split_at(size);
    Origin::Ip {
        source: SocketAddr::new(ip(source), port(ports)),
        destination: SocketAddr::new(ip(destination), port(&ports[2..])),
    }
}

/// Each type and value, as long as they are complete.
fn tlvs(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[kind, high, low], values) = rest.split_first_chunk()?;
        let (value, others) =
            values.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        rest = others;
        Some((kind, value))
    })
}

/// Whether the bytes are complete TLVs and nothing else.
fn is_list(bytes: &[u8]) -> bool {
    tlvs(bytes).map(|(_, value)| 3 + value.len()).sum::<usize>() == bytes.len()
}

/// CRC-32C of the header, in which the checksum itself counts as zeros. `tlvs` is the end of it.
fn checksum(header: &[u8], rest: &[u8]) -> u32 {
    let mut at = header.len() - rest.len();
    let mut zeros = 0..0;
    for (kind, value) in tlvs(rest) {
        at += 3 + value.len();
        if kind == CRC32C {
            zeros = at - value.len()..at;
            break;
        }
    }
    let crc = header.iter().enumerate().fold(u32::MAX, |crc, (at, byte)| {
        let byte = if zeros.contains(&at) { 0 } else { *byte };
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            // Castagnoli's polynomial, its bits reversed.
            if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 }
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proxy_header::{ParseConfig, ProxiedAddress, ProxyHeader, Tlv};

    fn read(bytes: &[u8]) -> Result<Announcement, HeaderFault> {
        let length = length(bytes)?.ok_or(HeaderFault::Broken("cut off"))?;
        Announcement::parse(&bytes[..length])
    }

    fn broken(bytes: &[u8]) -> bool {
        matches!(read(bytes), Err(HeaderFault::Broken(_)))
    }

    fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, kind], &length, rest].concat()
    }

    fn from(source: &str, destination: &str) -> Origin {
        Origin::Ip { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn lines_of_version_1() {
        let origin = |line: &[u8]| read(line).map(|it| it.origin);
        let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(length(line), Ok(Some(44)));
        assert_eq!(origin(line), Ok(from("192.0.2.1:4711", "198.51.100.1:443")));
        let line = b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.9 0 65535\r\n";
        assert_eq!(origin(line), Ok(from("[2001:db8::1]:0", "192.0.2.9:65535")));
        assert_eq!(origin(b"PROXY UNKNOWN\r\n"), Ok(Origin::Itself));
        assert_eq!(origin(b"PROXY UNKNOWN what ever 1 2\r\n"), Ok(Origin::Itself));
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 4711 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +80 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 080 443\r\n",
            "PROXY TCP4 2001:db8::1 198.51.100.1 1 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 1 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
            "PROXY \r\n",
        ] {
            assert!(broken(line.as_bytes()), "{line}");
        }
        assert_eq!(length(b"PROXY TCP4 192.0.2.1"), Ok(None));
        assert!(length(&[b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r\n"].concat()).is_ok());
        assert!(length(&[b"PROXY UNKNOWN ", &[b'x'; 93][..]].concat()).is_err());
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"PROXYTCP4", b"\r\nGET", b"\x16\x03\x01", b"PO"]
        {
            assert_eq!(length(other), Err(HeaderFault::Missing));
        }
    }

    #[test]
    fn headers_of_version_2() {
        let origin = |bytes: &[u8]| read(bytes).map(|it| it.origin);
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 1, 187];
        let told = from("192.0.2.1:4711", "198.51.100.1:443");
        assert_eq!(origin(&binary(0x21, 0x11, &v4)), Ok(told));
        assert_eq!(origin(&binary(0x21, 0x12, &v4)), Ok(told));
        assert_eq!(origin(&binary(0x20, 0x11, &v4)), Ok(Origin::Itself));
        assert_eq!(origin(&binary(0x20, 0, b"")), Ok(Origin::Itself));
        assert_eq!(origin(&binary(0x21, 0, b"")), Ok(Origin::Itself));
        assert_eq!(origin(&binary(0x21, 0x31, &[0; 216])), Ok(Origin::Unix));
        assert!(broken(&binary(0x21, 0x11, &v4[..11])));
        assert!(broken(&binary(0x21, 0x41, &v4)));
        assert!(broken(&binary(0x21, 0x13, &v4)));
        assert!(broken(&binary(0x22, 0x11, &v4)));
        assert!(broken(&binary(0x11, 0x11, &v4)));
        assert!(broken(&binary(0x21, 0x11, &[&v4[..], &[2, 0, 5, b'x']].concat())));
    }

    #[test]
    fn tlvs_are_found_and_the_checksum_is_checked() {
        let tls = [&[0x20, 0, 12, 1, 0, 0, 0, 0, 0x22, 0, 4][..], b"site"].concat();
        let rest =
            [&[2, 0, 9][..], b"localhost", &[0xEA, 0, 1, 7, 3, 0, 4, 0, 0, 0, 0], &tls].concat();
        let mut header = binary(0x20, 0, &rest);
        assert_eq!(read(&header), Err(HeaderFault::Broken("the checksum is wrong")));
        let crc = checksum(&header, &rest).to_be_bytes();
        header[FIXED + 19..FIXED + 23].copy_from_slice(&crc);
        let announced = read(&header).unwrap();
        assert_eq!(announced.tlv(2), Some(&b"localhost"[..]));
        assert_eq!(announced.tlv(0xEA), Some(&[7][..]));
        assert_eq!(announced.tlv(5), None);
        assert_eq!(announced.tlv_within(0x20, 5, 0x22), Some(&b"site"[..]));
        assert_eq!(announced.tlv_within(0xEA, 5, 0x22), None);
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(checksum(b"123456789", b""), 0xE306_9283);
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm_and_what_is_cut_off_is_waited_for(
            start in prop::sample::select(vec![&b""[..], WORD, SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0"]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, &rest].concat();
            if let Ok(Some(whole)) = length(&bytes) {
                prop_assert!(whole <= bytes.len());
                let _ = Announcement::parse(&bytes[..whole]);
                for cut in 0..whole {
                    prop_assert_eq!(length(&bytes[..cut]), Ok(None));
                }
            }
        }

        #[test]
        fn what_another_library_writes_is_read(
            ends in prop::sample::select(vec![
                ("192.0.2.1:4711", "198.51.100.1:443"),
                ("[2001:db8::1]:1", "[2001:db8::2]:65535"),
            ]),
            host in "[a-z.]{0,40}",
            id in prop::collection::vec(any::<u8>(), 0..128),
            behind in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let (source, destination) = (ends.0.parse().unwrap(), ends.1.parse().unwrap());
            let addresses = ProxiedAddress::stream(source, destination);
            let told = Origin::Ip { source, destination };
            let mut bytes = Vec::new();
            ProxyHeader::with_address(addresses.clone()).encode_v1(&mut bytes).unwrap();
            prop_assert_eq!(read(&bytes).unwrap().origin, told);
            bytes.clear();
            let tlvs = [Tlv::Authority(host.as_str().into()), Tlv::UniqueId(id.as_slice().into())];
            ProxyHeader::with_tlvs(Some(addresses), tlvs).encode_v2(&mut bytes).unwrap();
            let whole = bytes.len();
            bytes.extend(behind);
            prop_assert_eq!(length(&bytes), Ok(Some(whole)));
            let announced = read(&bytes).unwrap();
            prop_assert_eq!(announced.origin, told);
            prop_assert_eq!(announced.tlv(2), Some(host.as_bytes()));
            prop_assert_eq!(announced.tlv(5), Some(&id[..]));
        }

        #[test]
        fn what_we_read_another_library_reads_alike(
            kind in prop::sample::select(vec![0x00u8, 0x11, 0x12, 0x21, 0x22, 0x31]),
            command in prop::sample::select(vec![0x20u8, 0x21]),
            rest in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let bytes = binary(command, kind, &rest);
            let Ok(ours) = read(&bytes) else { return Ok(()) };
            // That parser refuses LOCAL with half an address, which the protocol says to skip.
            let Ok((theirs, whole)) = ProxyHeader::parse(&bytes, ParseConfig::default()) else {
                prop_assert_eq!(ours.origin, Origin::Itself);
                return Ok(());
            };
            prop_assert_eq!(whole, bytes.len());
            let address = theirs.proxied_address();
            match ours.origin {
                Origin::Ip { source, destination } => {
                    let address = address.unwrap();
                    prop_assert_eq!(source.ip(), address.source.ip().to_canonical());
                    prop_assert_eq!(source.port(), address.source.port());
                    prop_assert_eq!(destination.port(), address.destination.port());
                }
                Origin::Itself | Origin::Unix => prop_assert!(address.is_none()),
            }
        }
    }
}
