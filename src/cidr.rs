//! Whom a connection is from: an address, a range as `10.0.0.0/8`, a set of ranges.
//!
//! Owns: the notations and the tests. May touch: nothing outside this room.

use std::{
    fmt,
    net::{AddrParseError, IpAddr},
    str::FromStr,
};

/// A range of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether `address` lies within; an IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl Cidr {
    /// The same range by its first address.
    #[must_use]
    pub fn network(&self) -> Self {
        let network = match self.network {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        };
        Self { network, ..*self }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// Over TCP.
    Ip(IpAddr),
    /// By a Unix socket: it has no address of its own.
    Unix,
}

impl PeerAddress {
    /// What stands in place of an address for a Unix socket, as with nginx.
    pub const UNIX: &str = "unix:";
}

impl From<IpAddr> for PeerAddress {
    /// IPv4-mapped addresses are unmapped.
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip.to_canonical())
    }
}

impl FromStr for PeerAddress {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        if text == Self::UNIX { Ok(Self::Unix) } else { text.parse::<IpAddr>().map(Self::from) }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Unix => f.write_str(Self::UNIX),
        }
    }
}

/// Some addresses: ranges of them, and everything that comes by a Unix socket, which has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressSet {
    /// The ranges.
    pub ranges: Vec<Cidr>,
    /// Whether Unix sockets are in it.
    pub unix: bool,
}

impl AddressSet {
    /// Whether `address` is in it.
    pub fn contains(&self, address: PeerAddress) -> bool {
        match address {
            PeerAddress::Ip(address) => self.ranges.iter().any(|range| range.contains(address)),
            PeerAddress::Unix => self.unix,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr =
            address.parse().map_err(|_| format!("`{address}` is no IP address"))?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(prefix) => prefix
                .bytes()
                .all(|it| it.is_ascii_digit())
                .then(|| prefix.parse().ok())
                .flatten()
                .filter(|prefix| *prefix <= longest)
                .ok_or_else(|| format!("`/{prefix}` is no prefix length from 0 to {longest}"))?,
        };
        // Addresses are compared in the same form.
        Ok(match network.to_canonical() {
            mapped @ IpAddr::V4(_) if longest == 128 && prefix >= 96 => {
                Self { network: mapped, prefix: prefix - 96 }
            }
            _ => Self { network, prefix },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(range: &str, address: &str) -> bool {
        range.parse::<Cidr>().expect("range").contains(address.parse().expect("address"))
    }

    #[test]
    fn membership() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4"));
        assert!(contains("192.0.2.1", "192.0.2.1"));
        assert!(!contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(!contains("::/0", "1.2.3.4"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.1.1"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.1.1.1"));
    }

    #[test]
    fn errors() {
        assert!("10.0.0.0/33".parse::<Cidr>().is_err());
        assert!("x/8".parse::<Cidr>().is_err());
        assert!("10.0.0.0/+8".parse::<Cidr>().is_err());
    }
}
