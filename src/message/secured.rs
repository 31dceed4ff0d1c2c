//! What is known of a client's TLS connection.
//!
//! Owns: the text forms of versions and ciphers. May touch: [`crate::credentials`],
//! [`crate::template`]. Made once per TLS connection, after its handshake.

use crate::{credentials::identity::Identity, template::TlsFact};

/// What is known of a client's TLS connection.
#[derive(Debug, Default)]
pub struct Secured {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The name that the client asked for, lower case.
    pub sni: Option<String>,
    /// Who the client is, by its certificate.
    pub client: Option<Identity>,
}

impl Secured {
    /// A fact as text; empty if it is not known.
    pub fn fact(&self, fact: TlsFact) -> &str {
        let of_client =
            |read: fn(&Identity) -> &String| self.client.as_ref().map_or("", |it| read(it));
        match fact {
            TlsFact::Version => self.version,
            TlsFact::Cipher => self.cipher,
            TlsFact::ServerName => self.sni.as_deref().unwrap_or_default(),
            TlsFact::Subject => of_client(|it| &it.subject),
            TlsFact::Issuer => of_client(|it| &it.issuer),
            TlsFact::Serial => of_client(|it| &it.serial),
            TlsFact::Fingerprint => of_client(|it| &it.fingerprint),
            TlsFact::AlternativeNames => of_client(|it| &it.alternative),
        }
    }
}
