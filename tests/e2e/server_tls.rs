//! TLS to servers: who is verified and how, what a failure says, sessions, changed files.

use crate::rig::{
    Behaviour, Config, Daemon, Server, Step,
    certs::{self, Kind},
    client::{self, Client},
    eventually,
    front::Front,
    until,
};
use rcgen::CertificateParams;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener},
    path::Path,
    sync::Arc,
    thread,
};
use tempfile::TempDir;

const LOCALHOST_INSECURE: &str = "tls = { insecure = true, name = \"localhost\" }";

/// A directory with the authority as `ca.pem`.
fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    certs::write_authority(dir.path(), "ca");
    dir
}

/// TLS before `server`, with a certificate for `name`.
fn front(dir: &Path, server: &Server, name: &str) -> Front {
    certs::write(dir, "server", Kind::Ecdsa, &[name]);
    Front::start(server, Some(certs::server_config(dir, "server", false)), false)
}

/// An upstream with one server behind TLS.
struct Scene {
    daemon: Daemon,
    server: Server,
    front: Front,
}

impl Scene {
    /// The server's certificate is for `name`, and `tls` is what the upstream has.
    fn new(name: &str, tls: &str) -> Self {
        Self::with(name, tls, |_| {})
    }

    /// The same, with a certificate that is changed a little.
    fn with(name: &str, tls: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (dir, server) = (directory(), Server::start("1"));
        certs::write_with(dir.path(), "server", Kind::Ecdsa, &[name], change);
        let tls_of = certs::server_config(dir.path(), "server", false);
        let front = Front::start(&server, Some(tls_of), false);
        let config = Config::bare().address(&front.address, "").upstream(tls);
        Self { daemon: Daemon::start_in(dir, &config.text()), server, front }
    }

    /// What the log says of a request that failed.
    fn failure(&self) -> String {
        let answer = client::get(self.daemon.http(), "/");
        assert_eq!((answer.status, self.server.request_count()), (502, 0));
        assert!(answer.text().contains("reason: tls_failed"), "{}", answer.text());
        let line = self.daemon.wait_for_reason("tls_failed");
        let labels = [("upstream", "app"), ("outcome", "tls_failed")];
        self.daemon.wait_for_metric("sheave_upstream_attempts_total", &labels, 1);
        line["detail"].as_str().expect("a detail").to_owned()
    }
}

const LOCALHOST: &str = "tls = { ca = \"ca.pem\", name = \"localhost\" }";

#[test]
fn a_server_is_verified_by_the_authority_and_name_that_the_config_has() {
    let scene = Scene::new("localhost", LOCALHOST);
    scene.server.set(Behaviour::echo());
    let mut client = Client::connect(scene.daemon.http());
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
    }
    let seen = scene.front.seen();
    assert_eq!(seen.len(), 1, "one connection is used again");
    assert_eq!(seen[0].sni.as_deref(), Some("localhost"));
    assert_eq!(seen[0].alpn.as_deref(), Some("http/1.1"));
    for size in [10, 5_000, 70_000, 1_500_000] {
        let body = "x".repeat(size);
        let answer = client.ask(&client::request("POST", "/", "", &body));
        assert!(answer.status == 200 && answer.text().ends_with(&body), "{size}");
    }
    let (_, health) = scene.daemon.admin_json("/health");
    assert_eq!(health["checks"]["upstream.app"]["tls"], Value::Null);
}

#[test]
fn an_address_without_a_name_is_verified_as_an_address() {
    let tls = "tls = { ca = \"ca.pem\" }";
    let scene = Scene::new("127.0.0.1", tls);
    assert_eq!(client::get(scene.daemon.http(), "/").text(), "1");
    assert_eq!(scene.front.seen()[0].sni, None, "an address is no SNI");
    let detail = Scene::new("localhost", tls).failure();
    assert!(detail.contains("is for localhost and not for 127.0.0.1"), "{detail}");
}

#[test]
fn a_url_with_https_is_tls_and_one_with_http_is_not() {
    let (dir, plain, secret) = (directory(), Server::start("plain"), Server::start("secret"));
    let front = front(dir.path(), &secret, "127.0.0.1");
    let config = Config::bare()
        .address(&format!("http://{plain}"), "")
        .address(&format!("https://{front}"), "tls = { ca = \"ca.pem\" }");
    let daemon = Daemon::start_in(dir, &config.text());
    let mut names = [0, 0].map(|_| client::get(daemon.http(), "/").text());
    names.sort();
    assert_eq!(names, ["plain", "secret"]);
    assert_eq!(daemon.state_name(&front.address), "up");
    assert_eq!(daemon.state_name(&plain.to_string()), "up");
}

#[test]
fn a_wrong_name_is_told_with_the_names_that_the_certificate_has() {
    let detail = Scene::new("other.test", LOCALHOST).failure();
    assert!(detail.contains("is for other.test and not for localhost"), "{detail}");
    assert!(detail.contains("`tls.name`"), "{detail}");
}

#[test]
fn an_unknown_authority_is_told_with_what_to_do() {
    let detail = Scene::new("localhost", "tls = { name = \"localhost\" }").failure();
    assert!(detail.contains("issuer is not known") && detail.contains("`tls.ca`"), "{detail}");
}

#[test]
fn the_systems_authorities_are_the_default() {
    let (dir, server) = (directory(), Server::start("1"));
    let front = front(dir.path(), &server, "localhost");
    let config = Config::bare().address(&front.address, "").upstream("tls.name = \"localhost\"");
    let ca = dir.path().join("ca.pem");
    let daemon = Daemon::start_with(dir, &config.text(), ("SSL_CERT_FILE", &ca));
    assert_eq!(client::get(daemon.http(), "/").text(), "1");
}

#[test]
fn a_certificate_that_has_expired_or_does_not_hold_yet_is_refused() {
    let expired = Scene::with("localhost", LOCALHOST, |params| {
        params.not_after = rcgen::date_time_ymd(2021, 3, 4);
    });
    let detail = expired.failure();
    assert!(detail.contains("expired on Mar  4 00:00:00 2021"), "{detail}");
    let early = Scene::with("localhost", LOCALHOST, |params| {
        params.not_before = rcgen::date_time_ymd(2090, 1, 1);
        params.not_after = rcgen::date_time_ymd(2091, 1, 1);
    });
    let detail = early.failure();
    assert!(detail.contains("is not valid before Jan  1 00:00:00 2090"), "{detail}");
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours() {
    let (dir, server) = (directory(), Server::start("1"));
    certs::write(dir.path(), "server", Kind::Ecdsa, &["localhost"]);
    let ours = certs::write(dir.path(), "ours", Kind::Ecdsa, &["proxy.test"]);
    let tls = certs::server_config(dir.path(), "server", true);
    let front = Front::start(&server, Some(tls), false);
    let config = Config::bare().address(&front.address, "").upstream(
        "tls = { ca = \"ca.pem\", name = \"localhost\", certificate = \"ours.pem\", \
         key = \"ours.key\" }",
    );
    let daemon = Daemon::start_in(dir, &config.text());
    assert_eq!(client::get(daemon.http(), "/").text(), "1");
    assert_eq!(front.seen()[0].certificate.as_ref(), Some(&ours));
}

#[test]
fn without_the_certificate_that_a_server_wants_another_is_asked() {
    let (dir, secret, other) = (directory(), Server::start("secret"), Server::start("other"));
    certs::write(dir.path(), "server", Kind::Ecdsa, &["localhost"]);
    let tls = certs::server_config(dir.path(), "server", true);
    let front = Front::start(&secret, Some(tls), false);
    let config = Config::bare()
        .address(&front.address, LOCALHOST)
        .server(&other, "backup = true")
        .upstream("retry.budget_min = 9");
    let daemon = Daemon::start_in(dir, &config.text());
    // It has not been read by the server, so it may be repeated, although it is no idempotent one.
    let answer = client::ask(daemon.http(), &client::request("POST", "/", "", "body"));
    assert_eq!(answer.text(), "other");
    assert_eq!((secret.request_count(), other.request_count()), (0, 1));
    let line = daemon.wait_for_reason("tls_failed");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("wants a client certificate"), "{detail}");
    assert_eq!(daemon.server_state(&front.address)["last_failure"], "tls_failed");
}

/// The hash of the key of the certificate in `server.pem`, as the docs tell to get it.
fn pin(dir: &Path) -> String {
    let script = "openssl x509 -in server.pem -pubkey -noout | openssl pkey -pubin -outform der \
                  | openssl dgst -sha256 -binary | openssl base64";
    let output = std::process::Command::new("sh").args(["-c", script]).current_dir(dir).output();
    String::from_utf8(output.expect("openssl").stdout).expect("base64").trim().to_owned()
}

#[test]
fn a_pinned_key_must_be_the_servers() {
    let (dir, server) = (directory(), Server::start("1"));
    let front = front(dir.path(), &server, "localhost");
    let right = pin(dir.path());
    let wrong = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let config = |tls: &str| Config::bare().address(&front.address, "").upstream(tls).text();
    let (plain, alone, either) = (
        format!("tls = {{ ca = \"ca.pem\", name = \"localhost\", pin = \"{right}\" }}"),
        format!("tls = {{ insecure = true, pin = \"sha256//{right}\" }}"),
        format!("tls = {{ insecure = true, pin = [\"{wrong}\", \"{right}\"] }}"),
    );
    let daemon = Daemon::start_in(dir, &config(&plain));
    for tls in [plain, alone, either] {
        daemon.rewrite_config(&config(&tls));
        assert_eq!(daemon.reload().status, 200);
        assert_eq!(client::get(daemon.http(), "/").text(), "1", "{tls}");
        let (_, health) = daemon.admin_json("/health");
        assert_eq!(health["checks"]["upstream.app"]["tls"], Value::Null, "{tls}");
    }
    // The reload alone must be enough: no kept connection of the config before is used.
    daemon.rewrite_config(&config(&format!("tls = {{ insecure = true, pin = \"{wrong}\" }}")));
    assert_eq!(daemon.reload().status, 200);
    assert_eq!(client::get(daemon.http(), "/").status, 502);
    let line = daemon.wait_for_reason("tls_failed");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("public key") && detail.contains(&right), "{detail}");
}

#[test]
fn an_unverified_server_is_asked_and_that_is_loud() {
    let scene = Scene::with("other.test", "tls = { insecure = true }", |params| {
        params.not_after = rcgen::date_time_ymd(2021, 3, 4);
    });
    assert_eq!(client::get(scene.daemon.http(), "/").text(), "1");
    scene.daemon.log.wait_for("a warning", |line| {
        line.contains("\"WARN\"") && line.contains("\"message\":\"servers are not verified")
    });
    let (status, health) = scene.daemon.admin_json("/health");
    assert_eq!((status, &health["status"]), (200, &Value::from("ok")));
    assert_eq!(health["checks"]["upstream.app"]["tls"], "not verified");
}

#[test]
fn sessions_are_resumed() {
    let (dir, server) = (directory(), Server::start("1"));
    let front = front(dir.path(), &server, "localhost");
    let config =
        Config::bare().address(&front.address, "").upstream(&format!("keepalive = 0\n{LOCALHOST}"));
    let daemon = Daemon::start_in(dir, &config.text());
    for _ in 0..6 {
        assert_eq!(client::get(daemon.http(), "/").text(), "1");
    }
    let resumed: Vec<_> = front.seen().iter().map(|it| it.resumed).collect();
    assert_eq!(resumed[0], Some(false));
    assert!(resumed.len() == 6 && resumed[1..].iter().all(|it| *it == Some(true)), "{resumed:?}");
}

#[test]
fn a_server_that_hangs_in_the_handshake_costs_its_timeout_and_another_is_asked() {
    let dir = directory();
    let (mute, other) = (Server::start("mute"), Server::start("other"));
    mute.set(Behaviour::on_accept([Step::Hang]));
    let config = Config::bare()
        .server(&mute, LOCALHOST)
        .server(&other, "backup = true")
        .route("timeouts.connect = \"200ms\"");
    let daemon = Daemon::start_in(dir, &config.text());
    assert_eq!(client::get(daemon.http(), "/").text(), "other");
    let line = daemon.wait_for_reason("connect_timeout");
    assert_eq!(line["attempts"], 2);
}

#[test]
fn a_server_that_speaks_no_tls_is_told_so() {
    let (dir, server) = (directory(), Server::start("1"));
    let config = Config::bare().server(&server, "").upstream(LOCALHOST);
    let daemon = Daemon::start_in(dir, &config.text());
    let plain = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    server.set(Behaviour::on_accept([Step::Send(plain), Step::Hang]));
    assert_eq!(client::get(daemon.http(), "/").status, 502);
    let line = daemon.wait_for_reason("tls_failed");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("does it speak plain HTTP?"), "{detail}");
}

#[test]
fn health_checks_go_through_tls_and_say_what_is_wrong() {
    let scene = Scene::new(
        "localhost",
        &format!(
            "{LOCALHOST}\nhealth_check = {{ interval = \"50ms\", timeout = \"5s\", fall = 1, rise = 1 }}"
        ),
    );
    scene.server.wait_for_requests(2);
    assert_eq!(scene.daemon.state_name(&scene.front.address), "up");
    let dir = directory();
    certs::write(dir.path(), "server", Kind::Ecdsa, &["other.test"]);
    scene.front.set_tls(certs::server_config(dir.path(), "server", false));
    until("the check to fail", || scene.daemon.state_name(&scene.front.address) == "failed");
    let told = eventually("the log to say so", || {
        scene.daemon.log.find_message("health check: down", &[])
    });
    assert!(told["reason"].as_str().unwrap().contains("is for other.test"), "{told}");
}

#[test]
fn changed_files_are_taken_up_and_old_connections_are_left() {
    let (dir, server) = (directory(), Server::start("1"));
    let front = front(dir.path(), &server, "localhost");
    let other = tempfile::tempdir().unwrap();
    certs::write(other.path(), "ca", Kind::Ecdsa, &["no authority"]);
    let right = std::fs::read(dir.path().join("ca.pem")).unwrap();
    std::fs::copy(other.path().join("ca.pem"), dir.path().join("ca.pem")).unwrap();
    let config = Config::bare().address(&front.address, "max_fails = 0").upstream(LOCALHOST);
    let daemon = Daemon::start_in(dir, &config.text());
    assert_eq!(client::get(daemon.http(), "/").status, 502);
    std::fs::write(daemon.path("new.pem"), right).unwrap();
    std::fs::rename(daemon.path("new.pem"), daemon.path("ca.pem")).unwrap();
    until("the new authority to be used", || client::get(daemon.http(), "/").status == 200);
    std::fs::copy(other.path().join("ca.pem"), daemon.path("ca.pem")).unwrap();
    until("the old one to be used again", || client::get(daemon.http(), "/").status == 502);
    assert!(front.seen().len() >= 3);
}

#[test]
fn a_tunnel_goes_through_tls_both_ways() {
    let scene = Scene::new("localhost", LOCALHOST);
    scene.server.set_for("/chat", Behaviour::tunnel("websocket"));
    let mut client = Client::connect(scene.daemon.http());
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    client.send(client::request("GET", "/chat", upgrade, ""));
    assert_eq!(client.head().expect("consent").status(), Some(101));
    for size in [5, 100_000, 1_000_000] {
        let text = "t".repeat(size);
        let mut sender = client.stream().try_clone().unwrap();
        let sent = text.clone();
        let sending = std::thread::spawn(move || sender.write_all(sent.as_bytes()));
        assert!(client.exactly(size).expect("sent back") == text.as_bytes(), "{size}");
        sending.join().unwrap().unwrap();
    }
    // What the rig's server says when it hears the end.
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest().unwrap(), b"bye");
}

#[test]
fn tls_1_2_resumes_and_asks_for_our_certificate_too() {
    let (dir, server) = (directory(), Server::start("1"));
    certs::write(dir.path(), "server", Kind::Ecdsa, &["localhost"]);
    let ours = certs::write(dir.path(), "ours", Kind::Ecdsa, &["proxy.test"]);
    let versions = [&rustls::version::TLS12];
    let tls = certs::server_config_with(dir.path(), "server", true, &versions);
    let front = Front::start(&server, Some(tls), false);
    let own = "certificate = \"ours.pem\", key = \"ours.key\"";
    let config = |own: &str| {
        let tls = format!("tls = {{ ca = \"ca.pem\", name = \"localhost\"{own} }}");
        Config::bare().address(&front.address, "").upstream(&format!("keepalive = 0\n{tls}"))
    };
    let daemon = Daemon::start_in(dir, &config(&format!(", {own}")).text());
    for _ in 0..3 {
        assert_eq!(client::get(daemon.http(), "/").text(), "1");
    }
    let seen = front.seen();
    assert_eq!(seen[0].certificate.as_ref(), Some(&ours));
    let resumed: Vec<_> = seen.iter().map(|it| it.resumed).collect();
    assert_eq!(resumed, [Some(false), Some(true), Some(true)]);
    daemon.reconfigure(&config(""));
    assert_eq!(client::get(daemon.http(), "/").status, 502);
    let line = daemon.wait_for_reason("tls_failed");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("client certificate"), "{detail}");
}

#[test]
fn a_kept_connection_that_the_server_has_closed_fails_no_request() {
    let scene = Scene::new("localhost", LOCALHOST);
    scene.server.set(Behaviour::close_idle(std::time::Duration::ZERO));
    let mut client = Client::connect(scene.daemon.http());
    for turn in 1..=20 {
        let ask = if turn % 2 == 0 { "POST" } else { "GET" };
        let body = if turn % 2 == 0 { "body" } else { "" };
        assert_eq!(client.ask(&client::request(ask, "/", "", body)).text(), "1", "{turn}");
        until("the connection to be closed", || scene.front.seen().iter().all(|it| it.ended));
    }
    let labels = [("upstream", "app"), ("outcome", "tls_failed")];
    assert_eq!(scene.daemon.count("sheave_upstream_attempts_total", &labels), 0);
}

#[test]
fn a_server_without_a_version_of_tls_that_will_do_is_told_of() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4096]);
            // A fatal alert: protocol_version (RFC 8446 §6).
            let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, 70]);
            let _ = socket.read(&mut [0; 4096]);
        }
    });
    let config = Config::bare().address(&address, "").upstream(LOCALHOST_INSECURE);
    let daemon = Daemon::start(&config);
    assert_eq!(client::get(daemon.http(), "/").status, 502);
    let line = daemon.wait_for_reason("tls_failed");
    assert_eq!(
        line["detail"],
        "it refused the TLS handshake: it speaks neither TLS 1.2 nor 1.3, one of which is needed"
    );
}

#[test]
fn a_tunnel_whose_server_ends_without_a_word_is_told_of_in_short() {
    let dir = directory();
    certs::write(dir.path(), "server", Kind::Ecdsa, &["localhost"]);
    let tls = Arc::new(certs::server_config(dir.path(), "server", false));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&tls)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket.unwrap());
            let _ = stream.read(&mut [0; 4096]);
            let consent =
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
            stream.write_all(consent).unwrap();
            // Dropped without `close_notify`.
        }
    });
    let config = Config::bare().address(&address, "").upstream(LOCALHOST_INSECURE);
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    client.send(client::request("GET", "/", "Connection: upgrade\r\nUpgrade: x\r\n", ""));
    assert_eq!(client.head().unwrap().status(), Some(101));
    let line = daemon.wait_for_reason("response_truncated");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.ends_with("without sending TLS close_notify"), "{detail}");
}
