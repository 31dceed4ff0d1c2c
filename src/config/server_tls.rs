//! `tls = { … }` of an upstream or a server: TLS to servers.
//!
//! Owns: the keys, and whether the files can be used. May touch: the file system.

use super::{
    Certificate,
    certificate::{self, lifetime, parse, read_chain},
    private_key::{self, KeyFault},
    table::Table,
    tree::{TextValue, ValueKind},
};
use rustls::pki_types::ServerName;
use std::path::{Path, PathBuf};
use x509_parser::time::ASN1Time;

/// `tls` of an upstream or a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerTls {
    /// `ca`: PEM of the authorities that are trusted, default the system's.
    pub ca: Option<PathBuf>,
    /// `name`: what the server's certificate must be for, and what is sent as SNI; default the host
    /// in its address.
    pub name: Option<String>,
    /// `insecure`: any certificate is accepted, default false.
    pub insecure: bool,
    /// `certificate` and `key`: what we show to servers that ask for it, default nothing.
    pub own: Option<Certificate>,
    /// `pin`: SHA-256 of the accepted public keys, default any.
    pub pins: Vec<[u8; 32]>,
}

impl ServerTls {
    /// Reads `tls` of an upstream or a server.
    pub(super) fn read(table: &Table<'_>) -> Self {
        let ca = table.text("ca");
        let insecure = table.boolean("insecure", false);
        let pins = read_pins(table);
        if let Some(text) = ca.filter(|_| insecure) {
            let hint = Some("leave one of the two out: `insecure` looks at no authority".into());
            table.error(text.span.clone(), "`ca` beside `insecure = true`", hint);
        } else if insecure && pins.is_empty() {
            let hint = "write `ca = \"FILE\"` with the authority that signed it, or a `pin`";
            let message = "servers are not verified: anybody on the way to them can pose as one";
            table.warning(table.key_span("insecure"), message, Some(hint.into()));
        }
        Self {
            ca: ca.map(|text| {
                let path = table.path_in(text);
                check_authorities(table, text, &path);
                path
            }),
            name: read_name(table),
            insecure,
            own: read_own(table),
            pins,
        }
    }

    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.ca.iter().chain(self.own.iter().flat_map(|own| [&own.cert, &own.key]))
    }
}

/// Whether a certificate can be for this name.
pub(super) fn is_verifiable(name: &str) -> bool {
    ServerName::try_from(name).is_ok()
}

fn read_name(table: &Table<'_>) -> Option<String> {
    let text = table.text("name")?;
    let name = text.value.trim_start_matches('[').trim_end_matches(']');
    if !is_verifiable(name) {
        let hint = Some("write a name or an IP address, as `\"app.internal\"`".into());
        table.error(text.span.clone(), format!("`{name}` is not a name of a server"), hint);
        return None;
    }
    Some(name.to_owned())
}

fn report(table: &Table<'_>, text: &TextValue, (message, hint): KeyFault) {
    if !text.value.is_empty() {
        table.error(text.span.clone(), message, Some(hint));
    }
}

fn check_authorities(table: &Table<'_>, text: &TextValue, path: &Path) {
    let chain = match read_chain(path) {
        Ok(chain) => chain,
        Err((message, hint)) => {
            return report(table, text, (message, hint.replace(", leaf first", "")));
        }
    };
    let Err((message, _)) = parse(path, &chain) else { return };
    report(table, text, (message, "copy it again, as a whole".into()));
}

/// `certificate` and `key`, which go together.
fn read_own(table: &Table<'_>) -> Option<Certificate> {
    let (chain, key) = match (table.text("certificate"), table.text("key")) {
        (Some(chain), Some(key)) => (chain, key),
        (None, None) => return None,
        (chain, _) => {
            let (has, lacks) =
                if chain.is_some() { ("certificate", "key") } else { ("key", "certificate") };
            // One of another type was reported.
            if !table.has(lacks) {
                let hint = Some(format!("add `{lacks} = \"FILE\"`"));
                table.error(table.key_span(has), format!("`{has}` without `{lacks}`"), hint);
            }
            return None;
        }
    };
    let own = Certificate { cert: table.path_in(chain), key: table.path_in(key), ocsp: None };
    check_own(table, &own, (chain, key));
    Some(own)
}

fn check_own(table: &Table<'_>, own: &Certificate, (chain, key): (&TextValue, &TextValue)) {
    let certificates = read_chain(&own.cert).map_err(|fault| report(table, chain, fault));
    let private = private_key::read(&own.key).map_err(|fault| report(table, key, fault));
    let Ok(certificates) = certificates else { return };
    let parsed = match parse(&own.cert, &certificates) {
        Ok(parsed) => parsed,
        Err(fault) => return report(table, chain, for_servers(fault)),
    };
    if let Ok(private) = private
        && let Err((place, fault)) = certificate::pair(own, &certificates, &private)
    {
        return report(table, if place == "key" { key } else { chain }, fault);
    }
    let (name, now) = (format!("`{}`", own.cert.display()), ASN1Time::now().timestamp());
    if let Some((message, hint)) =
        parsed.first().and_then(|leaf| lifetime(&name, leaf, now)).map(for_servers)
    {
        table.warning(chain.span.clone(), message, Some(hint));
    }
}

/// It is they who look at our certificate.
fn for_servers((message, hint): KeyFault) -> KeyFault {
    (message, hint.replace("clients", "servers"))
}

/// One hash, or a list of them.
fn read_pins(table: &Table<'_>) -> Vec<[u8; 32]> {
    let Some(value) = table.value("pin") else { return Vec::new() };
    let values = match &value.kind {
        ValueKind::Array(values) => values.as_slice(),
        _ => std::slice::from_ref(value),
    };
    if values.is_empty() {
        let hint = Some("leave `pin` out to take any key".into());
        table.error(value.span.clone(), "no key is pinned", hint);
    }
    let mut pins = Vec::new();
    for value in values {
        let Some(text) = value.as_text() else {
            table.not_a_string("pin", value, "a string or an array of strings");
            continue;
        };
        let Some(pin) = hash(&text.value) else {
            let hint = "it is the SHA-256 of a public key in base64, 44 characters; \
                        docs/servers.md has the command";
            let message = format!("`{}` is no hash of a key", text.value);
            table.error(text.span.clone(), message, Some(hint.into()));
            continue;
        };
        pins.push(pin);
    }
    pins
}

/// The 32 bytes that are written in base64 (RFC 4648 §4); `sha256//` may stand before them, as in
/// curl.
fn hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256//").unwrap_or(text).strip_suffix('=')?;
    let (mut hash, mut bits, mut filled) = (Vec::with_capacity(32), 0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        filled += 6;
        if filled >= 8 {
            filled -= 8;
            hash.push((bits >> filled) as u8);
        }
    }
    // The unused bits of the last digit are padding.
    if bits & ((1 << filled) - 1) != 0 {
        return None;
    }
    hash.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_32_bytes_in_base64() {
        let empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let bytes = hash(empty).expect("the hash of nothing");
        assert_eq!((bytes[0], bytes[1], bytes[31]), (0xe3, 0xb0, 0x55));
        assert_eq!(hash(&format!("sha256//{empty}")), Some(bytes));
        for wrong in
            ["", "=", "abc=", &empty[1..], &empty[..43], "e3b0c44298fc1c149afbf4c8996fb924="]
        {
            assert_eq!(hash(wrong), None, "{wrong}");
        }
    }
}
