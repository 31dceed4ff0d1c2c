//! Client certificates: who is let in, what is told of them, and that no ticket goes round them.

use crate::rig::{
    Config, Daemon, Server,
    certs::{self, Kind},
    client::request,
    eventually,
    secure::{Handshake, Http2},
    until,
};
use rustls::{SupportedProtocolVersion, version};
use std::{net::SocketAddr, path::PathBuf};

const HTTPS: &str = "[listener.https]\naddress = \"127.0.0.1:0\"\n\
     tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n";

/// The server is told of the client.
const TELL: &str = "request_headers.set = { \"X-Client\" = \"{tls.client.subject}\", \
     \"X-Tls\" = \"{tls.version} {tls.cipher} {tls.sni} {tls.client.issuer} {tls.client.serial} \
     {tls.client.fingerprint} {tls.client.san}\" }";

struct Scene {
    daemon: Daemon,
    server: Server,
}

fn config(server: &Server, listeners: &str) -> Config {
    Config::to([server]).route(TELL).rest(listeners)
}

/// With clients ann, bob, who is revoked where a list is used, old, and mallory, whom nobody knows.
fn scene(client: &str) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    certs::write_authority(dir.path(), "clients");
    certs::write_client(dir.path(), "ann", 0xa1, |_| {});
    certs::write_client(dir.path(), "bob", 0xb2, |_| {});
    certs::write_client(dir.path(), "old", 3, |it| {
        it.not_after = rcgen::date_time_ymd(2026, 1, 1);
    });
    certs::write_stranger(dir.path(), "mallory");
    certs::write_revoked(dir.path(), &[0xb2]);
    let server = Server::start("1");
    let text = config(&server, &format!("{HTTPS}{client}")).text();
    Scene { daemon: Daemon::start_in(dir, &text), server }
}

impl Scene {
    fn https(&self) -> SocketAddr {
        self.daemon.address("https")
    }

    fn dir(&self) -> PathBuf {
        self.daemon.path(".")
    }

    fn client(&self, name: &str, version: &'static SupportedProtocolVersion) -> Handshake {
        let handshake = Handshake::with_versions(&["http/1.1"], &[version]);
        if name.is_empty() { handshake } else { handshake.for_client(&self.dir(), name) }
    }

    /// What the server was told, or why the client was refused.
    fn ask(&self, client: &Handshake) -> Result<String, String> {
        let get = request("GET", "/", "X-Client: CN=root\r\n", "");
        let answer = client.ask(self.https(), "localhost", &get).map_err(|it| it.to_string())?;
        assert_eq!(answer.status, 200);
        Ok(self.server.last_request().head.field("x-client").unwrap_or_default().to_owned())
    }

    fn refused(&self) -> u64 {
        let labels = [("listener", "https"), ("reason", "client_certificate")];
        self.daemon.count("sheave_tls_handshake_failures_total", &labels)
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

#[test]
fn where_it_is_required_only_clients_with_a_good_certificate_come_in() {
    let scene = scene("tls.client = { ca = \"clients.pem\", crl = \"revoked.pem\" }");
    for version in VERSIONS {
        assert_eq!(scene.ask(&scene.client("ann", version)).as_deref(), Ok("CN=ann"));
        let before = scene.refused();
        for (count, (name, alert)) in (1..).zip([
            ("", "ertificate"),
            ("bob", "CertificateRevoked"),
            ("old", "CertificateExpired"),
            ("mallory", "UnknownCA"),
        ]) {
            let refusal = scene.ask(&scene.client(name, version)).unwrap_err();
            assert!(refusal.contains(alert), "{name:?} {version:?}: {refusal}");
            until("the refusal to be counted", || scene.refused() == before + count);
        }
    }
    let told = scene.daemon.log.find_message("a TLS handshake failed", &[("client", "127.0.0.1")]);
    assert!(told.is_some_and(|it| it["detail"].as_str().unwrap().contains("certificate")));
}

/// `openssl req -x509` makes such a certificate by default.
#[test]
fn an_authority_is_no_client_and_the_log_says_so() {
    let scene = scene("tls.client.ca = \"clients.pem\"");
    certs::write_client(&scene.dir(), "root", 9, |it| {
        it.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    scene.ask(&scene.client("root", &version::TLS13)).unwrap_err();
    scene.daemon.log.wait_for("the cause", |line| line.contains("`CA:TRUE`"));
}

#[test]
fn where_it_is_optional_a_client_has_none_or_a_good_one() {
    let scene = scene("tls.client = { ca = \"clients.pem\", mode = \"optional\" }");
    for version in VERSIONS {
        assert_eq!(scene.ask(&scene.client("", version)).as_deref(), Ok(""));
        assert_eq!(scene.ask(&scene.client("ann", version)).as_deref(), Ok("CN=ann"));
        // No list is used here.
        assert_eq!(scene.ask(&scene.client("bob", version)).as_deref(), Ok("CN=bob"));
        for name in ["old", "mallory"] {
            scene.ask(&scene.client(name, version)).unwrap_err();
        }
    }
    until("the refusals to be counted", || scene.refused() == 4);
}

#[test]
fn servers_and_the_log_are_told_who_it_is() {
    let scene = scene("tls.client.ca = \"clients.pem\"");
    let client = Handshake::offering(&["h2"]).for_client(&scene.dir(), "ann");
    let http2 = Http2::connect(&client, scene.https(), "localhost");
    assert_eq!(http2.get("https://localhost/").unwrap().status, 200);
    let told = scene.server.last_request();
    assert_eq!(told.head.field("x-client"), Some("CN=ann"));
    let told: Vec<_> =
        told.head.field("x-tls").unwrap().splitn(4, ' ').map(str::to_owned).collect();
    assert_eq!(told[0], "TLSv1.3");
    assert!(told[1].starts_with("TLS_"), "{told:?}");
    assert_eq!(told[2], "localhost");
    let rest = told[3].strip_prefix("CN=the rig's authority A1 ").unwrap();
    let (fingerprint, names) = rest.split_once(' ').unwrap();
    assert!(fingerprint.len() == 64 && names == "DNS:ann.clients", "{rest}");
    let line = scene.daemon.wait_for_access("the request", |_| true);
    assert_eq!(line["tls_client"], "CN=ann");
    assert_eq!(line["tls_client_fingerprint"], fingerprint);
    // Without TLS there is nothing to tell, and the client can't say it itself.
    let plain = request("GET", "/", "X-Client: CN=root\r\n", "");
    crate::rig::client::ask(scene.daemon.http(), &plain);
    assert_eq!(scene.server.last_request().head.field("x-client"), Some(""));
}

#[test]
fn a_resumed_session_is_the_same_clients() {
    for version in VERSIONS {
        let scene = scene("tls.client = { ca = \"clients.pem\", mode = \"optional\" }");
        for (name, subject) in [("ann", "CN=ann"), ("", "")] {
            let client = scene.client(name, version);
            let resumed = |expected| {
                let (mut client, agreed) = client.connect(scene.https(), "localhost");
                assert_eq!(client.get("/").status, 200);
                assert_eq!(scene.server.last_request().head.field("x-client"), Some(subject));
                assert_eq!(agreed.resumed, expected, "{name:?} {version:?}");
            };
            resumed(false);
            resumed(true);
        }
        let full = [("listener", "https"), ("result", "resumed")];
        until("the count", || scene.daemon.count("sheave_tls_handshakes_total", &full) == 2);
    }
}

#[test]
fn a_ticket_from_a_listener_without_authorities_opens_no_other() {
    for version in VERSIONS {
        let others = "tls.client.ca = \"clients.pem\"\n[listener.open]\naddress = \"127.0.0.1:0\"\n\
             tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n\
             [listener.optional]\naddress = \"127.0.0.1:0\"\n\
             tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n\
             tls.client = { ca = \"clients.pem\", mode = \"optional\" }\n";
        let scene = scene(others);
        for from in ["open", "optional"] {
            let client = scene.client("", version);
            let address = scene.daemon.address(from);
            for resumed in [false, true] {
                let (mut connection, agreed) = client.connect(address, "localhost");
                assert_eq!(connection.get("/").status, 200);
                assert_eq!(agreed.resumed, resumed);
            }
            scene.ask(&client).unwrap_err();
        }
    }
}

#[test]
fn who_is_revoked_stays_out_with_a_ticket_too() {
    for version in VERSIONS {
        let scene = scene("tls.client = { ca = \"clients.pem\", crl = \"revoked.pem\" }");
        let ann = scene.client("ann", version);
        assert_eq!(scene.ask(&ann).as_deref(), Ok("CN=ann"));
        certs::write_revoked(&scene.dir(), &[0xa1]);
        // Nobody has said that the file has changed.
        let refusal = eventually("ann's refusal", || scene.ask(&ann).err());
        assert!(refusal.contains("CertificateRevoked"), "{refusal}");
        assert_eq!(scene.ask(&scene.client("bob", version)).as_deref(), Ok("CN=bob"));
    }
}

#[test]
fn a_session_ends_with_the_certificate_that_began_it() {
    let scene = scene("tls.client.ca = \"clients.pem\"");
    let ends = jiff::Timestamp::now().as_second() as u64 + 4;
    certs::write_client(&scene.dir(), "eve", 7, |it| {
        it.not_after = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(ends);
    });
    let clients = VERSIONS.map(|version| scene.client("eve", version));
    for client in &clients {
        assert_eq!(scene.ask(client).as_deref(), Ok("CN=eve"));
    }
    for client in &clients {
        // It has tickets from all that went well.
        eventually("eve's refusal", || scene.ask(client).err());
    }
    until("the refusals to be counted", || scene.refused() >= 2);
}

#[test]
fn files_that_cannot_be_used_change_nothing() {
    let scene = scene("tls.client = { ca = \"clients.pem\", crl = \"revoked.pem\" }");
    for (file, text, told) in [
        ("revoked.pem", "none", "has no list of revoked certificates"),
        ("clients.pem", "none", "has no certificate"),
    ] {
        let good = std::fs::read(scene.daemon.path(file)).unwrap();
        certs::replace(&scene.daemon.path(file), text);
        let refused = scene.daemon.reload();
        assert!(refused.status == 422 && refused.text().contains(told), "{}", refused.text());
        assert_eq!(scene.ask(&scene.client("ann", &version::TLS13)).as_deref(), Ok("CN=ann"));
        scene.ask(&scene.client("bob", &version::TLS13)).unwrap_err();
        certs::replace(&scene.daemon.path(file), good);
    }
}
