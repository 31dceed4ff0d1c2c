//! Who a client's certificate is for, as text.
//!
//! Owns: the text forms of names. They are escaped, so that no name can look like another: a comma
//! within a name does not make two of it. Made once per connection with a client certificate.

use aws_lc_rs::digest::{SHA256, digest};
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};
use x509_parser::{
    asn1_rs::{Any, Tag},
    extensions::GeneralName,
    prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name},
};

/// A verified client certificate, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// RFC 4514: `CN=ann,O=Example`.
    pub subject: String,
    /// Its issuer, the same way.
    pub issuer: String,
    /// In upper-case hex.
    pub serial: String,
    /// SHA-256 of the certificate, in lower-case hex.
    pub fingerprint: String,
    /// `DNS:a.example,URI:spiffe://…`.
    pub alternative: String,
    /// The last second in which it holds, since 1970.
    pub ends: i64,
}

impl Identity {
    /// Reads a certificate; `None` if it can't be read whole.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut serial = certificate.raw_serial();
        // A positive number begins with a zero if its first bit is set.
        while let [0, rest @ ..] = serial
            && !rest.is_empty()
        {
            serial = rest;
        }
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map(|it| it.value.general_names.as_slice()).unwrap_or_default();
        let names: Vec<_> = names.iter().filter_map(alternative).collect();
        Some(Self {
            subject: distinguished(certificate.subject()),
            issuer: distinguished(certificate.issuer()),
            serial: hex(serial).to_ascii_uppercase(),
            fingerprint: hex(digest(&SHA256, der).as_ref()),
            alternative: names.join(","),
            ends: certificate.validity().not_after.timestamp(),
        })
    }
}

/// RFC 4514: the most specific part first, parts of one level joined by `+`.
fn distinguished(name: &X509Name<'_>) -> String {
    let levels: Vec<_> = name.iter_rdn().collect();
    let level = |parts: Vec<String>| parts.join("+");
    let levels = levels.iter().rev().map(|it| level(it.iter().map(part).collect()));
    levels.collect::<Vec<_>>().join(",")
}

fn part(part: &AttributeTypeAndValue<'_>) -> String {
    let oid = part.attr_type().to_id_string();
    let short = match oid.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        // What has no short name is written as bytes (RFC 4514 §2.4).
        _ => return format!("{oid}={}", bytes(part.attr_value())),
    };
    match text(part.attr_value()) {
        Some(text) => format!("{short}={}", escaped(&text)),
        None => format!("{short}={}", bytes(part.attr_value())),
    }
}

fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        Tag::BmpString => {
            let (units, rest) = value.data.as_chunks::<2>();
            let units = units.iter().map(|pair| u16::from_be_bytes(*pair));
            let text = char::decode_utf16(units).collect::<Result<String, _>>().ok()?;
            rest.is_empty().then_some(text)
        }
        _ => None,
    }
}

/// `#` and the value's DER in hex.
fn bytes(value: &Any<'_>) -> String {
    let length = value.data.len();
    let mut der = vec![value.tag().0 as u8];
    match u8::try_from(length) {
        Ok(short @ 0..0x80) => der.push(short),
        Ok(long) => der.extend([0x81, long]),
        Err(_) => {
            der.push(0x82);
            der.extend((length as u16).to_be_bytes());
        }
    }
    der.extend_from_slice(value.data);
    format!("#{}", hex(&der))
}

/// RFC 4514 §2.4; control characters, which a header can't hold, in hex.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.len().saturating_sub(1);
    for (at, character) in value.char_indices() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            _ if character.is_control() => {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            _ => text.push(character),
        }
    }
    text
}

/// An alternative name with its kind. Rare kinds are left out.
fn alternative(name: &GeneralName<'_>) -> Option<String> {
    Some(match name {
        GeneralName::DNSName(name) => format!("DNS:{}", escaped(name)),
        GeneralName::RFC822Name(name) => format!("email:{}", escaped(name)),
        GeneralName::URI(name) => format!("URI:{}", escaped(name)),
        GeneralName::IPAddress(octets) => format!("IP:{}", address(octets)?),
        _ => return None,
    })
}

/// An address out of a certificate.
pub fn address(octets: &[u8]) -> Option<String> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|it| Ipv4Addr::from(it).to_string()),
        16 => <[u8; 16]>::try_from(octets).ok().map(|it| Ipv6Addr::from(it).to_string()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber};

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut wanted = CertificateParams::new(Vec::new()).unwrap();
        wanted.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut wanted);
        wanted.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_are_written_as_rfc_4514_says() {
        let der = certificate(|it| {
            let name = &mut it.distinguished_name;
            name.push(DnType::CountryName, "DE");
            name.push(DnType::OrganizationName, "Sue, Grabbit+Runn");
            name.push(
                DnType::OrganizationalUnitName,
                DnValue::BmpString("Büro".try_into().unwrap()),
            );
            name.push(
                DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1]),
                DnValue::Utf8String("x".into()),
            );
            name.push(DnType::CommonName, " #ann\n\\ ");
            it.serial_number = Some(SerialNumber::from(vec![0xab, 0x0c, 1]));
            it.subject_alt_names = vec![
                SanType::DnsName("a.example".try_into().unwrap()),
                SanType::URI("spiffe://x/a,DNS:b".try_into().unwrap()),
                SanType::IpAddress([10, 0, 0, 1].into()),
                SanType::Rfc822Name("ann@a.example".try_into().unwrap()),
            ];
        });
        let identity = Identity::read(&der).unwrap();
        assert_eq!(
            identity.subject,
            "CN=\\ #ann\\0A\\\\\\ ,1.3.6.1.4.1=#0c0178,OU=Büro,O=Sue\\, Grabbit\\+Runn,C=DE"
        );
        assert_eq!(identity.issuer, identity.subject);
        assert_eq!(identity.serial, "AB0C01");
        assert_eq!(
            identity.alternative,
            "DNS:a.example,URI:spiffe://x/a\\,DNS:b,IP:10.0.0.1,email:ann@a.example"
        );
        assert_eq!(identity.fingerprint.len(), 64);
        assert!(identity.ends > 0);
        assert_eq!(Identity::read(&certificate(|_| {})).unwrap().subject, "");
        assert_eq!(Identity::read(&der[..der.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn a_name_never_reads_as_two(value in "\\PC{0,12}[,+\\\\\"]\\PC{0,12}") {
            let text = escaped(&value);
            let mut bare = text.clone();
            while let Some(at) = bare.find('\\') {
                bare.replace_range(at..at + 1 + bare[at + 1..].chars().next().unwrap().len_utf8(), "");
            }
            prop_assert!(!bare.contains([',', '+', '"', ';']), "{text}");
        }

        #[test]
        fn any_bytes_are_read_or_not(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Identity::read(&bytes);
        }
    }
}
