//! Ticket keys from a file, OCSP staples, and two kinds of key for one name.

use crate::rig::{
    Config, Daemon, Server,
    certs::{self, Kind},
    eventually,
    secure::Handshake,
    until,
};
use rustls::{
    DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version,
};
use std::sync::{Arc, Mutex};

const HTTPS: &str = "[listener.https]\naddress = \"127.0.0.1:0\"\n";
const SITE: &str = "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n";

fn resumes(client: &Handshake, daemon: &Daemon) -> bool {
    let (mut connection, agreed) = client.connect(daemon.address("https"), "localhost");
    // Tickets of TLS 1.3 come with the first data.
    assert_eq!(connection.get("/").status, 200);
    agreed.resumed
}

#[test]
fn instances_with_the_same_keys_resume_each_others_sessions() {
    let server = Server::start("1");
    let key = |digit: &str| digit.repeat(64);
    let start = |keys: &str| {
        let dir = tempfile::tempdir().unwrap();
        certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
        certs::replace(&dir.path().join("keys"), keys);
        let text = format!("{HTTPS}{SITE}tls.ticket_keys = \"keys\"");
        Daemon::start_in(dir, &Config::to([&server]).rest(&text).text())
    };
    for versions in [[&version::TLS12], [&version::TLS13]] {
        let (one, other) = (start(&key("1")), start(&format!("# both\n{}\n", key("1"))));
        let stranger = start(&key("2"));
        let client = Handshake::with_versions(&["http/1.1"], &versions);
        assert!(!resumes(&client, &one));
        assert!(resumes(&client, &other), "{versions:?}");
        assert!(resumes(&client, &one), "{versions:?}");
        assert!(!resumes(&client, &stranger), "its key is another");
        // A new key encrypts at one instance, and another knows it already, as it should.
        let client = Handshake::with_versions(&["http/1.1"], &versions);
        assert!(!resumes(&client, &one));
        certs::replace(&other.path("keys"), format!("{}\n{}\n", key("1"), key("3")));
        let generation = one.admin_json("/health").1["checks"]["config"]["generation"].clone();
        certs::replace(&one.path("keys"), format!("{}\n{}\n", key("3"), key("1")));
        until("the new keys", || {
            one.admin_json("/health").1["checks"]["config"]["generation"] != generation
        });
        assert!(resumes(&client, &one), "the old key still decrypts");
        eventually("the new key at the other", || resumes(&client, &other).then_some(()));
        certs::replace(&one.path("keys"), "12");
        let refused = one.reload();
        assert!(refused.status == 422 && refused.text().contains("2 characters on line 1"));
        assert!(resumes(&client, &one));
    }
}

/// Takes every certificate, and keeps what is stapled.
#[derive(Debug)]
struct Stapled {
    staple: Mutex<Vec<u8>>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        *self.staple.lock().unwrap() = staple.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

const ECDSA: [SignatureScheme; 1] = [SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: [SignatureScheme; 2] =
    [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];

/// A client that can verify only these, and what was stapled for it.
fn client(
    versions: &[&'static rustls::SupportedProtocolVersion],
    schemes: &[SignatureScheme],
) -> (Handshake, Arc<Stapled>) {
    let seen = Arc::new(Stapled { staple: Mutex::default(), schemes: schemes.to_vec() });
    let verifier = Arc::clone(&seen);
    let handshake = Handshake::with_versions(&[], versions)
        .with(|it| it.dangerous().set_certificate_verifier(verifier));
    (handshake, seen)
}

#[test]
fn a_good_ocsp_response_is_stapled_and_a_bad_one_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    certs::write_with(dir.path(), "site", Kind::Ecdsa, &["localhost"], |it| {
        it.serial_number = Some(rcgen::SerialNumber::from(vec![1, 2, 3, 4, 5, 6, 7, 8]));
    });
    let serial = 0x0102_0304_0506_0708;
    let good = certs::staple(serial, "20990101000000Z");
    certs::replace(&dir.path().join("site.ocsp"), &good);
    let server = Server::start("1");
    let listener =
        "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\", ocsp = \"site.ocsp\" }]";
    let config = Config::to([&server]).rest(&format!("{HTTPS}{listener}"));
    let daemon = Daemon::start_in(dir, &config.text());
    let stapled = || {
        let all = [[&version::TLS12], [&version::TLS13]].map(|versions| {
            let (client, seen) = client(&versions, &ECDSA);
            client.connect(daemon.address("https"), "localhost");
            seen.staple.lock().unwrap().clone()
        });
        all.concat()
    };
    let both = [&good[..], &good].concat();
    assert!(stapled() == both);
    for (bad, told) in [
        (certs::staple(serial, "20260102000000Z"), "ended on"),
        (certs::staple(7, "20990101000000Z"), "is for another certificate"),
        (good[..good.len() - 1].to_vec(), "is no OCSP response"),
    ] {
        certs::replace(&daemon.path("site.ocsp"), &bad);
        eventually("nothing stapled", || stapled().is_empty().then_some(()));
        daemon.log.wait_for(told, |line| line.contains(told));
        certs::replace(&daemon.path("site.ocsp"), &good);
        eventually("the good one again", || (stapled() == both).then_some(()));
    }
    std::fs::remove_file(daemon.path("site.ocsp")).unwrap();
    assert_eq!(daemon.reload().status, 200);
    assert!(stapled().is_empty());
}

#[test]
fn of_two_keys_for_one_name_each_client_gets_one_that_it_can_verify() {
    for order in [["rsa", "ecdsa"], ["ecdsa", "rsa"]] {
        let dir = tempfile::tempdir().unwrap();
        let rsa = certs::write(dir.path(), "rsa", Kind::Rsa, &["localhost"]);
        let ecdsa = certs::write(dir.path(), "ecdsa", Kind::Ecdsa, &["localhost"]);
        let pairs = order.map(|it| format!("{{ cert = \"{it}.pem\", key = \"{it}.key\" }}"));
        let listener = format!("{HTTPS}tls.certificates = [{}]", pairs.join(", "));
        let server = Server::start("1");
        let daemon = Daemon::start_in(dir, &Config::to([&server]).rest(&listener).text());
        for versions in [[&version::TLS12], [&version::TLS13]] {
            for (schemes, expected) in
                [(&ECDSA[..], &ecdsa), (&RSA[..], &rsa), (&[ECDSA[0], RSA[0], RSA[1]][..], &ecdsa)]
            {
                let (client, _) = client(&versions, schemes);
                let (mut connection, agreed) = client.connect(daemon.address("https"), "localhost");
                assert!(agreed.certificate == *expected, "{order:?} {versions:?} {schemes:?}");
                assert_eq!(connection.get("/").status, 200);
            }
        }
    }
}
