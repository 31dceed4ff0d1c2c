//! TLS termination: which certificate, which protocol, tickets, changed files.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    certs::{self, Kind},
    client::request,
    eventually,
    log_book::LogBook,
    secure::{Handshake, Http2},
    until,
};
use rustls::{ProtocolVersion, version};
use std::{io::Write, process::Stdio};
use tempfile::TempDir;

/// Three certificates: ECDSA for one name, RSA for a wildcard, ECDSA that comes first.
struct Scene {
    daemon: Daemon,
    server: Server,
    first: Vec<u8>,
    api: Vec<u8>,
    wildcard: Vec<u8>,
}

const CERTIFICATES: &str = "tls.certificates = [{ cert = \"first.pem\", key = \"first.key\" }, \
     { cert = \"api.pem\", key = \"api.key\" }, { cert = \"wild.pem\", key = \"wild.key\" }]";

fn config(server: &Server, tls: &str) -> Config {
    Config::to([server])
        .rest(&format!("[listener.https]\naddress = \"127.0.0.1:0\"\n{CERTIFICATES}\n{tls}"))
}

fn scene(tls: &str) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let first = certs::write(dir.path(), "first", Kind::Ecdsa, &["localhost", "first.example"]);
    let api = certs::write(dir.path(), "api", Kind::Ecdsa, &["api.example.com"]);
    let wildcard = certs::write(dir.path(), "wild", Kind::Rsa, &["*.example.com"]);
    let server = Server::start("1");
    let daemon = start(dir, &config(&server, tls));
    Scene { daemon, server, first, api, wildcard }
}

fn start(dir: TempDir, config: &Config) -> Daemon {
    Daemon::start_in(dir, &config.text())
}

impl Scene {
    fn https(&self) -> std::net::SocketAddr {
        self.daemon.address("https")
    }
}

fn get_as(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn sni_chooses_the_certificate_exact_before_wildcard() {
    let scene = scene("");
    let handshake = Handshake::offering(&[]);
    for (name, certificate) in [
        ("localhost", &scene.first),
        ("api.example.com", &scene.api),
        ("www.example.com", &scene.wildcard),
        ("first.example", &scene.first),
    ] {
        let (mut client, agreed) = handshake.connect(scene.https(), name);
        assert!(agreed.certificate == *certificate, "{name}");
        assert_eq!(client.ask(&get_as(name)).text(), "1", "{name}");
    }
    let full = [("listener", "https"), ("result", "full")];
    until("the handshakes to be counted", || {
        scene.daemon.count("sheave_tls_handshakes_total", &full) >= 4
    });
}

#[test]
fn an_unknown_name_gets_the_first_certificate() {
    let scene = scene("");
    // The client refuses it, since it does not cover the name: that it was offered is the point.
    let refusal = Handshake::offering(&[]).try_connect(scene.https(), "unknown.org");
    let refusal = refusal.map(|_| ()).unwrap_err().to_string();
    assert!(refusal.contains("certificate"), "{refusal}");
    let failed = [("listener", "https"), ("result", "failed")];
    until("the failure to be counted", || {
        scene.daemon.count("sheave_tls_handshakes_total", &failed) >= 1
    });
}

#[test]
fn both_tls_versions_are_spoken_with_both_kinds_of_key() {
    let scene = scene("");
    for (versions, expected) in [
        ([&version::TLS12], ProtocolVersion::TLSv1_2),
        ([&version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let handshake = Handshake::with_versions(&[], &versions);
        for name in ["api.example.com", "www.example.com"] {
            let (mut client, agreed) = handshake.connect(scene.https(), name);
            assert_eq!(agreed.version, expected);
            assert_eq!(client.ask(&get_as(name)).status, 200);
        }
    }
}

#[test]
fn min_version_1_3_refuses_1_2() {
    let scene = scene("tls.min_version = \"1.3\"");
    let old = Handshake::with_versions(&[], &[&version::TLS12]);
    assert!(old.try_connect(scene.https(), "localhost").is_err());
    scene.daemon.log.wait_for("why", |line| {
        line.contains("incompatible") && line.contains("the client offers no version of TLS that")
    });
    let new = Handshake::with_versions(&[], &[&version::TLS13]);
    assert_eq!(new.connect(scene.https(), "localhost").1.version, ProtocolVersion::TLSv1_3);
}

#[test]
fn alpn_agrees_on_h2_or_http_1_1() {
    let scene = scene("");
    for (offer, agreed) in [
        (vec!["h2", "http/1.1"], Some("h2")),
        (vec!["http/1.1", "h2"], Some("h2")),
        (vec!["http/1.1"], Some("http/1.1")),
        (vec![], None),
    ] {
        let (_, got) = Handshake::offering(&offer).connect(scene.https(), "localhost");
        // Which of the two is preferred is the server's to say.
        if offer.len() == 2 {
            assert!(got.alpn.is_some());
        } else {
            assert_eq!(got.alpn.as_deref(), agreed, "{offer:?}");
        }
    }
    let (_, got) = Handshake::offering(&["h2", "http/1.1"]).connect(scene.https(), "localhost");
    assert_eq!(got.alpn.as_deref(), Some("h2"));
}

#[test]
fn http2_can_be_switched_off() {
    let scene = scene("tls.http2 = false");
    let (mut client, got) =
        Handshake::offering(&["h2", "http/1.1"]).connect(scene.https(), "localhost");
    assert_eq!(got.alpn.as_deref(), Some("http/1.1"));
    assert_eq!(client.ask(&get_as("localhost")).status, 200);
}

#[test]
fn a_host_that_the_certificate_does_not_cover_is_421() {
    let scene = scene("");
    let handshake = Handshake::offering(&["http/1.1"]);
    let (mut client, _) = handshake.connect(scene.https(), "api.example.com");
    assert_eq!(client.ask(&get_as("first.example")).status, 421);
    scene.daemon.wait_for_reason("misdirected");
    let (mut client, _) = handshake.connect(scene.https(), "www.example.com");
    assert_eq!(client.ask(&get_as("other.example.com")).status, 200, "a wildcard covers both");
    let http2 = Http2::connect(&Handshake::offering(&["h2"]), scene.https(), "api.example.com");
    assert_eq!(http2.get("https://first.example/").unwrap().status, 421);
}

#[test]
fn strict_sni_can_be_switched_off() {
    let scene = scene("tls.strict_sni = false");
    let (mut client, _) = Handshake::offering(&[]).connect(scene.https(), "api.example.com");
    assert_eq!(client.ask(&get_as("first.example")).status, 200);
}

#[test]
fn sessions_are_resumed_also_across_a_reload() {
    for versions in [[&version::TLS12], [&version::TLS13]] {
        let scene = scene("");
        let handshake = Handshake::with_versions(&["http/1.1"], &versions);
        let resumed = || {
            let (mut client, agreed) = handshake.connect(scene.https(), "localhost");
            // Tickets of TLS 1.3 come with the first data.
            assert_eq!(client.ask(&get_as("localhost")).status, 200);
            agreed.resumed
        };
        assert!(!resumed());
        assert!(resumed(), "{versions:?}");
        scene.daemon.reconfigure(
            &config(&scene.server, "").route("response_headers.set = { \"X-New\" = \"1\" }"),
        );
        assert!(resumed(), "{versions:?} after a reload");
    }
}

#[test]
fn a_changed_certificate_is_picked_up_without_a_restart_and_without_a_command() {
    let scene = scene("");
    let handshake = Handshake::offering(&["http/1.1"]);
    let (mut open, _) = handshake.connect(scene.https(), "api.example.com");
    open.ask(&get_as("api.example.com"));
    let renewed = certs::write(&scene.daemon.path("."), "api", Kind::Ecdsa, &["api.example.com"]);
    eventually("the renewed certificate", || {
        let fresh = Handshake::offering(&[]);
        let (_, agreed) = fresh.connect(scene.https(), "api.example.com");
        (agreed.certificate == renewed).then_some(())
    });
    assert_eq!(open.ask(&get_as("api.example.com")).status, 200, "open connections live on");
}

#[test]
fn a_certificate_that_does_not_match_its_key_changes_nothing() {
    let scene = scene("");
    std::fs::copy(scene.daemon.path("wild.key"), scene.daemon.path("api.key")).unwrap();
    let refused = scene.daemon.reload();
    assert_eq!(refused.status, 422, "{}", refused.text());
    let (_, agreed) = Handshake::offering(&[]).connect(scene.https(), "api.example.com");
    assert!(agreed.certificate == scene.api);
}

#[test]
fn a_damaged_intermediate_certificate_is_not_taken_into_use() {
    let scene = scene("");
    let chain = std::fs::read_to_string(scene.daemon.path("api.pem")).unwrap();
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(scene.daemon.path("api.pem"), chain + damaged).unwrap();
    let refused = scene.daemon.reload();
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("certificate 2 of 2 in"), "{}", refused.text());
    let (_, agreed) = Handshake::offering(&[]).connect(scene.https(), "api.example.com");
    assert!(agreed.certificate == scene.api);
}

#[test]
fn who_speaks_http_to_a_tls_listener_is_told_and_else_closed() {
    let scene = scene("timeouts = { tls_handshake = \"500ms\" }");
    let mut plain = crate::rig::Client::connect(scene.https());
    plain.send(request("POST", "/", "", &"x".repeat(100_000)));
    let answer = plain.response();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("http_on_https_port"), "{}", answer.text());
    plain.expect_close();
    scene.daemon.wait_for_reason("http_on_https_port");
    let failures = |reason: &str| {
        let labels = [("listener", "https"), ("reason", reason)];
        scene.daemon.count("sheave_tls_handshake_failures_total", &labels)
    };
    assert_eq!(failures("plain_http"), 1);
    let mut garbage = crate::rig::Client::connect(scene.https());
    garbage.send([0x16, 3, 1, 0, 2, 1, 1]);
    assert!(garbage.rest().is_ok_and(|rest| !rest.starts_with(b"HTTP")));
    let mut silent = crate::rig::Client::connect(scene.https());
    silent.expect_close();
    until("all to be counted", || failures("timeout") == 2);
    assert_eq!(scene.server.request_count(), 0);
}

#[test]
fn a_response_larger_than_every_buffer_comes_whole_over_tls() {
    let scene = scene("");
    let large = "0123456789abcdef".repeat(1 << 21);
    scene.server.set(Behaviour::status(200, &large));
    let (mut client, _) = Handshake::offering(&[]).connect(scene.https(), "localhost");
    for _ in 0..2 {
        client.send(get_as("localhost"));
        until("the response to be under way", || {
            scene.daemon.count("sheave_requests_in_flight", &[]) == 1
        });
        let answer = client.response();
        assert!(answer.status == 200 && answer.body == large.as_bytes());
    }
}

#[test]
fn ecdsa_is_preferred_whatever_the_order_in_the_config() {
    for order in [["rsa", "ecdsa"], ["ecdsa", "rsa"]] {
        let dir = tempfile::tempdir().unwrap();
        certs::write(dir.path(), "rsa", Kind::Rsa, &["localhost", "127.0.0.1"]);
        let ecdsa = certs::write(dir.path(), "ecdsa", Kind::Ecdsa, &["localhost", "127.0.0.1"]);
        let server = Server::start("1");
        let pairs = order.map(|it| format!("{{ cert = \"{it}.pem\", key = \"{it}.key\" }}"));
        let daemon = start(
            dir,
            &Config::to([&server]).rest(&format!(
                "[listener.https]\naddress = \"127.0.0.1:0\"\ntls.certificates = [{}]",
                pairs.join(", ")
            )),
        );
        let https = daemon.address("https");
        for versions in [[&version::TLS12], [&version::TLS13]] {
            let handshake = Handshake::with_versions(&[], &versions);
            let (_, agreed) = handshake.connect(https, "localhost");
            assert!(agreed.certificate == ecdsa, "{order:?} {versions:?}");
            // Without a name the first one serves, or a better one with its name.
            let (_, agreed) = handshake.connect(https, "127.0.0.1");
            assert!(agreed.certificate == ecdsa, "{order:?} {versions:?}");
        }
    }
}

#[test]
fn a_certificates_end_is_seen_coming() {
    let dir = tempfile::tempdir().unwrap();
    let days = |days: i64| {
        let date = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let date = date.to_zoned(jiff::tz::TimeZone::UTC);
        rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
    };
    let write = |dir: &std::path::Path, end| {
        certs::write_with(dir, "site", Kind::Ecdsa, &["localhost"], |it| it.not_after = days(end));
    };
    write(dir.path(), 3);
    let server = Server::start("1");
    let listener = "[listener.https]\naddress = \"127.0.0.1:0\"\n\
                    tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
    let daemon = start(dir, &Config::to([&server]).rest(listener));
    daemon.log.wait_for("the warning", |line| line.contains(", in 2 days"));
    let ends = daemon.metric(
        "sheave_tls_certificate_expiry_timestamp_seconds",
        &[("listener", "https"), ("certificate", &daemon.path("site.pem").display().to_string())],
    );
    let left = ends - jiff::Timestamp::now().as_second() as f64;
    assert!((2.0..=3.0).contains(&(left / 86_400.0)), "{left}");
    let (status, health) = daemon.admin_json("/health");
    let certificates = &health["checks"]["certificates"];
    assert_eq!(
        (status, &health["status"], &certificates["status"]),
        (200, &"degraded".into(), &"degraded".into())
    );
    assert!(certificates["first_to_expire"].as_str().unwrap().ends_with("site.pem"), "{health}");
    write(&daemon.path("."), 20);
    until("the renewed one", || daemon.admin_json("/health").1["status"] == "ok");
}

#[test]
fn failed_handshakes_are_told_by_reason_and_at_a_limited_rate() {
    let scene = scene("tls.min_version = \"1.3\"");
    let https = scene.https();
    for _ in 0..5 {
        let old = Handshake::with_versions(&[], &[&version::TLS12]);
        assert!(old.try_connect(https, "localhost").is_err());
        // It asks for one name and gets another's certificate.
        assert!(Handshake::offering(&[]).try_connect(https, "elsewhere.test").is_err());
        let mut garbage = crate::rig::Client::connect(https);
        garbage.send([0x16, 3, 1, 0, 4, 99, 1, 1, 1]);
        let _ = garbage.rest();
    }
    for reason in ["incompatible", "client_refused", "bad_message"] {
        let labels = [("listener", "https"), ("reason", reason)];
        let name = "sheave_tls_handshake_failures_total";
        until(reason, || scene.daemon.count(name, &labels) == 5);
        let line = eventually(reason, || {
            scene.daemon.log.find_message("a TLS handshake failed", &[("reason", reason)])
        });
        assert_eq!(line["client"], "127.0.0.1");
        let lines = scene.daemon.log.lines();
        let told = lines.iter().filter(|line| line.contains(&format!("\"reason\":\"{reason}\"")));
        assert_eq!(told.count(), 1, "{reason}");
    }
}

#[test]
fn a_handshake_that_is_not_finished_holds_no_stop_up() {
    let mut scene = scene("timeouts = { tls_handshake = \"1h\" }");
    let https = scene.https();
    let mut silent = crate::rig::Client::connect(https);
    silent.send([0x16]);
    scene.daemon.wait_for_metric("sheave_connections_open", &[("listener", "https")], 1);
    let since = std::time::Instant::now();
    scene.daemon.signal("TERM");
    assert_eq!(scene.daemon.wait_exit(), Some(0));
    assert!(since.elapsed() < std::time::Duration::from_secs(8), "{:?}", since.elapsed());
    assert!(!scene.daemon.log.lines().iter().any(|line| line.contains("cut short")));
}

/// rustls's own client renegotiates nothing, so this one is OpenSSL's; without it nothing is tried.
#[test]
fn who_asks_to_renegotiate_is_told_no_at_once() {
    let scene = scene("timeouts = { idle = \"1h\" }");
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-tls1_2", "-msg", "-connect", &scene.https().to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut client) = command.spawn() else { return };
    let said = LogBook::reading(client.stdout.take().unwrap());
    said.wait_for("the handshake", |line| line.contains("Verify return code"));
    // A line of its own, once the line before has been read.
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(b"R\n").unwrap();
    said.wait_for("the answer", |line| line.contains("no_renegotiation"));
    client.kill().unwrap();
    client.wait().unwrap();
}
