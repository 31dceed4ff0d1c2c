//! Whether the files of `tls.client` can be used: authorities, and their lists of revoked
//! certificates.
//!
//! Owns: the judgement, at load time. May touch: the file system. Next: `tls/clients.rs` reads the
//! same files again when the snapshot is built.

use super::{
    ClientCertificates,
    document::ConfigText,
    private_key::{KeyFault, is_cut_off, unreadable},
};
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, CertificateRevocationListDer,
        pem::{self, PemObject},
    },
    server::WebPkiClientVerifier,
};
use std::{path::Path, sync::Arc};
use x509_parser::{
    prelude::{CertificateRevocationList, FromDer, X509Certificate},
    time::ASN1Time,
};

/// Reports what is wrong with `wanted`, which stands at `path` in the document.
pub(super) fn check(document: &ConfigText<'_>, path: &str, wanted: &ClientCertificates) {
    let at = |key: &str| document.value_at(&format!("{path}.{key}"));
    let error = |key: &str, (message, hint): KeyFault| document.error(at(key), message, Some(hint));
    let warning =
        |key: &str, (message, hint): KeyFault| document.warning(at(key), message, Some(hint));
    // An empty path was reported where it stands.
    if wanted.ca.as_os_str().is_empty() {
        return;
    }
    let authorities = match read_authorities(&wanted.ca) {
        Ok(authorities) => authorities,
        Err(fault) => return error("ca", fault),
    };
    let parsed: Vec<_> =
        authorities.iter().filter_map(|der| X509Certificate::from_der(der).ok()).collect();
    let parsed: Vec<_> = parsed.into_iter().map(|(_, it)| it).collect();
    let now = ASN1Time::now();
    for authority in parsed.iter().filter(|it| it.validity().not_after < now) {
        let end = authority.validity().not_after;
        let message =
            format!("`{}` of `{}` expired on {end}", authority.subject(), wanted.ca.display());
        let hint = "clients with certificates of it are still let in: renew it";
        warning("ca", (message, hint.into()));
    }
    let Some(file) = wanted.crl.as_deref().filter(|it| !it.as_os_str().is_empty()) else { return };
    let lists = match read_lists(file) {
        Ok(lists) => lists,
        Err(fault) => return error("crl", fault),
    };
    for fault in doubts(file, &parsed, &lists, now) {
        warning("crl", fault);
    }
    if let Err(fault) = build(&authorities, lists) {
        let hint = "make it again, as X.509 CRL version 2";
        error("crl", (format!("`{}` can't be used: {fault}", file.display()), hint.into()));
    }
}

/// Lists past their end, and authorities without a list.
fn doubts(
    file: &Path,
    authorities: &[X509Certificate<'_>],
    lists: &[CertificateRevocationListDer<'_>],
    now: ASN1Time,
) -> Vec<KeyFault> {
    let name = file.display();
    let lists = lists.iter().filter_map(|der| CertificateRevocationList::from_der(der).ok());
    let lists: Vec<_> = lists.map(|(_, list)| list).collect();
    let mut faults = Vec::new();
    for list in &lists {
        if let Some(end) = list.next_update().filter(|end| *end < now) {
            let message = format!("the list of `{}` in `{name}` ended on {end}", list.issuer());
            let hint = "it is still used, but lacks what was revoked since: renew it";
            faults.push((message, hint.into()));
        }
    }
    for authority in authorities {
        let subject = authority.subject();
        if !lists.iter().any(|list| list.issuer().as_raw() == subject.as_raw()) {
            let message = format!("`{name}` has no list of `{subject}`");
            let hint = "clients with certificates of it are refused: add its list";
            faults.push((message, hint.into()));
        }
    }
    faults
}

fn read_authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, KeyFault> {
    let name = file.display();
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found = found.map_err(|fault| unreadable(&name.to_string(), &fault))?;
    if found.is_empty() {
        let hint = "it must be a PEM file with `-----BEGIN CERTIFICATE-----`";
        return Err((format!("`{name}` has no certificate"), hint.into()));
    }
    let mut roots = RootCertStore::empty();
    for (index, der) in found.iter().enumerate() {
        if is_cut_off(der) || roots.add(der.clone()).is_err() {
            let message = format!(
                "certificate {} of {} in `{name}` is damaged, or is none",
                index + 1,
                found.len()
            );
            return Err((message, "copy it again, as a whole".into()));
        }
    }
    Ok(found)
}

fn read_lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, KeyFault> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|cause| unreadable(&name, &pem::Error::Io(cause)))?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|fault| unreadable(&name, &fault))?;
    if lists.is_empty() {
        let hint = "it must be a DER file, or PEM with `-----BEGIN X509 CRL-----`";
        return Err((format!("`{name}` has no list of revoked certificates"), hint.into()));
    }
    Ok(lists)
}

/// As it is built later on.
fn build(
    authorities: &[CertificateDer<'static>],
    lists: Vec<CertificateRevocationListDer<'static>>,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.with_crls(lists).build().map(|_| ()).map_err(|error| error.to_string())
}
