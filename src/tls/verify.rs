//! Whether a server is who it should be.
//!
//! Owns: the order of the checks: the chain and the name, and then the pinned keys. May touch:
//! nothing outside this room. Every full handshake with a server asks it; a resumed session was
//! verified before.

use data_encoding::BASE64;
use rustls::{
    CertificateError, DigitallySignedStruct, Error as RustlsError, OtherError, SignatureScheme,
    SupportedCipherSuite,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms,
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256, verify_tls12_signature,
        verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{error::Error, fmt, sync::Arc};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whether a server is who it should be.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Checks the chain and the name; `None`: any authority may have signed the certificate.
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// SHA-256 of the accepted public keys; if empty, any key is accepted.
    pins: Vec<[u8; 32]>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The server has a public key that is not among the pinned ones.
#[derive(Debug)]
pub(super) struct NotPinned(String);

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its public key is not one that `tls.pin` has; it is \"{}\"", self.0)
    }
}

impl Error for NotPinned {}

impl Verifier {
    pub(super) fn new(
        chain: Option<Arc<WebPkiServerVerifier>>,
        pins: Vec<[u8; 32]>,
        provider: &CryptoProvider,
    ) -> Self {
        Self { chain, pins, algorithms: provider.signature_verification_algorithms }
    }

    fn verify_pin(&self, certificate: &CertificateDer<'_>) -> Result<(), RustlsError> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|_| RustlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        let key = sha256(certificate.public_key().raw);
        if self.pins.contains(&key) {
            return Ok(());
        }
        let not_pinned = OtherError(Arc::new(NotPinned(BASE64.encode(&key))));
        Err(RustlsError::InvalidCertificate(CertificateError::Other(not_pinned)))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        if let Some(chain) = &self.chain {
            chain.verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        }
        self.verify_pin(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    // In any case the server must prove that it has the certificate's key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// SHA-256, by the hash function of one of TLS's cipher suites.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    if let SupportedCipherSuite::Tls13(suite) = TLS13_AES_128_GCM_SHA256 {
        hash.copy_from_slice(suite.common.hash_provider.hash(bytes).as_ref());
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_openssl_has_them() {
        // printf sheave | openssl dgst -sha256 -binary | base64
        assert_eq!(BASE64.encode(&sha256(b"")), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(BASE64.encode(&sha256(b"abc")), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }
}
