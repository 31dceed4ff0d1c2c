//! Client certificates: who may connect to a listener.
//!
//! Owns: reading the authorities and their lists of revoked certificates. Two listeners with the
//! same files and mode have the same scope: see [`super::tickets`].

use super::TlsError;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use std::{path::Path, sync::Arc};

/// What a listener asks of client certificates.
#[derive(Clone, Copy, Debug)]
pub struct ClientsFiles<'a> {
    /// PEM: the authorities.
    pub ca: &'a Path,
    /// PEM or DER: their lists of revoked certificates.
    pub crl: Option<&'a Path>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// Who may connect.
#[derive(Clone, Debug)]
pub struct Clients {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// A hash of what the files say.
    pub(super) scope: TrustScope,
}

/// A hash of authorities, revoked certificates and mode: what a certificate was verified with.
pub type TrustScope = [u8; 32];

impl Clients {
    /// What certificates are verified with.
    pub fn trust(&self) -> TrustScope {
        self.scope
    }

    /// Reads the files.
    pub fn read(files: ClientsFiles<'_>) -> Result<Self, TlsError> {
        let mut hash = Context::new(&SHA256);
        hash.update(&[u8::from(files.required)]);
        let mut add = |der: &[u8]| {
            hash.update(&(der.len() as u64).to_be_bytes());
            hash.update(der);
        };
        let failed = |error: &dyn std::fmt::Display| TlsError::of(files.ca, error);
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(files.ca).map_err(|error| failed(&error))? {
            let root = root.map_err(|error| failed(&error))?;
            add(&root);
            roots.add(root).map_err(|error| failed(&error))?;
        }
        let lists = files.crl.map(read_lists).transpose()?.unwrap_or_default();
        for list in &lists {
            add(list);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.with_crls(lists);
        let verifier = if files.required { verifier } else { verifier.allow_unauthenticated() };
        let verifier = verifier
            .build()
            .map_err(|error| TlsError::of(files.crl.unwrap_or(files.ca), &error))?;
        let mut scope = [0; 32];
        scope.copy_from_slice(hash.finish().as_ref());
        Ok(Self { verifier, scope })
    }
}

fn read_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| TlsError::of(path, &error))?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes.into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(&bytes);
    lists.collect::<Result<_, _>>().map_err(|error| TlsError::of(path, &error))
}
