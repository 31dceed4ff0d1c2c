//! Files that configs name: for the tests that load what is shipped and what the docs show.

use std::{fs, path::Path};

/// What TLS names beside certificates: authorities of clients, their list, an OCSP response, keys.
pub(crate) fn files_of_tls(directory: &Path) {
    let write = |name: &str, text: &[u8]| fs::write(directory.join(name), text).expect(name);
    let key = rcgen::KeyPair::generate().expect("key");
    let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "clients");
    write("clients.pem", authority.self_signed(&key).expect("certificate").pem().as_bytes());
    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: rcgen::date_time_ymd(2099, 1, 1),
        crl_number: rcgen::SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&rcgen::Issuer::new(authority, key)).expect("list");
    write("revoked.pem", list.pem().expect("PEM").as_bytes());
    write("ticket.keys", "5a".repeat(32).as_bytes());
    write("token", b"a-token-of-nobody");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(directory.join("ticket.keys"), private).expect("permissions");
}

/// A database of countries, and pages for errors.
pub(crate) fn database(directory: &Path) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo.mmdb");
    for page in ["404.html", "500.html"] {
        fs::write(directory.join(page), "a page").expect("page");
    }
    fs::copy(shipped, directory.join("geo.mmdb")).expect("database");
}
