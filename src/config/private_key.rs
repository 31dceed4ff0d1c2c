//! Whether a file has a private key that can sign; if not, what it has instead.
//!
//! Owns: the messages about files without such a key. May touch: the file system. Called by
//! [`super::certificate`].

use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{
        PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use std::{fs, path::Path};

/// What is wrong, and what to do.
pub(super) type KeyFault = (String, String);

/// Reads the first key of a file.
pub(super) fn read(file: &Path) -> Result<PrivateKeyDer<'static>, KeyFault> {
    let name = file.display().to_string();
    let text = fs::read(file).map_err(|cause| unreadable(&name, &pem::Error::Io(cause)))?;
    let key = PrivateKeyDer::from_pem_slice(&text);
    if let Some((what, hint)) = foreign(&text, key.is_err()) {
        return Err((format!("`{name}` {what}"), hint.into()));
    }
    let key = key.map_err(|fault| unreadable(&name, &fault))?;
    if is_cut_off(key.secret_der()) {
        let what = format!("`{name}` is cut off: the key in it is longer than what is there");
        return Err((what, "copy the file again, as a whole".into()));
    }
    match any_supported_type(&key) {
        Ok(_) => Ok(key),
        Err(fault) => Err((
            format!("`{name}` is not a key that can sign: {fault}"),
            "make an ECDSA P-256 key, or an RSA key of 2048 bits or more".into(),
        )),
    }
}

/// Why a file has no usable key; `no_key` if it has no key at all.
fn foreign(text: &[u8], no_key: bool) -> Option<(&'static str, &'static str)> {
    let has = |marker: &str| memchr::memmem::find(text, marker.as_bytes()).is_some();
    // PKCS#8 and OpenSSL's older form, which rustls takes for a key that it can't read.
    if has("ENCRYPTED PRIVATE KEY-----") || has("Proc-Type: 4,ENCRYPTED") {
        return Some((
            "is an encrypted private key",
            "take its password off: `openssl pkey -in FILE -out NEW`, and let nobody else read NEW",
        ));
    }
    if !no_key {
        return None;
    }
    Some(if has("BEGIN OPENSSH PRIVATE KEY-----") {
        (
            "is a key of SSH",
            "make one for TLS: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
        )
    } else if has("BEGIN DSA PRIVATE KEY-----") {
        (
            "is a DSA key, which TLS knows no more",
            "make an ECDSA P-256 key, and a certificate for it",
        )
    } else if has("PRIVATE KEY-----") {
        return None;
    } else if has("BEGIN CERTIFICATE-----") {
        ("has no private key, but a certificate", "name the file of its key here")
    } else if has("BEGIN PUBLIC KEY-----") {
        ("has no private key, but a public one", "name the file that it was made from")
    } else if text.first() == Some(&0x30) {
        ("is DER and no PEM file", "change it: `openssl pkey -inform DER -in FILE -out NEW`")
    } else {
        (
            "has no private key",
            "it must be a PEM file with `-----BEGIN PRIVATE KEY-----`, not encrypted",
        )
    })
}

/// Whether DER is cut off: shorter than it says.
pub(super) fn is_cut_off(der: &[u8]) -> bool {
    let [_, length, rest @ ..] = der else { return true };
    let told = match length {
        0..=0x7f => usize::from(*length),
        // So many bytes of the length follow (X.690 §8.1.3.5).
        0x81..=0x84 => {
            let count = usize::from(length & 0x7f);
            let Some(bytes) = rest.get(..count) else { return true };
            count + bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
        }
        _ => return false,
    };
    told > rest.len()
}

/// A file that can't be read, or is no PEM.
pub(super) fn unreadable(name: &str, fault: &pem::Error) -> KeyFault {
    match fault {
        pem::Error::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => (
            format!("there is no file `{name}`"),
            "a relative path starts at the config file's directory".into(),
        ),
        pem::Error::Io(cause) => {
            (format!("`{name}` cannot be read: {cause}"), "check who may read it".into())
        }
        pem::Error::MissingSectionEnd { end_marker } => {
            // Quote only the label: in a file without line ends, the whole key may follow it.
            let label = end_marker.split(|byte| *byte == b'-').next().unwrap_or_default();
            let label = String::from_utf8_lossy(label);
            (
                format!("`{name}` is cut off: `-----END {label}-----` is missing"),
                "copy the file again, as a whole and with its line ends".into(),
            )
        }
        pem::Error::Base64Decode(_) => (
            format!("`{name}` is damaged: a PEM block in it is not base64"),
            "copy the file again, as a whole".into(),
        ),
        // Do not quote the line: it may have the whole key in it.
        pem::Error::IllegalSectionStart { .. } => (
            format!("`{name}` is damaged: a PEM block in it does not begin on a line of its own"),
            "copy the file again, with its line ends".into(),
        ),
        fault => (format!("`{name}` is not a PEM file: {fault}"), "make it again".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_that_is_cut_off() {
        let whole = |length: usize, head: &[u8]| [head, &vec![7; length]].concat();
        for der in [
            whole(5, &[0x30, 5]),
            whole(200, &[0x30, 0x81, 200]),
            whole(0x1234, &[0x30, 0x82, 0x12, 0x34]),
        ] {
            assert!(!is_cut_off(&der));
            assert!(is_cut_off(&der[..der.len() - 1]) && is_cut_off(&der[..2]));
        }
        assert!(is_cut_off(&[0x30]) && is_cut_off(&[]));
    }
}
