//! Who may do what at the admin address: tokens, roles, addresses, browsers, and the audit.

use crate::rig::{
    Client, Config, Daemon, Response, Server,
    client::{ask, get, request},
    daemon::{command, run_to_end},
    until,
};
use serde_json::Value;
use std::fs;

const READER: &str = "a-token-to-read-with";
const WRITER: &str = "a-token-to-write-with";

/// Two who are known; of one, the token is in a file.
const ACCESS: &str = "access = [\n\
     { name = \"grafana\", token = \"a-token-to-read-with\", role = \"read\" },\n\
     { name = \"ci\", token_file = \"ci.token\", role = \"write\" },\n]\n";

fn start(server: &Server, admin: &str) -> Daemon {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ci.token"), format!("{WRITER}\n")).unwrap();
    Daemon::start_in(dir, &config(server, admin))
}

fn config(server: &Server, admin: &str) -> String {
    let address = if admin.contains("address") { "" } else { "address = \"127.0.0.1:0\"\n" };
    // The rig would write an `[admin]` of its own.
    Config::to([server]).rest(&format!("[admin]\n{address}{admin}")).text()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn with(daemon: &Daemon, method: &str, path: &str, fields: &str) -> Response {
    ask(daemon.admin(), &request(method, path, fields, ""))
}

fn error(response: &Response) -> String {
    let told: Value = serde_json::from_slice(&response.body).expect("JSON");
    told["error"].as_str().expect("an error").to_owned()
}

#[test]
fn tokens_decide_who_may_what() {
    let server = Server::start("1");
    let daemon = start(&server, ACCESS);
    for (token, reads, writes, name) in [
        (bearer(READER), 200, 403, "grafana"),
        (bearer(WRITER), 200, 200, "ci"),
        // As a browser sends it: anybody, and the token as the password.
        ("Authorization: Basic YW5uOmEtdG9rZW4tdG8td3JpdGUtd2l0aA==\r\n".into(), 200, 200, "ci"),
    ] {
        assert_eq!(with(&daemon, "GET", "/upstreams", &token).status, reads, "{token}");
        let written = with(&daemon, "POST", "/reload", &token);
        assert_eq!(written.status, writes, "{token}: {}", written.text());
        let me: Value =
            serde_json::from_slice(&with(&daemon, "GET", "/whoami", &token).body).unwrap();
        assert_eq!(me["name"], name);
    }
    for wrong in [bearer("a-token-to-read-wit"), bearer(""), "Authorization: Digest x\r\n".into()] {
        for path in ["/upstreams", "/live"] {
            let refused = with(&daemon, "GET", path, &wrong);
            assert_eq!(refused.status, 401, "{wrong}");
            assert!(refused.field("www-authenticate").is_some());
        }
    }
    let missing = with(&daemon, "GET", "/metrics", "");
    assert_eq!(missing.status, 401);
    assert!(error(&missing).contains("Authorization: Bearer"), "{}", missing.text());
    assert_eq!(missing.field("www-authenticate"), Some("Bearer realm=\"sheave\""));
    let page = with(&daemon, "GET", "/metrics", "Accept: text/html\r\n");
    let asks = page.head.fields("www-authenticate");
    assert!(asks.iter().any(|it| it.starts_with("Basic realm")), "{asks:?}");
    for probe in ["/live", "/ready"] {
        assert_eq!(with(&daemon, "GET", probe, "").status, 200, "probes have no token");
    }
    // The file is watched: a new token needs no other change.
    fs::write(daemon.path("ci.token"), "another-token-to-write\n").unwrap();
    until("the new token", || {
        with(&daemon, "GET", "/whoami", &bearer("another-token-to-write")).status == 200
    });
    assert_eq!(with(&daemon, "GET", "/whoami", &bearer(WRITER)).status, 401);
    let log = daemon.log.lines().join("\n");
    assert!(!log.contains(READER) && !log.contains(WRITER), "a token is never logged");
}

#[test]
fn the_commands_send_a_token() {
    let server = Server::start("1");
    let daemon = start(&server, ACCESS);
    let (dir, admin) = (daemon.path("."), daemon.admin().to_string());
    let purge = ["purge", "--tag", "shoes", "--admin", &admin];
    let refused = run_to_end(&dir, &purge);
    assert_ne!(refused.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("role `write`"), "{refused:?}");
    let by_file = [&purge[..], &["--token-file", "ci.token"]].concat();
    assert_eq!(run_to_end(&dir, &by_file).status.code(), Some(0));
    let by_variable = command(&dir, &purge).env("SHEAVE_TOKEN", WRITER).output().unwrap();
    assert_eq!(by_variable.status.code(), Some(0), "{by_variable:?}");
    let url = format!("http://{admin}/health");
    assert_eq!(run_to_end(&dir, &["health", "--url", &url]).status.code(), Some(1));
    let health = ["health", "--url", &url, "--token-file", "ci.token"];
    assert_eq!(run_to_end(&dir, &health).status.code(), Some(0));
    assert_eq!(
        run_to_end(&dir, &["health", "--url", &format!("http://{admin}")]).status.code(),
        Some(0)
    );
}

#[test]
fn without_access_a_loopback_address_is_open_and_any_other_may_only_be_read() {
    let server = Server::start("1");
    for (admin, role, reads, writes) in [
        ("", "write", 200, 200),
        ("anonymous = \"read\"", "read", 200, 403),
        ("anonymous = \"none\"", "none", 403, 403),
        ("address = \"0.0.0.0:0\"", "read", 200, 403),
        ("address = \"[::]:0\"\nanonymous = \"none\"", "none", 403, 403),
        ("address = \"0.0.0.0:0\"\nanonymous = \"write\"", "write", 200, 200),
    ] {
        let daemon = start(&server, admin);
        let mut address = daemon.admin();
        address.set_ip([127, 0, 0, 1].into());
        let me: Value = serde_json::from_slice(&get(address, "/whoami").body).unwrap();
        assert_eq!(me["role"], role, "{admin}");
        assert_eq!(get(address, "/metrics").status, reads, "{admin}");
        assert_eq!(get(address, "/live").status, 200, "{admin}");
        assert_eq!(get(address, "/ready").status, 200, "{admin}");
        let written = ask(address, &request("POST", "/reload", "", ""));
        assert_eq!(written.status, writes, "{admin}");
        if writes == 403 {
            assert!(error(&written).contains("access"), "it says what to do: {}", written.text());
        }
        let warned = daemon.log.lines().iter().any(|it| it.contains("everybody who reaches this"));
        assert_eq!(warned, admin.contains("0.0.0.0"), "{admin}");
    }
}

#[test]
fn a_rebound_name_is_refused() {
    let server = Server::start("1");
    let daemon = start(
        &server,
        &format!("hosts = [\"admin.example.com\"]\nanonymous = \"write\"\n{ACCESS}"),
    );
    let by_host = |method: &str, path: &str, host: &str, fields: &str| {
        let text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        ask(daemon.admin(), &text).status
    };
    for host in ["evil.example", "evil.example:9900", "127.0.0.1.nip.io"] {
        assert_eq!(by_host("GET", "/upstreams", host, ""), 421, "{host}");
        assert_eq!(by_host("POST", "/reload", host, ""), 421, "{host}");
        assert_eq!(by_host("GET", "/live", host, ""), 200, "probes may use any name");
        assert_eq!(by_host("GET", "/upstreams", host, &bearer(READER)), 200, "no page has a token");
    }
    let port = daemon.admin().port();
    for host in ["localhost", "sheave:9900", "admin.example.com", &format!("127.0.0.1:{port}")] {
        assert_eq!(by_host("GET", "/upstreams", host, ""), 200, "{host}");
    }
}

/// A page at a rebound name may send any field, as its browser thinks that it asks its own site.
#[test]
fn where_tokens_say_nothing_a_rebound_name_can_not_use_one() {
    let server = Server::start("1");
    let daemon = start(&server, "");
    for path in ["/upstreams", "/reload"] {
        let method = if path == "/reload" { "POST" } else { "GET" };
        let text = format!("{method} {path} HTTP/1.1\r\nHost: evil.example\r\n{}\r\n", bearer("x"));
        assert_eq!(ask(daemon.admin(), &text).status, 421, "{path}");
    }
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let server = Server::start("1");
    let daemon = start(&server, "");
    for (fields, status) in [
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Origin: http://localhost:3000\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\n", 403),
        ("Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", 200),
        ("", 200),
    ] {
        assert_eq!(with(&daemon, "POST", "/reload", fields).status, status, "{fields}");
    }
    let read = with(&daemon, "GET", "/upstreams", "Origin: http://evil.example\r\n");
    assert!(read.field("access-control-allow-origin").is_none(), "the page can't see it");
    let image = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n";
    assert_eq!(with(&daemon, "GET", "/upstreams", image).status, 403);
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    assert_eq!(with(&daemon, "GET", "/", link).status, 200);
    // A form of another site can send only these types without asking first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let sent = |site: &str| {
            let fields = format!("Content-Type: {kind}\r\n{site}");
            ask(daemon.admin(), &request("POST", "/purge", &fields, "{\"tag\": \"a\"}")).status
        };
        assert_eq!(sent("Sec-Fetch-Site: none\r\n"), 415, "{kind}");
        // Scripts need not say it.
        assert_eq!(sent(""), 200, "{kind}");
    }
    for path in ["/", "/upstreams", "/nothing", "/metrics"] {
        let answer = get(daemon.admin(), path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{path}");
        }
        assert!(answer.field("content-security-policy").is_some(), "{path}");
    }
}

#[test]
fn every_change_leaves_a_line() {
    let server = Server::start("1");
    let daemon = start(&server, &format!("audit_log = \"audit.log\"\n{ACCESS}"));
    let address = server.to_string();
    let body = format!("{{\"upstream\": \"app\", \"server\": \"{address}\", \"drain\": true}}");
    let fields = format!("{}Content-Type: application/json\r\n", bearer(WRITER));
    assert_eq!(ask(daemon.admin(), &request("POST", "/servers", &fields, &body)).status, 200);
    assert_eq!(with(&daemon, "POST", "/reload", &bearer(READER)).status, 403);
    assert_eq!(with(&daemon, "POST", "/reload", &bearer("wrong")).status, 401);
    assert_eq!(with(&daemon, "GET", "/upstreams", &bearer(READER)).status, 200);
    // It changes nothing, and a config may hold secrets.
    let plan = "{\"file\": \"new.toml\", \"text\": \"# a secret\"}";
    ask(daemon.admin(), &request("POST", "/plan", &fields, plan));
    let lines = || -> Vec<Value> {
        let text = fs::read_to_string(daemon.path("audit.log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    until("three lines", || lines().len() >= 3);
    let lines = lines();
    assert_eq!(lines.len(), 3, "neither a read nor a plan leaves one");
    let (drain, refused, wrong) = (&lines[0], &lines[1], &lines[2]);
    assert_eq!((&drain["name"], &drain["role"]), (&"ci".into(), &"write".into()), "{drain}");
    assert_eq!((&drain["path"], &drain["status"]), (&"/servers".into(), &200.into()), "{drain}");
    assert_eq!(drain["body"], body.as_str());
    assert!(drain["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{drain}");
    assert_eq!((&refused["name"], &refused["result"]), (&"grafana".into(), &"refused".into()));
    assert_eq!((&wrong["name"], &wrong["status"]), (&Value::Null, &401.into()), "{wrong}");
    let told = daemon.log.find_message(
        "a change was asked for at the admin address",
        &[("name", "ci"), ("path", "/servers")],
    );
    assert_eq!(told.expect("the same in the log")["audit"], true);
    let state = ask(daemon.admin(), &request("GET", "/upstreams", &bearer(READER), "")).text();
    assert!(state.contains("drained at the admin address by ci"), "{state}");
    let metrics = with(&daemon, "GET", "/metrics", &bearer(READER)).text();
    for line in [
        "sheave_admin_requests_total{path=\"/servers\",result=\"ok\",role=\"write\"} 1",
        "sheave_admin_requests_total{path=\"/reload\",result=\"refused\",role=\"read\"} 1",
        "sheave_admin_requests_total{path=\"/reload\",result=\"refused\",role=\"none\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // It may be moved away, and a reload may name another.
    fs::rename(daemon.path("audit.log"), daemon.path("old.log")).unwrap();
    with(&daemon, "POST", "/reload", &bearer(READER));
    until("a new file", || daemon.path("audit.log").exists());
}

#[test]
fn guesses_are_slow_and_lock_nobody_out() {
    let server = Server::start("1");
    let daemon = start(&server, ACCESS);
    let admin = daemon.admin();
    let mut guessing: Vec<_> = (0..60)
        .map(|n| {
            let mut client = Client::connect(admin);
            client.send(request("GET", "/upstreams", &bearer(&format!("guess-number-{n:04}")), ""));
            client
        })
        .collect();
    // Answered while they wait.
    assert_eq!(with(&daemon, "GET", "/upstreams", &bearer(READER)).status, 200);
    let statuses: Vec<_> = guessing.iter_mut().map(|it| it.response().status).collect();
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!(count(401) + count(429), 60, "{statuses:?}");
    assert!(count(429) > 0, "not all are answered: {statuses:?}");
    assert!(count(401) > 10, "some are: {statuses:?}");
}

#[test]
fn bodies_and_connections_are_limited() {
    let server = Server::start("1");
    let daemon = start(&server, "body = \"1KiB\"\nconnections = 2\ntimeout = \"500ms\"");
    let fields = "Content-Type: application/json\r\n";
    let long = request("POST", "/purge", fields, &"x".repeat(1025));
    assert_eq!(ask(daemon.admin(), &long).status, 413);
    let mut slow = Client::connect(daemon.admin());
    slow.send("POST /purge HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{");
    assert_eq!(slow.response().status, 408);
    // Two that say nothing have both places, and lose them.
    let silent = [Client::connect(daemon.admin()), Client::connect(daemon.admin())];
    assert_eq!(get(daemon.admin(), "/live").status, 200);
    drop(silent);
}
