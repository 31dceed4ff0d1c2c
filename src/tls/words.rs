//! What went wrong with TLS to a server, in words that say what to do.
//!
//! Owns: the words. May touch: nothing outside this room. [`crate::origin::dial`] asks here.

use rustls::{
    AlertDescription, CertificateError, Error as RustlsError, InvalidMessage, PeerIncompatible,
};
use std::io;
use x509_parser::time::ASN1Time;

const NO_VERSION: &str = "it speaks neither TLS 1.2 nor 1.3, one of which is needed";

/// Why a handshake failed.
pub fn handshake(error: &io::Error) -> String {
    match error.get_ref().and_then(|it| it.downcast_ref()) {
        Some(error) => of(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection during the TLS handshake: does it speak TLS?".into()
        }
        None => format!("the connection broke during the TLS handshake: {error}"),
    }
}

/// Why the server refused a handshake that had ended for us: TLS 1.3 servers check our certificate
/// only after that.
pub fn late_refusal(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref()?;
    match error {
        RustlsError::AlertReceived(alert) if is_of_a_handshake(*alert) => Some(of(error)),
        _ => None,
    }
}

fn is_of_a_handshake(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::HandshakeFailure
    )
}

fn of(error: &RustlsError) -> String {
    match error {
        RustlsError::InvalidCertificate(error) => certificate(error),
        RustlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a client certificate: set `tls.certificate` and `tls.key`".into()
        }
        RustlsError::AlertReceived(alert) if is_of_a_handshake(*alert) => {
            format!("it refused the TLS handshake: {alert:?}; does it want a client certificate?")
        }
        RustlsError::AlertReceived(AlertDescription::ProtocolVersion) => {
            format!("it refused the TLS handshake: {NO_VERSION}")
        }
        RustlsError::AlertReceived(alert) => format!("it refused the TLS handshake: {alert:?}"),
        RustlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what it sent is no TLS: does it speak plain HTTP?".into()
        }
        RustlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => NO_VERSION.into(),
        RustlsError::PeerIncompatible(_) => format!("no common TLS version or cipher: {error}"),
        error => format!("the TLS handshake failed: {error}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| name_alone(name)).collect();
            let names = if names.is_empty() { "no name".into() } else { names.join(", ") };
            format!(
                "its certificate is for {names} and not for {}: set `tls.name` to the name that it has",
                expected.to_str()
            )
        }
        CertificateError::UnknownIssuer => {
            "its certificate's issuer is not known here: set `tls.ca` to the file of its authority"
                .into()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired on {}", date(not_after.as_secs()))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}", date(not_before.as_secs()))
        }
        CertificateError::Other(other) => other.0.to_string(),
        error => format!("its certificate can't be trusted: {error}"),
    }
}

/// The names within `DnsName("a.b")` and `IpAddress(1.2.3.4)`, which is how rustls writes them.
fn name_alone(name: &str) -> &str {
    let inside = name.split_once('(').and_then(|(_, it)| it.strip_suffix(')'));
    inside.map_or(name, |it| it.trim_matches('"'))
}

fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|it| ASN1Time::from_timestamp(it).ok());
    time.map_or_else(|| format!("{seconds} s after 1970"), |time| time.to_string())
}
