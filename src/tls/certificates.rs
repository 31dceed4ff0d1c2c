//! The certificates of one listener, and which of them a client gets.
//!
//! Owns: reading PEM files and OCSP responses, and the choice by name and by what the client can
//! verify. May touch: [`crate::credentials`].

use super::TlsError;
use crate::credentials::{identity::address, staple};
use rustls::{
    SignatureAlgorithm,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// Certificates of one listener, found by name.
#[derive(Debug, Default)]
pub struct Certificates {
    all: Vec<LoadedCertificate>,
    exact: HashMap<String, Vec<usize>>,
    /// By the name after `*.`.
    wildcard: HashMap<String, Vec<usize>>,
}

/// A chain and its key, as files.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// PEM, leaf first.
    pub chain: &'a Path,
    /// PEM.
    pub key: &'a Path,
    /// DER: an OCSP response about the leaf.
    pub staple: Option<&'a Path>,
}

#[derive(Debug)]
struct LoadedCertificate {
    key: Arc<CertifiedKey>,
    stapled: Option<Stapled>,
    names: Vec<String>,
    lifetime: Lifetime,
}

/// A certificate with its OCSP response.
#[derive(Debug)]
struct Stapled {
    key: Arc<CertifiedKey>,
    file: PathBuf,
    /// The last second in which the response holds, since 1970.
    ends: i64,
}

/// When a certificate holds, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Its file.
    pub file: PathBuf,
    /// The names that it is for.
    pub names: Vec<String>,
    /// The first second.
    pub begins: i64,
    /// The last one.
    pub ends: i64,
}

impl Certificates {
    /// Reads pairs of chain and key; the first is used when no name matches.
    pub fn read<'a>(pairs: impl IntoIterator<Item = Pair<'a>>) -> Result<Self, TlsError> {
        let mut certificates = Self::default();
        for pair in pairs {
            let key = read_pair(pair.chain, pair.key)?;
            certificates.add(pair, key);
        }
        Ok(certificates)
    }

    fn add(&mut self, pair: Pair<'_>, key: CertifiedKey) {
        let index = self.all.len();
        let leaf = key.cert.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let names = leaf.as_ref().map(|(_, leaf)| names(leaf)).unwrap_or_default();
        let validity = leaf.as_ref().map(|(_, leaf)| leaf.validity());
        let (begins, ends) = validity.map_or((i64::MIN, i64::MAX), |it| {
            (it.not_before.timestamp(), it.not_after.timestamp())
        });
        let lifetime = Lifetime { file: pair.chain.to_owned(), names: names.clone(), begins, ends };
        let staple = leaf.as_ref().zip(pair.staple);
        let stapled = staple.and_then(|((_, leaf), file)| stapled(&key, leaf, file));
        let key = Arc::new(key);
        self.all.push(LoadedCertificate { key, stapled, names: names.clone(), lifetime });
        for name in &names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, name.as_str()),
            };
            let same = map.entry(name.to_owned()).or_default();
            same.push(index);
            // Put ECDSA first, whatever the order of the config: it costs us a tenth of RSA, and
            // sends less to clients.
            same.sort_by_key(|index| !self.all[*index].is_ecdsa());
        }
    }

    /// When each certificate holds.
    pub fn lifetimes(&self) -> impl Iterator<Item = &Lifetime> {
        self.all.iter().map(|it| &it.lifetime)
    }

    /// The files of OCSP responses that have ended by `now`: these are no longer stapled.
    pub fn ended_staples(&self, now: i64) -> impl Iterator<Item = &Path> {
        let staples = self.all.iter().filter_map(|it| it.stapled.as_ref());
        staples.filter(move |it| it.ends < now).map(|it| it.file.as_path())
    }

    /// The certificates for a client that names no host, or an unknown one: the first, and those
    /// with the same name.
    fn for_strangers(&self) -> &[usize] {
        let name = self.all.first().and_then(|first| first.names.first());
        match name.map(|name| match name.strip_prefix("*.") {
            Some(parent) => self.wildcard.get(parent),
            None => self.exact.get(name),
        }) {
            Some(Some(found)) => found,
            _ => &[0],
        }
    }

    /// The certificates whose names cover `host` (lower case); none if there is no host.
    fn for_host(&self, host: Option<&str>) -> &[usize] {
        let Some(host) = host else { return &[] };
        if let Some(found) = self.exact.get(host) {
            return found;
        }
        let parent = host.split_once('.').map(|(_, parent)| parent);
        parent.and_then(|parent| self.wildcard.get(parent)).map_or(&[], Vec::as_slice)
    }

    /// Whether the certificate that a handshake with `sni` gets covers `host` as well.
    pub fn covers(&self, sni: &str, host: &str) -> bool {
        let chosen = match self.for_host(Some(sni)) {
            [] => self.for_strangers(),
            found => found,
        };
        let parent = host.split_once('.').map(|(_, parent)| parent);
        chosen.iter().filter_map(|index| self.all.get(*index)).any(|certificate| {
            certificate.names.iter().any(|name| {
                name == host || name.strip_prefix("*.").is_some_and(|it| Some(it) == parent)
            })
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let offered = hello.signature_schemes();
        let named = self.for_host(name.as_deref());
        let unknown = named.is_empty();
        let named = if unknown { self.for_strangers() } else { named };
        let named = named.iter().filter_map(|index| self.all.get(*index));
        // An ECDSA and an RSA certificate may have the same name: the first that the client can
        // verify is taken.
        let usable = |it: &&LoadedCertificate| it.key.key.choose_scheme(offered).is_some();
        let found = named.clone().find(usable);
        let any = || if unknown { self.all.iter().find(usable) } else { None };
        found.or_else(any).or_else(|| named.clone().next()).map(LoadedCertificate::now)
    }
}

impl LoadedCertificate {
    /// The certificate, with its OCSP response until that ends. Clients refuse a response that has
    /// ended, but accept a certificate without one.
    fn now(&self) -> Arc<CertifiedKey> {
        match &self.stapled {
            Some(it) if UnixTime::now().as_secs() as i64 <= it.ends => Arc::clone(&it.key),
            _ => Arc::clone(&self.key),
        }
    }

    fn is_ecdsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::ECDSA
    }
}

/// The response to staple; `None` if it is not for this certificate, or has ended. The config's
/// check warns of that.
fn stapled(key: &CertifiedKey, leaf: &X509Certificate<'_>, file: &Path) -> Option<Stapled> {
    let der = std::fs::read(file).ok()?;
    let life = staple::read(&der, leaf.raw_serial()).ok()?;
    let mut key = key.clone();
    key.ocsp = Some(der);
    let ends = life.ends.unwrap_or(i64::MAX);
    Some(Stapled { key: Arc::new(key), file: file.to_owned(), ends })
}

pub(super) fn read_pair(chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let failed = |path: &Path, error: &dyn fmt::Display| TlsError::of(path, error);
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(chain, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, &error))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(certificates, private, &provider).map_err(|error| failed(chain, &error))
}

/// The DNS names and addresses that a certificate is for, lower case.
fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = leaf.subject_alternative_name() else { return Vec::new() };
    let name = |general: &GeneralName<'_>| match general {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(octets) => address(octets).map(|it| match octets.len() {
            16 => format!("[{it}]"),
            _ => it,
        }),
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(name).collect()
}
