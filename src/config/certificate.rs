//! Whether a certificate chain and its key can be served: whole, in order, a pair, not expired.
//!
//! Owns: the judgement, at load time. May touch: [`crate::credentials`]; the file system. Next:
//! `tls.rs` reads the same files again when the snapshot is built.

use super::{
    Certificate,
    document::ConfigText,
    private_key::{self, KeyFault, is_cut_off, unreadable},
};
use crate::credentials::staple::{self, StapleLife};
use rustls::{
    Error as TlsError, InconsistentKeys,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use std::{fs, path::Path};
use x509_parser::{
    prelude::{FromDer, X509Certificate, X509Version},
    time::ASN1Time,
};

/// A certificate that ends within this time is warned of.
const SOON: i64 = 14 * DAY;
const DAY: i64 = 24 * 60 * 60;

/// Reports what is wrong with `certificate`, which stands at `path` in the document.
pub(super) fn check(document: &ConfigText<'_>, path: &str, certificate: &Certificate) {
    let error = |key: &str, (message, hint): KeyFault| {
        document.error(document.value_at(&format!("{path}.{key}")), message, Some(hint));
    };
    // An empty path was reported where it stands.
    if certificate.cert.as_os_str().is_empty() || certificate.key.as_os_str().is_empty() {
        return;
    }
    let chain = read_chain(&certificate.cert).map_err(|fault| error("cert", fault));
    let key = private_key::read(&certificate.key).map_err(|fault| error("key", fault));
    let Ok(chain) = chain else { return };
    let parsed = match parse(&certificate.cert, &chain) {
        Ok(parsed) => parsed,
        Err(fault) => return error("cert", fault),
    };
    if let Ok(key) = key
        && let Err((place, fault)) = pair(certificate, &chain, &key)
    {
        return error(place, fault);
    }
    let warning = |(message, hint): KeyFault| {
        document.warning(document.value_at(&format!("{path}.cert")), message, Some(hint));
    };
    if let Some(fault) = disorder(&certificate.cert, &parsed) {
        warning(fault);
    }
    let now = ASN1Time::now().timestamp();
    if let Some(file) = certificate.ocsp.as_deref().filter(|it| !it.as_os_str().is_empty())
        && let Some((message, hint)) = staple_fault(file, &parsed[0], now)
    {
        document.warning(document.value_at(&format!("{path}.ocsp")), message, Some(hint));
    }
    let count = parsed.len();
    for (index, one) in parsed.iter().enumerate() {
        if let Some(fault) = lifetime(&name(&certificate.cert, index, count), one, now) {
            warning(fault);
        }
    }
}

/// The file, and which of its certificates is meant.
fn name(file: &Path, index: usize, count: usize) -> String {
    match (index, count) {
        (0, _) => format!("`{}`", file.display()),
        _ => format!("certificate {} of {count} in `{}`", index + 1, file.display()),
    }
}

pub(super) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, KeyFault> {
    let name = file.display();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain = chain.map_err(|fault| unreadable(&name.to_string(), &fault))?;
    if chain.is_empty() {
        let hint = "it must be a PEM file with `-----BEGIN CERTIFICATE-----`, leaf first";
        return Err((format!("`{name}` has no certificate"), hint.into()));
    }
    Ok(chain)
}

/// Every certificate of a chain: clients get all of them, and refuse a chain with a damaged one.
pub(super) fn parse<'a>(
    file: &Path,
    chain: &'a [CertificateDer<'_>],
) -> Result<Vec<X509Certificate<'a>>, KeyFault> {
    let one = |(index, der): (usize, &'a CertificateDer<'_>)| {
        let which =
            || format!("certificate {} of {} in `{}`", index + 1, chain.len(), file.display());
        let again = || "copy it again, as a whole: clients refuse the chain".to_owned();
        if is_cut_off(der) {
            return Err((format!("{} is cut off", which()), again()));
        }
        match X509Certificate::from_der(der) {
            Ok(([], parsed)) if index == 0 && parsed.version() != X509Version::V3 => Err((
                format!("`{}` is an X.509 v{} certificate", file.display(), parsed.version().0 + 1),
                "make it again as version 3, with a `subjectAltName`: clients refuse others".into(),
            )),
            Ok(([], parsed)) => Ok(parsed),
            _ => Err((format!("{} is damaged, or is none", which()), again())),
        }
    };
    chain.iter().enumerate().map(one).collect()
}

/// Whether the key belongs to the first certificate. If not, the config key at which to report it.
pub(super) fn pair(
    certificate: &Certificate,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), (&'static str, KeyFault)> {
    let file = certificate.cert.display();
    // It has been found to be one.
    let Ok(signer) = any_supported_type(key) else { return Ok(()) };
    let mismatch = TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch);
    let matches = |one: &CertificateDer<'static>| {
        CertifiedKey::new(vec![one.clone()], signer.clone()).keys_match()
    };
    match matches(&chain[0]) {
        Err(fault) if fault == mismatch => {}
        // A key whose public half is not known is assumed to be right.
        Ok(()) | Err(TlsError::InconsistentKeys(_)) => return Ok(()),
        Err(fault) => {
            let hint = "make it again: it can't be served";
            return Err(("cert", (format!("`{file}` can't be used: {fault}"), hint.into())));
        }
    }
    if let Some(index) = chain.iter().skip(1).position(|one| matches(one).is_ok()) {
        let message = format!(
            "`{file}` begins with another certificate than the server's own, which is number {}",
            index + 2
        );
        let hint = "put the server's own first, and behind it the one that issued it";
        return Err(("cert", (message, hint.into())));
    }
    let message = format!("`{}` is not the key of `{file}`", certificate.key.display());
    Err(("key", (message, "name the key that the certificate was made with".into())))
}

/// RFC 8446 §4.4.2: each should certify the one before. Many clients accept another order.
fn disorder(file: &Path, chain: &[X509Certificate<'_>]) -> Option<KeyFault> {
    let index = chain.windows(2).position(|two| two[0].issuer() != two[1].subject())?;
    let message = format!(
        "certificate {} of {} in `{}` is not the issuer of the one before it, which is `{}`",
        index + 2,
        chain.len(),
        file.display(),
        chain[index].issuer()
    );
    let hint = "some clients will refuse the chain: put each behind the one that it issued";
    Some((message, hint.into()))
}

/// Why an OCSP response is not stapled, if it is not. Never an error: clients work without it.
fn staple_fault(file: &Path, leaf: &X509Certificate<'_>, now: i64) -> Option<KeyFault> {
    let name = file.display();
    let fault = |what: String| {
        let hint = "it is not stapled: fetch it again, as with `openssl ocsp -respout FILE`";
        Some((what, hint.into()))
    };
    let der = match fs::read(file) {
        Ok(der) => der,
        Err(cause) => return Some(unreadable(&name.to_string(), &pem::Error::Io(cause))),
    };
    match staple::read(&der, leaf.raw_serial()) {
        Err(cause) => fault(format!("`{name}` {cause}")),
        Ok(StapleLife { ends: Some(ends), .. }) if ends < now => {
            let end = ASN1Time::from_timestamp(ends).map(|it| it.to_string()).unwrap_or_default();
            fault(format!("`{name}` ended on {end}"))
        }
        Ok(_) => None,
    }
}

/// Findings about a certificate's first and last day.
pub(super) fn lifetime(
    name: &str,
    certificate: &X509Certificate<'_>,
    now: i64,
) -> Option<KeyFault> {
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before, validity.not_after);
    let left = end.timestamp() - now;
    if now < begin.timestamp() {
        let hint = "clients will refuse it until then: check this machine's clock, or wait";
        Some((format!("{name} is not valid before {begin}"), hint.into()))
    } else if left < 0 {
        Some((format!("{name} expired on {end}"), "clients will refuse it: renew it".into()))
    } else if left < SOON {
        let days = left / DAY;
        let message = format!("{name} expires on {end}, in {days} days");
        Some((message, "clients will refuse it then: renew it".into()))
    } else {
        None
    }
}
