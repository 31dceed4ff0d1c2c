//! Certificates made on the spot, by a test authority that the rig's TLS clients trust.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{
    fs,
    path::Path,
    sync::{Arc, OnceLock},
};

/// The key's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ecdsa,
    Rsa,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
    pem: String,
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::named("the rig's authority"))
}

impl Authority {
    fn named(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        let (der, pem) = (certificate.der().to_vec(), certificate.pem());
        Self { issuer: Issuer::new(params, key), der, pem }
    }
}

/// Writes `NAME.pem` and `NAME.key` for a client of this name with this serial number.
pub fn write_client(
    dir: &Path,
    name: &str,
    serial: u64,
    change: impl FnOnce(&mut CertificateParams),
) {
    write_with(dir, name, Kind::Ecdsa, &[&format!("{name}.clients")], |it| {
        it.distinguished_name = rcgen::DistinguishedName::new();
        it.distinguished_name.push(DnType::CommonName, name);
        it.serial_number = Some(SerialNumber::from(serial));
        change(it);
    });
}

/// The same, signed by an authority that nobody knows.
pub fn write_stranger(dir: &Path, name: &str) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![format!("{name}.clients")]).expect("good names");
    let issuer = Authority::named("a stranger").issuer;
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    replace(&dir.join(format!("{name}.key")), key.serialize_pem());
    replace(&dir.join(format!("{name}.pem")), certificate.pem());
}

/// Writes `revoked.pem`: the authority's list of revoked certificates.
pub fn write_revoked(dir: &Path, serials: &[u64]) {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(2099, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&authority().issuer).expect("a list");
    replace(&dir.join("revoked.pem"), list.pem().expect("PEM"));
}

/// An OCSP response, unsigned, that a certificate is good until then, as `20990101000000Z`.
pub fn staple(serial: u64, until: &str) -> Vec<u8> {
    let tlv = |tag: u8, parts: &[&[u8]]| {
        let value = parts.concat();
        let length = (value.len() as u16).to_be_bytes();
        [&[tag, 0x82][..], &length, &value].concat()
    };
    let time = |text: &str| tlv(0x18, &[text.as_bytes()]);
    let now = time("20260101000000Z");
    // SHA-1, of what nobody looks at here.
    let algorithm = tlv(0x30, &[&[6, 5, 0x2b, 0x0e, 3, 2, 0x1a]]);
    let hash = tlv(4, &[&[0; 20]]);
    let number = tlv(2, &[&serial.to_be_bytes()[..]]);
    let id = tlv(0x30, &[&algorithm, &hash, &hash, &number]);
    let single = tlv(0x30, &[&id, &[0x80, 0], &now, &tlv(0xa0, &[&time(until)])]);
    let responder = tlv(0xa2, &[&hash]);
    let data = tlv(0x30, &[&responder, &now, &tlv(0x30, &[&single])]);
    let basic = tlv(0x30, &[&data, &algorithm, &tlv(3, &[&[0, 1]])]);
    let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    let bytes = tlv(0x30, &[&kind, &tlv(4, &[&basic])]);
    tlv(0x30, &[&[0x0a, 1, 0], &tlv(0xa0, &[&bytes])])
}

/// The authority's certificate, to be trusted.
pub fn authority_der() -> Vec<u8> {
    authority().der.clone()
}

/// Writes the authority's certificate as `NAME.pem`.
pub fn write_authority(dir: &Path, name: &str) {
    replace(&dir.join(format!("{name}.pem")), &authority().pem);
}

/// A server's settings with the files that [`write`] wrote. With `asks`, it wants a certificate
/// that the authority signed.
pub fn server_config(dir: &Path, name: &str, asks: bool) -> rustls::ServerConfig {
    server_config_with(dir, name, asks, rustls::ALL_VERSIONS)
}

/// The same, in these versions of TLS.
pub fn server_config_with(
    dir: &Path,
    name: &str,
    asks: bool,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ServerConfig {
    let file = |end: &str| dir.join(format!("{name}.{end}"));
    let chain = CertificateDer::pem_file_iter(file("pem")).expect("a chain");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a chain");
    let key = PrivateKeyDer::from_pem_file(file("key")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(versions).expect("versions");
    let builder = if asks {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority_der().into()).expect("the authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
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
    // The key first: a daemon that reads in between sees a pair that does not match, and keeps the
    // old pair.
    replace(&dir.join(format!("{name}.key")), key.serialize_pem());
    replace(&dir.join(format!("{name}.pem")), certificate.pem());
    certificate.der().to_vec()
}

/// In one step, so that nobody reads half a file.
pub fn replace(path: &Path, text: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("writing a certificate");
    fs::rename(new, path).expect("renaming a certificate");
}
