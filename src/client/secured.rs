//! What a finished TLS handshake has told of a client.
//!
//! Owns: reading it out of rustls, once per connection. May touch: [`crate::credentials`],
//! [`crate::message`]. Called by [`super::handshake`].

use crate::{credentials::identity::Identity, message::secured::Secured};
use rustls::{
    CertificateError, CipherSuite, Error as TlsError, HandshakeKind, ProtocolVersion,
    ServerConnection, pki_types::UnixTime,
};

/// What is known of a connection; an error if its client certificate can't be taken.
pub fn read(tls: &ServerConnection) -> Result<Secured, TlsError> {
    let client = tls.peer_certificates().and_then(|chain| chain.first());
    let client = match client.map(|leaf| Identity::read(leaf)) {
        None => None,
        Some(None) => return Err(CertificateError::BadEncoding.into()),
        Some(Some(client)) => {
            // A full handshake has verified the certificate. A resumed one has not looked at it.
            let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
            if resumed && client.ends < UnixTime::now().as_secs() as i64 {
                return Err(CertificateError::Expired.into());
            }
            Some(client)
        }
    };
    Ok(Secured {
        version: tls.protocol_version().map_or("", version),
        cipher: tls.negotiated_cipher_suite().map_or("", |it| cipher(it.suite())),
        sni: tls.server_name().map(str::to_ascii_lowercase),
        client,
    })
}

/// As in other servers' logs.
fn version(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "",
    }
}

/// IANA's name; rustls has names of its own for those of TLS 1.3.
fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or_default(),
    }
}
