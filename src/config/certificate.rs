//! Whether a certificate and its key can be served: readable, a pair, not expired.
//!
//! Owns: the check at load time. May touch: the file system, and rustls for parsing. Next:
//! `tls.rs` reads the same files again when the snapshot is built.

use super::{Certificate, document::Document};
use rustls::pki_types::pem::PemObject;
use rustls::{
    Error as TlsError, InconsistentKeys,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem},
    sign::CertifiedKey,
};
use std::path::Path;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Reports what is wrong with `certificate`, which stands at `path` in the document.
pub(super) fn check(document: &Document<'_>, path: &str, certificate: &Certificate) {
    let error = |key: &str, (message, hint): (String, String)| {
        document.error(document.value_at(&format!("{path}.{key}")), message, Some(hint));
    };
    // An empty path has been reported already.
    if certificate.cert.as_os_str().is_empty() || certificate.key.as_os_str().is_empty() {
        return;
    }
    let chain = read_chain(&certificate.cert).map_err(|refusal| error("cert", refusal));
    let key = read_key(&certificate.key).map_err(|refusal| error("key", refusal));
    let Ok(chain) = chain else { return };
    let Ok((_, leaf)) = X509Certificate::from_der(&chain[0]) else {
        let message = format!("`{}` starts with no certificate", certificate.cert.display());
        error("cert", (message, "make it a PEM file again, leaf first".into()));
        return;
    };
    if let Ok(key) = key
        && let Ok(signer) = any_supported_type(&key)
    {
        // Some keys do not tell their public half; then the pair is taken to match.
        if let Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) =
            CertifiedKey::new(chain.clone(), signer).keys_match()
        {
            let message = format!(
                "`{}` is not the key of `{}`",
                certificate.key.display(),
                certificate.cert.display()
            );
            error("key", (message, "name the key that the certificate was made with".into()));
        }
    }
    let validity = leaf.validity();
    if validity.is_valid() {
        return;
    }
    let (what, when) = if validity.time_to_expiration().is_none()
        && validity.not_before <= x509_parser::time::ASN1Time::now()
    {
        ("expired on", validity.not_after)
    } else {
        ("is not valid before", validity.not_before)
    };
    let message = format!("`{}` {what} {when}", certificate.cert.display());
    let hint = Some("clients will refuse it: renew it".into());
    document.warning(document.value_at(&format!("{path}.cert")), message, hint);
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, (String, String)> {
    let name = file.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain = chain.map_err(|fault| refusal(&name.to_string(), &fault))?;
    if chain.is_empty() {
        let hint = "it must be a PEM file with `-----BEGIN CERTIFICATE-----`, leaf first";
        return Err((format!("`{name}` has no certificate"), hint.into()));
    }
    Ok(chain)
}

fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, (String, String)> {
    let name = file.display();
    let key = match PrivateKeyDer::from_pem_file(file) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) => {
            let hint = "it must be a PEM file with `-----BEGIN PRIVATE KEY-----`, not encrypted";
            return Err((format!("`{name}` has no private key"), hint.into()));
        }
        Err(fault) => return Err(refusal(&name.to_string(), &fault)),
    };
    match any_supported_type(&key) {
        Ok(_) => Ok(key),
        Err(fault) => Err((
            format!("`{name}` is no key that can sign: {fault}"),
            "make an ECDSA P-256 key, or an RSA key of 2048 bits or more".into(),
        )),
    }
}

fn refusal(name: &str, fault: &pem::Error) -> (String, String) {
    match fault {
        pem::Error::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => (
            format!("there is no file `{name}`"),
            "a relative path starts at the config file's directory".into(),
        ),
        pem::Error::Io(cause) => {
            (format!("`{name}` cannot be read: {cause}"), "check who may read it".into())
        }
        fault => (format!("`{name}` is no PEM file: {fault:?}"), "make it again".into()),
    }
}
