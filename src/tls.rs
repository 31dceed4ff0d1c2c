//! All of rustls on the client's side: certificates, their choice by SNI, the server's settings.
//!
//! Owns: reading PEM files and choosing among certificates. May touch: nothing of ours. Built into
//! a snapshot; a handshake uses the one that is current when it begins.

use rustls::{
    ServerConfig, SignatureAlgorithm,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
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

/// Why a certificate can't be used, with the file.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// Certificates of one listener, found by name.
#[derive(Debug, Default)]
pub struct Certificates {
    all: Vec<Certificate>,
    exact: HashMap<String, Vec<usize>>,
    /// By the name after `*.`.
    wildcard: HashMap<String, Vec<usize>>,
}

#[derive(Debug)]
struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    lifetime: Lifetime,
}

/// When a certificate holds, in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Its file.
    pub file: PathBuf,
    /// The first second.
    pub begins: i64,
    /// The last one.
    pub ends: i64,
}

impl Certificates {
    /// Reads pairs of chain and key; the first is used when no name matches.
    pub fn read<'a>(
        pairs: impl IntoIterator<Item = (&'a Path, &'a Path)>,
    ) -> Result<Self, TlsError> {
        let mut certificates = Self::default();
        for (chain, key) in pairs {
            certificates.add(chain, read_pair(chain, key)?);
        }
        Ok(certificates)
    }

    fn add(&mut self, file: &Path, key: CertifiedKey) {
        let index = self.all.len();
        let leaf = key.cert.first().and_then(|leaf| X509Certificate::from_der(leaf).ok());
        let names = leaf.as_ref().map(|(_, leaf)| names(leaf)).unwrap_or_default();
        let validity = leaf.as_ref().map(|(_, leaf)| leaf.validity());
        let (begins, ends) = validity.map_or((i64::MIN, i64::MAX), |it| {
            (it.not_before.timestamp(), it.not_after.timestamp())
        });
        let lifetime = Lifetime { file: file.to_owned(), begins, ends };
        let key = Arc::new(key);
        self.all.push(Certificate { key, names: names.clone(), lifetime });
        for name in &names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcard, parent),
                None => (&mut self.exact, name.as_str()),
            };
            let same = map.entry(name.to_owned()).or_default();
            same.push(index);
            // ECDSA first, whatever the order in the config: it costs us a tenth of RSA, and clients
            // less to read.
            same.sort_by_key(|index| !self.all[*index].is_ecdsa());
        }
    }

    /// When each of them holds.
    pub fn lifetimes(&self) -> impl Iterator<Item = &Lifetime> {
        self.all.iter().map(|it| &it.lifetime)
    }

    /// Those for a client that names no host that is ours: the first, or one with the same name.
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

    /// Those whose names cover `host` (lower case), or else all.
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
        let usable = |it: &&Certificate| it.key.key.choose_scheme(offered).is_some();
        let found = named.clone().find(usable);
        let any = || if unknown { self.all.iter().find(usable) } else { None };
        found.or_else(any).or_else(|| named.clone().next()).map(|it| Arc::clone(&it.key))
    }
}

impl Certificate {
    fn is_ecdsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::ECDSA
    }
}

/// A listener's settings.
pub fn server_config(
    certificates: Arc<Certificates>,
    only_tls13: bool,
    http2: bool,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, TlsError> {
    let versions: &[_] = if only_tls13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| TlsError(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    config.ticketer = tickets;
    Ok(config)
}

fn read_pair(chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let failed = |path: &Path, error: &dyn fmt::Display| {
        TlsError(format!("{} can't be used: {error}", path.display()))
    };
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
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => {
                <[u8; 4]>::try_from(*octets).ok().map(|it| std::net::Ipv4Addr::from(it).to_string())
            }
            16 => <[u8; 16]>::try_from(*octets)
                .ok()
                .map(|it| format!("[{}]", std::net::Ipv6Addr::from(it))),
            _ => None,
        },
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(name).collect()
}
