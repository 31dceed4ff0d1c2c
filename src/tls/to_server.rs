//! TLS to servers: turns the wanted settings into rustls's settings.
//!
//! Owns: the settings, the authorities that are trusted, and one store of sessions per server. May
//! touch: nothing outside this room. Built into a snapshot, never on a worker;
//! [`crate::origin::dial`] makes handshakes with it.

use super::{TlsError, certificates::read_pair, verify::Verifier};
use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};
use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

/// A server has one name, so its store has room for many more sessions than are ever in it.
const SESSIONS: usize = 8;

/// What is wanted of TLS to a server. The default trusts the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerTlsWanted {
    /// The authorities that are trusted, in place of the system's.
    pub ca: Option<PathBuf>,
    /// Our own chain and key, for servers that ask for them.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Whether any certificate is accepted.
    pub insecure: bool,
    /// SHA-256 of the accepted public keys; if empty, any key is accepted.
    pub pins: Vec<[u8; 32]>,
}

/// The authorities that the system trusts. They are read once, and only if a server needs them.
#[derive(Debug, Default)]
pub struct SystemRoots(OnceLock<FoundRoots>);

#[derive(Debug)]
struct FoundRoots {
    roots: Arc<RootCertStore>,
    faults: Vec<String>,
}

impl SystemRoots {
    fn load(&self) -> Arc<RootCertStore> {
        let found = self.0.get_or_init(|| {
            let found = FoundRoots::find();
            for fault in &found.faults {
                tracing::warn!("{fault}");
            }
            found
        });
        Arc::clone(&found.roots)
    }

    /// What the user should know about the authorities that were read.
    pub fn faults(&self) -> &[String] {
        self.0.get().map_or(&[], |found| &found.faults)
    }
}

impl FoundRoots {
    fn find() -> Self {
        let found = rustls_native_certs::load_native_certs();
        // These replace the system's (docs/servers.md).
        let named =
            ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter(|it| env::var_os(it).is_some());
        let named: Vec<_> = named.collect();
        let named = named.join(" and ");
        let of = if named.is_empty() { "the system" } else { &named };
        let fault = |error| format!("a certificate authority of {of} can't be read: {error}");
        let mut faults: Vec<_> = found.errors.iter().map(fault).collect();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let hint = if named.is_empty() {
                "Install the package `ca-certificates`".to_owned()
            } else {
                format!("Set {named} to what there is, or unset it for the system's")
            };
            faults.push(format!(
                "no certificate authority comes from {of}: those that Mozilla trusted when sheave \
                 was built are used. {hint}"
            ));
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Self { roots: Arc::new(roots), faults }
    }
}

/// What the handshakes with some servers have in common.
pub struct PreparedTls {
    config: ClientConfig,
    wanted: ServerTlsWanted,
    files: Vec<Vec<u8>>,
}

impl PreparedTls {
    /// Reads the files.
    pub fn read(wanted: &ServerTlsWanted, system: &SystemRoots) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let named = wanted.ca.iter().chain(wanted.own.iter().flat_map(|(chain, key)| [chain, key]));
        let digest = |file: &PathBuf| {
            let content = fs::read(file).map_err(|error| TlsError::of(file, &error))?;
            Ok(super::verify::sha256(&content).to_vec())
        };
        let files = named.map(digest).collect::<Result<_, TlsError>>()?;
        let chain = if wanted.insecure {
            None
        } else {
            let roots = match &wanted.ca {
                Some(file) => read_roots(file)?,
                None => system.load(),
            };
            Some(chain_verifier(roots, &provider)?)
        };
        let verifier = Verifier::new(chain, wanted.pins.clone(), &provider);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| TlsError(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &wanted.own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let own = SingleCertAndKey::from(read_pair(chain, key)?);
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        Ok(Self { config, wanted: wanted.clone(), files })
    }

    /// The settings for one server. Its certificate must have this `name`. A session is good only
    /// at its own server, so each server has its own store.
    pub fn for_server(&self, name: &str) -> Result<ServerHandshakes, TlsError> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|error| TlsError(format!("`{name}` is not a name of a server: {error}")))?;
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let made_of = MadeOf { wanted: self.wanted.clone(), files: self.files.clone() };
        Ok(ServerHandshakes { config: Arc::new(config), name: server, made_of })
    }
}

/// What handshakes with one server are made with.
pub struct ServerHandshakes {
    /// Shared by all workers, with the sessions in it.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must have; it is sent as SNI unless it is an IP address.
    pub name: ServerName<'static>,
    made_of: MadeOf,
}

#[derive(PartialEq)]
struct MadeOf {
    wanted: ServerTlsWanted,
    /// SHA-256 of the content of each file.
    files: Vec<Vec<u8>>,
}

impl ServerHandshakes {
    /// Whether the server's identity is not checked.
    pub fn is_unverified(&self) -> bool {
        self.made_of.wanted.insecure && self.made_of.wanted.pins.is_empty()
    }
}

/// Whether both were made from the same settings and the same files.
impl PartialEq for ServerHandshakes {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.made_of == other.made_of
    }
}

impl fmt::Debug for ServerHandshakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshakes").field("name", &self.name).finish_non_exhaustive()
    }
}

fn read_roots(file: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| TlsError::of(file, &error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| TlsError::of(file, &error))?;
        roots.add(certificate).map_err(|error| TlsError::of(file, &error))?;
    }
    Ok(Arc::new(roots))
}

fn chain_verifier(
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| TlsError(format!("no server can be verified: {error}")))
}
