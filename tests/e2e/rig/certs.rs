//! Certificates made on the spot, by a test authority that the rig's TLS clients trust.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256,
};
use std::{fs, path::Path, sync::OnceLock};

/// The key's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ecdsa,
    Rsa,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the rig's authority");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        Authority { issuer: Issuer::new(params, key), der }
    })
}

/// The authority's certificate, to be trusted.
pub fn authority_der() -> Vec<u8> {
    authority().der.clone()
}

/// Writes `NAME.pem` and `NAME.key` for these names, and returns the leaf's DER.
pub fn write(dir: &Path, name: &str, kind: Kind, names: &[&str]) -> Vec<u8> {
    write_with(dir, name, kind, names, |_| {})
}

/// The same, changed a little.
pub fn write_with(
    dir: &Path,
    name: &str,
    kind: Kind,
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> Vec<u8> {
    let key = match kind {
        Kind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        Kind::Rsa => KeyPair::generate_for(&PKCS_RSA_SHA256),
    }
    .expect("a key");
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("good names");
    change(&mut params);
    let certificate = params.signed_by(&key, &authority().issuer).expect("a certificate");
    // Key first: a daemon that reads in between sees a pair that does not match, and keeps the old
    // one.
    replace(&dir.join(format!("{name}.key")), &key.serialize_pem());
    replace(&dir.join(format!("{name}.pem")), &certificate.pem());
    certificate.der().to_vec()
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("writing a certificate");
    fs::rename(new, path).expect("renaming a certificate");
}
