//! `sheave check`, and the two files of the contract, which run as they are.

use crate::rig::{
    Config, Daemon, Server,
    certs::{self, Kind},
    client::{ask, get, request},
    daemon::{command, run_to_end},
    secure::Handshake,
};
use std::{fs, os::unix::fs::PermissionsExt, process::Command};

const SEED: &str = include_str!("../contract/seed.toml");
const EXERCISE: &str = include_str!("../contract/exercise4.toml");

/// The exit code, and everything that was printed.
fn check(files: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tls")).unwrap();
    fs::create_dir(dir.path().join("public")).unwrap();
    certs::write(&dir.path().join("tls"), "site", Kind::Ecdsa, &["localhost"]);
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let path = dir.path().join(files[0].0).display().to_string();
    let output = run_to_end(dir.path(), &["check", "--config", &path]);
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

#[test]
fn the_contracts_files_are_good_and_summed_up() {
    for (name, text) in [("seed.toml", SEED), ("exercise4.toml", EXERCISE)] {
        let (code, printed) = check(&[(name, text)]);
        assert_eq!(code, Some(0), "{name}: {printed}");
        assert!(!printed.trim().is_empty(), "a summary");
    }
}

#[test]
fn all_errors_come_at_once_each_with_its_place_and_a_caret() {
    let text = "workers = \"many\"\n\n[listener.http]\naddress = \"nowhere\"\n\n[upstream.app]\n\
                servers = [{ address = \"127.0.0.1:1\", wieght = 3 }]\n\n[[site]]\n[[site.route]]\n\
                upstream = \"ap\"\n\n[[site.route]]\npath = \"no-slash\"\nupstream = \"app\"\n";
    let (code, printed) = check(&[("bad.toml", text)]);
    assert_eq!(code, Some(1), "{printed}");
    for place in ["bad.toml:1:", "bad.toml:4:", "bad.toml:7:", "bad.toml:11:", "bad.toml:14:"] {
        assert!(printed.contains(place), "{place} in {printed}");
    }
    assert!(printed.matches('^').count() >= 5, "{printed}");
    assert!(printed.contains("weight") && printed.contains("did you mean"), "{printed}");
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    let (code, printed) = check(&[("bad.toml", "workers = 1\n[listener.http\n")]);
    assert_eq!(code, Some(1));
    assert!(printed.contains("bad.toml:2:"), "{printed}");
}

#[test]
fn a_certificate_that_cannot_be_read_or_does_not_match_is_an_error() {
    let missing = EXERCISE.replace("tls/site.pem", "tls/nothing.pem");
    let (code, printed) = check(&[("bad.toml", &missing)]);
    assert!(code == Some(1) && printed.contains("nothing.pem"), "{printed}");
    let no_pem = EXERCISE.replace("tls/site.key", "bad.toml");
    let (code, printed) = check(&[("bad.toml", &no_pem)]);
    assert_eq!(code, Some(1), "{printed}");
}

#[test]
fn check_binds_nothing() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, printed) = check(&[("good.toml", &SEED.replace("127.0.0.1:8080", &address))]);
    assert_eq!(code, Some(0), "{printed}");
}

#[test]
fn a_log_that_cannot_be_there_is_told_by_check_and_run_alike() {
    for (path, told) in [("no/dir/access.log", "no directory"), ("public", "is a directory")] {
        let text = format!("{SEED}\n[access_log]\npath = \"{path}\"\n");
        let (code, printed) = check(&[("bad.toml", &text)]);
        assert_eq!(code, Some(1), "{printed}");
        assert!(printed.contains("bad.toml:") && printed.contains("= hint: "), "{printed}");
        assert!(printed.contains(told) && printed.contains('^'), "{printed}");
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("public")).unwrap();
        fs::write(dir.path().join("bad.toml"), &text).unwrap();
        let config = dir.path().join("bad.toml").display().to_string();
        let output = run_to_end(dir.path(), &["run", "--config", &config]);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains(told), "{printed}");
    }
}

#[test]
fn an_address_that_no_interface_has_is_warned_of_by_its_key() {
    // Of documentation: nobody has it (RFC 5737).
    let text = SEED.replace("127.0.0.1:8080", "192.0.2.1:8080");
    let (code, printed) = check(&[("other.toml", &text)]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("no network interface of this machine has 192.0.2.1"), "{printed}");
    assert!(printed.contains("other.toml:") && printed.contains("address = "), "{printed}");
}

#[test]
fn files_that_this_user_can_not_write_are_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let text = "[listener.a]\naddress = \"unix:closed/a.sock\"\n[listener.b]\n\
                address = \"unix:nowhere/b.sock\"\n[[site]]\n[[site.route]]\nrespond.body = \"\"\n\
                [access_log]\npath = \"closed/access.log\"\n";
    fs::write(at("a.toml"), text).unwrap();
    fs::create_dir(at("closed")).unwrap();
    fs::write(at("closed/access.log"), "").unwrap();
    for (name, mode) in [("closed/access.log", 0o444), ("closed", 0o555), (".", 0o755)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    // For root nothing is closed. If it can't be somebody else, that is all there is to see.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
    command.args([env!("CARGO_BIN_EXE_sheave"), "check", "--config"]).arg(at("a.toml"));
    let output = match command.output() {
        Ok(output) if output.status.code() == Some(0) => output,
        _ => run_to_end(dir.path(), &["check", "--config", "a.toml"]),
    };
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.contains("there is no directory `"), "{printed}");
    if fs::write(at("closed/probe"), "").is_err() || printed.contains("by this user") {
        assert!(printed.contains("access.log` can't be written by this user"), "{printed}");
        assert!(printed.contains("the socket can't be made in `"), "{printed}");
    }
    fs::set_permissions(at("closed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_name_that_never_resolves_is_warned_of_once() {
    let upstream = "[upstream.lost]\nservers = [{ address = \"no-such-host.invalid:80\" }]\n\
                    resolve_interval = \"1s\"\n[[site]]\n[[site.route]]\nupstream = \"lost\"";
    let daemon = Daemon::start(&Config::bare().rest(upstream));
    let failed = |line: &str| line.contains("does not resolve");
    daemon.log.wait_for("the third look-up", |line| failed(line) && line.contains("\"failed\":3"));
    let lines = daemon.log.lines();
    let warnings: Vec<_> =
        lines.iter().filter(|line| failed(line) && line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn an_unresolvable_server_is_a_warning_and_no_reason_not_to_start() {
    let text = SEED.replace("127.0.0.1:3001", "no-such-host.invalid:3001");
    let (code, printed) = check(&[("seed.toml", &text)]);
    assert_eq!(code, Some(0), "{printed}");
    let server = Server::start("1");
    let config = Config::to([&server]).text();
    let extra = format!(
        "servers = [\n  {{ address = \"no-such-host.invalid:80\" }},\n  {{ address = \"{server}\" }},"
    );
    let config =
        config.replacen(&format!("servers = [\n  {{ address = \"{server}\" }},"), &extra, 1);
    let daemon = Daemon::start_text(&config);
    for _ in 0..4 {
        assert_eq!(get(daemon.http(), "/").text(), "1");
    }
}

#[test]
fn the_environment_fills_in_with_defaults() {
    let text = SEED.replace("weight = 3", "weight = \"${SHEAVE_E2E_UNSET:-3}\"");
    let text = text
        .replace("127.0.0.1:3001", "${SHEAVE_E2E_UNSET:-127.0.0.1}:3001")
        .replace("\"${SHEAVE_E2E_UNSET:-3}\"", "3");
    let (code, printed) = check(&[("seed.toml", &text)]);
    assert_eq!(code, Some(0), "{printed}");
    let text = SEED.replace("127.0.0.1:3001", "${SHEAVE_E2E_UNSET}:3001");
    let (code, printed) = check(&[("seed.toml", &text)]);
    assert!(code == Some(1) && printed.contains("SHEAVE_E2E_UNSET"), "{printed}");
}

/// The text with ports that the system chooses, and servers of the rig in place of 3001 and so on.
fn movable(text: &str, servers: &[Server]) -> String {
    let mut text = text.to_owned();
    for port in ["8080", "8443", "9900"] {
        text = text.replace(&format!("\"127.0.0.1:{port}\""), "\"127.0.0.1:0\"");
    }
    for (index, server) in servers.iter().enumerate() {
        text = text.replace(&format!("127.0.0.1:{}", 3001 + index), &server.to_string());
    }
    text + "\n[log]\nlevel = \"info\"\nformat = \"json\"\n"
}

#[test]
fn the_seed_runs() {
    let servers = Server::start_several(4);
    let daemon = Daemon::start_text(&movable(SEED, &servers));
    let mut names: Vec<_> = (0..6).map(|_| get(daemon.http(), "/").text()).collect();
    names.sort();
    assert_eq!(names.concat(), "111223");
    let seen = servers[0].last_request().head;
    assert_eq!(seen.field("x-client"), Some("127.0.0.1"));
    assert!(seen.has("x-route"));
    servers[..3].iter().for_each(Server::kill);
    let names: Vec<_> = (0..3).map(|_| get(daemon.http(), "/").text()).collect();
    assert_eq!(names, ["4", "4", "4"], "nobody notices: the backup is asked at once");
}

#[test]
fn the_exercise_runs() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("tls")).unwrap();
    fs::create_dir_all(dir.path().join("public")).unwrap();
    fs::write(dir.path().join("public/app.css"), "body {}").unwrap();
    certs::write(&dir.path().join("tls"), "site", Kind::Ecdsa, &["localhost"]);
    let servers = Server::start_several(3);
    let daemon = Daemon::start_in(dir, &movable(EXERCISE, &servers));
    let answer = ask(daemon.http(), &request("GET", "/a?b", "", ""));
    assert_eq!(
        (answer.status, answer.field("location")),
        (308, Some("https://localhost:8443/a?b"))
    );
    let (mut client, _) =
        Handshake::offering(&["http/1.1"]).connect(daemon.address("https"), "localhost");
    let answer = client.get("/static/app.css");
    assert_eq!((answer.status, &*answer.text()), (200, "body {}"));
    assert!(answer.field("content-type").unwrap().starts_with("text/css"));
    assert_eq!(answer.field("cache-control"), Some("public, max-age=31536000, immutable"));
    let answer = client.get("/");
    assert!(
        answer.status == 200 && answer.field("strict-transport-security").is_some(),
        "{answer:?}"
    );
    daemon.stdout.wait_for("the access log", |line| line.contains("/static/app.css"));
}

#[test]
fn a_ticket_key_that_is_there_twice_is_to_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    fs::write(dir.path().join("twice.keys"), format!("{0}\n{0}\n", "ab".repeat(32))).unwrap();
    let text = "[listener.a]\naddress = \"127.0.0.1:8443\"\ntls.ticket_keys = \"twice.keys\"\n\
                tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n\
                [[site]]\n[[site.route]]\nrespond.body = \"\"\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let output = run_to_end(dir.path(), &["check", "--config", "a.toml"]);
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(printed.contains("has one key twice, on lines 1 and 2"), "{printed}");
    assert!(printed.contains("hint: remove one of the two lines"), "{printed}");
}

/// `check` of servers that the system's authorities must have signed.
fn check_with_authorities(environment: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let text = "[listener.a]\naddress = \"127.0.0.1:8080\"\n[upstream.app]\n\
                servers = [{ address = \"https://127.0.0.1:3001\" }]\n\
                [[site]]\n[[site.route]]\nupstream = \"app\"\n";
    fs::write(dir.path().join("a.toml"), text).unwrap();
    let mut command = command(dir.path(), &["check", "--config", "a.toml"]);
    let output =
        command.env_remove("SSL_CERT_DIR").envs(environment.iter().copied()).output().unwrap();
    let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{printed}");
    printed
}

#[test]
fn authorities_of_the_environment_that_are_nowhere_are_warned_of() {
    let printed = check_with_authorities(&[
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSL_CERT_DIR", "/nowhere/certs"),
    ]);
    for told in ["warning: ", "SSL_CERT_FILE and SSL_CERT_DIR", "/nowhere/ca.pem"] {
        assert!(printed.contains(told), "{printed}");
    }
    assert!(!printed.contains("ca-certificates"), "{printed}");
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    let there = dir.path().join("site.pem").display().to_string();
    let printed = check_with_authorities(&[("SSL_CERT_FILE", &there)]);
    assert!(!printed.contains("warning"), "{printed}");
}
