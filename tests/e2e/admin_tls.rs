//! The admin address by TLS, and roles by client certificate.

use crate::rig::{
    Config, Daemon, Response, Server,
    certs::{self, Kind},
    client::request,
    daemon::run_to_end,
    secure::Handshake,
    until,
};
use rustls::version;
use serde_json::Value;
use std::io;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n\
     tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n\
     tls.client = { ca = \"clients.pem\", mode = \"optional\" }\n\
     access = [\n\
     { name = \"ann\", certificate = \"CN=ann\", role = \"write\" },\n\
     { name = \"bob's laptop\", fingerprint = \"PRINT\", role = \"read\" },\n\
     { name = \"ci\", token = \"a-token-to-write-with\", role = \"write\" },\n]\n";

fn text(server: &Server, admin: &str) -> String {
    Config::to([server]).rest(admin).text()
}

fn scene(server: &Server) -> (Daemon, String) {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    certs::write_authority(dir.path(), "clients");
    for (serial, name) in (1..).zip(["ann", "bob", "eve"]) {
        certs::write_client(dir.path(), name, serial, |_| {});
    }
    certs::write_stranger(dir.path(), "mallory");
    let pem = std::fs::read(dir.path().join("bob.pem")).unwrap();
    let der = rustls_pem(&pem);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let hex: Vec<_> = digest.as_ref().iter().map(|it| format!("{it:02X}")).collect();
    let admin = ADMIN.replace("PRINT", &hex.join(":"));
    (Daemon::start_in(dir, &text(server, &admin)), admin)
}

fn rustls_pem(pem: &[u8]) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    CertificateDer::from_pem_slice(pem).expect("a certificate").to_vec()
}

fn by(daemon: &Daemon, name: &str, method: &str, path: &str, fields: &str) -> io::Result<Response> {
    let mut handshake = Handshake::with_versions(&["http/1.1"], &[&version::TLS13]);
    if !name.is_empty() {
        handshake = handshake.for_client(&daemon.path("."), name);
    }
    handshake.ask(daemon.admin(), "localhost", &request(method, path, fields, ""))
}

#[test]
fn certificates_have_roles() {
    let server = Server::start("1");
    let (daemon, admin) = scene(&server);
    for (name, role, reads, writes) in [
        ("ann", "write", 200, 200),
        ("bob", "read", 200, 403),
        ("eve", "none", 401, 401),
        ("", "none", 401, 401),
    ] {
        let me = by(&daemon, name, "GET", "/whoami", "").unwrap();
        let me: Value = serde_json::from_slice(&me.body).unwrap();
        assert_eq!(me["role"], role, "{name}");
        assert_eq!(by(&daemon, name, "GET", "/upstreams", "").unwrap().status, reads, "{name}");
        assert_eq!(by(&daemon, name, "POST", "/reload", "").unwrap().status, writes, "{name}");
        assert_eq!(by(&daemon, name, "GET", "/live", "").unwrap().status, 200, "{name}");
    }
    let token = "Authorization: Bearer a-token-to-write-with\r\n";
    assert_eq!(
        by(&daemon, "bob", "POST", "/reload", token).unwrap().status,
        200,
        "the better of both"
    );
    assert!(
        by(&daemon, "mallory", "GET", "/live", "").is_err(),
        "of an authority that nobody knows"
    );
    let told = daemon.log.find_message(
        "a change was asked for at the admin address",
        &[("name", "ann"), ("subject", "CN=ann"), ("result", "ok")],
    );
    assert!(told.is_some());
    // Another role, by a reload, holds from the next request on.
    let less = admin.replace(
        "certificate = \"CN=ann\", role = \"write\"",
        "certificate = \"CN=ann\", role = \"read\"",
    );
    daemon.rewrite_config(&text(&server, &less));
    until("ann to lose her role", || {
        by(&daemon, "ann", "POST", "/reload", "").unwrap().status == 403
    });
}

#[test]
fn an_open_connection_loses_what_its_certificate_was_verified_with() {
    let server = Server::start("1");
    let (daemon, _) = scene(&server);
    let handshake = Handshake::with_versions(&["http/1.1"], &[&version::TLS13]);
    let handshake = handshake.for_client(&daemon.path("."), "ann");
    let (mut kept, _) = handshake.connect(daemon.admin(), "localhost");
    assert_eq!(kept.ask(&request("GET", "/upstreams", "", "")).status, 200);
    // Other authorities from now on.
    let pem = std::fs::read(daemon.path("mallory.pem")).unwrap();
    certs::replace(&daemon.path("clients.pem"), pem);
    until("the connection to be nobody's", || {
        kept.ask(&request("GET", "/whoami", "", "")).text().contains("\"role\": \"none\"")
    });
    assert_eq!(kept.ask(&request("POST", "/reload", "", "")).status, 401);
}

/// A command's exit code, output and error. What follows `words` are options of its own.
fn ran(daemon: &Daemon, words: &str, more: &[&str]) -> (i32, String, String) {
    let port = daemon.admin().port().to_string();
    let words: Vec<_> = words.split(' ').chain(more.iter().copied()).collect();
    let words: Vec<_> = words.iter().map(|it| it.replace("PORT", &port)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let ended = run_to_end(&daemon.path("."), &words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code().unwrap(), text(&ended.stdout), text(&ended.stderr))
}

const TRUSTING: [&str; 4] = ["--admin", "https://localhost:PORT", "--ca", "clients.pem"];
const ANN: [&str; 4] = ["--cert", "ann.pem", "--key", "ann.key"];
const BOB: [&str; 4] = ["--cert", "bob.pem", "--key", "bob.key"];

#[test]
fn the_commands_speak_tls_and_show_a_certificate() {
    let (daemon, _) = scene(&Server::start("1"));
    std::fs::write(daemon.path("ci.token"), "a-token-to-write-with\n").unwrap();
    let new = daemon.path("sheave.toml").display().to_string();
    let plan = format!("plan --config {new}");
    // `plan` asks what a new file would do, and `purge` does it: both want the role `write`.
    for (who, planned, purged) in
        [(&ANN[..], 0, 0), (&["--token-file", "ci.token"], 0, 0), (&BOB, 3, 1)]
    {
        let who = [&TRUSTING[..], who].concat();
        for words in ["status", "explain http://localhost/"] {
            let (code, shown, error) = ran(&daemon, words, &who);
            assert!(code == 0 && shown.contains("upstream"), "{words} {who:?}: {shown}{error}");
        }
        let (code, _, error) = ran(&daemon, &plan, &who);
        assert!(code == planned && (code == 0 || error.contains("needs `write`")), "{error}");
        assert_eq!(ran(&daemon, "purge --tag shoes", &who).0, purged);
    }
    let live = "health --url https://localhost:PORT/live --ca clients.pem";
    assert_eq!(ran(&daemon, live, &[]).0, 0, "a probe needs no role");
}

#[test]
fn a_command_that_cannot_ask_by_tls_says_what_to_do() {
    const UNKNOWN: &str =
        "UnknownIssuer: name the file of the authority that signed it with `--ca`";
    let server = Server::start("1");
    let (daemon, admin) = scene(&server);
    let trusting = |more: &[&'static str]| [&TRUSTING[..], more].concat();
    for (words, more, told) in [
        ("status", &trusting(&[]), "show a certificate with `--cert` and `--key`"),
        ("status", &TRUSTING[..2].to_vec(), UNKNOWN),
        ("health --url https://localhost:PORT", &vec![], UNKNOWN),
        ("status --admin localhost:PORT", &vec![], "has `[admin.tls]`, write `https://localhost:"),
        ("status", &trusting(&["--cert", "ann.pem"]), "`--cert` needs `--key`"),
        ("status", &trusting(&["--cert", "ann.pem", "--key", "bob.key"]), "KeyMismatch"),
        ("status", &trusting(&["--cert", "no.pem", "--key", "ann.key"]), "no.pem"),
        ("status", &trusting(&["--cert", "mallory.pem", "--key", "mallory.key"]), "alert"),
    ] {
        let (code, _, error) = ran(&daemon, words, more);
        assert!((1..4).contains(&code) && error.contains(told), "{words} {more:?}: {error}");
    }
    // Where no token has the role.
    let few = admin
        .replace("{ name = \"ci\", token = \"a-token-to-write-with\", role = \"write\" },\n", "");
    daemon.rewrite_config(&text(&server, &few));
    let told = "`write`: show a client certificate that has it";
    until("who asks without one to be told", || {
        ran(&daemon, "purge --tag shoes", &TRUSTING).2.contains(told)
    });
    // Where nobody may come without one.
    daemon.rewrite_config(&text(&server, &admin.replace("optional", "required")));
    let told = "CertificateRequired: show a certificate with `--cert` and `--key`";
    until("certificates to be asked for", || ran(&daemon, "status", &TRUSTING).2.contains(told));
    assert_eq!(ran(&daemon, "status", &trusting(&ANN)).0, 0);
}
