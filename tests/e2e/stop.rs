//! How the daemon ends: what it still finishes, what it says meanwhile, and with which exit code.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server,
    certs::{self, Kind},
    client::{get, request},
    daemon::run_to_end,
    secure::{Handshake, Http2},
    until,
};
use std::{
    collections::HashSet,
    fs::{self, File},
    process::Command,
    time::{Duration, Instant},
};

#[test]
fn sigterm_under_load_fails_no_request_that_was_accepted() {
    for signal in ["TERM", "INT"] {
        let servers = Server::start_several(2);
        let mut daemon = Daemon::start(&Config::to(&servers).quiet());
        let load = Load::on(daemon.http()).connections(32);
        let load = load.asking(|n| request("GET", &format!("/{n}"), "", "")).start();
        load.wait_for(1000);
        daemon.signal(signal);
        let code = daemon.wait_exit();
        let outcome = load.stop();
        assert_eq!(code, Some(0));
        // A request that a server saw was accepted; one that met a closed door was not.
        let seen: HashSet<_> = servers
            .iter()
            .flat_map(Server::requests)
            .map(|request| request.head.path().trim_start_matches('/').to_owned())
            .collect();
        let lost: Vec<_> = outcome
            .failures
            .iter()
            .filter(|(number, _)| seen.contains(&number.to_string()))
            .collect();
        assert!(lost.is_empty(), "accepted and lost: {lost:?}");
    }
}

#[test]
fn requests_in_flight_finish_and_say_close_and_ready_is_503() {
    let (server, gate) = (Server::start("1"), Gate::default());
    server.set_for("/held", Behaviour::gated(&gate));
    let mut daemon = Daemon::start(&Config::to([&server]));
    let mut idle = Client::connect(daemon.http());
    idle.get("/");
    let mut held = Client::connect(daemon.http());
    held.send(request("GET", "/held", "", ""));
    server.wait_for_requests(2);
    assert_eq!(get(daemon.admin(), "/ready").status, 200);
    let (http, admin) = (daemon.http(), daemon.admin());
    daemon.signal("TERM");
    idle.expect_close();
    until("new connections to be refused", || Client::try_connect(http).is_err());
    assert_eq!(get(admin, "/ready").status, 503);
    assert_eq!(get(admin, "/live").status, 200);
    assert!(daemon.is_running(), "it waits for the one in flight");
    gate.open();
    let answer = held.response();
    assert_eq!(answer.text(), "1");
    assert!(answer.head.closes());
    assert_eq!(daemon.wait_exit(), Some(0));
}

#[test]
fn in_the_drain_delay_ready_is_503_and_requests_are_still_taken() {
    let server = Server::start("1");
    let mut daemon = Daemon::start(&Config::to([&server]).top("drain_delay = \"2s\""));
    let since = Instant::now();
    daemon.signal("TERM");
    until("/ready to be 503", || get(daemon.admin(), "/ready").status == 503);
    let answer = Client::try_connect(daemon.http()).map(|mut client| {
        client.send(request("GET", "/", "", ""));
        client.try_response("GET").map_or(0, |r| r.status)
    });
    if since.elapsed() < Duration::from_millis(1500) {
        assert_eq!(answer.unwrap(), 200);
    }
    assert_eq!(daemon.wait_exit(), Some(0));
    assert!(since.elapsed() >= Duration::from_secs(2), "the delay is kept");
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = Server::start("1");
    server.set(Behaviour::hang());
    let config = Config::to([&server]).top("shutdown_timeout = \"10m\"");
    let mut daemon = Daemon::start(&config);
    let mut held = Client::connect(daemon.http());
    held.send(request("GET", "/", "", ""));
    server.wait_for_requests(1);
    let http = daemon.http();
    daemon.signal("TERM");
    until("the drain to begin", || Client::try_connect(http).is_err());
    assert!(daemon.is_running());
    daemon.signal("TERM");
    daemon.wait_exit();
}

#[test]
fn an_access_log_that_nobody_reads_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _unread = File::options().read(true).write(true).open(&pipe).unwrap();
    let server = Server::start("1");
    let config = Config::to([&server]).rest("[access_log]\npath = \"pipe\"");
    let mut daemon = Daemon::start_in(dir, &config.text());
    let mut client = Client::connect(daemon.http());
    // More than a pipe holds.
    let path = format!("/{}", "x".repeat(4000));
    for _ in 0..50 {
        assert_eq!(client.get(&path).status, 200);
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
    daemon.log.wait_for("that lines are lost", |line| line.contains("nobody reads the access log"));
}

#[test]
fn who_asks_for_a_reload_while_it_stops_is_told_so() {
    let server = Server::start("1");
    let mut daemon = Daemon::start(&Config::to([&server]).top("drain_delay = \"10m\""));
    daemon.signal("TERM");
    until("/ready to be 503", || get(daemon.admin(), "/ready").status == 503);
    assert_eq!(daemon.reload().status, 503);
    daemon.signal("TERM");
    daemon.wait_exit();
}

#[test]
fn shutdown_timeout_is_a_hard_end() {
    let server = Server::start("1");
    server.set(Behaviour::hang());
    let config = Config::to([&server]).top("shutdown_timeout = \"500ms\"");
    let mut daemon = Daemon::start(&config);
    let mut held = Client::connect(daemon.http());
    held.send(request("GET", "/", "", ""));
    server.wait_for_requests(1);
    let since = Instant::now();
    daemon.signal("TERM");
    daemon.wait_exit();
    assert!(since.elapsed() >= Duration::from_millis(500), "not before");
    assert!(held.try_response("GET").is_err());
}

#[test]
fn http2_connections_are_told_to_go_away_and_their_streams_finish() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", Kind::Ecdsa, &["localhost"]);
    let (server, gate) = (Server::start("1"), Gate::default());
    server.set(Behaviour::gated(&gate));
    let config = Config::to([&server]).rest(
        "[listener.https]\naddress = \"127.0.0.1:0\"\ntls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
    );
    let mut daemon = Daemon::start_in(dir, &config.text());
    let (secure, plain) = (daemon.address("https"), daemon.http());
    let http2 = Http2::connect(&Handshake::offering(&["h2"]), secure, "localhost");
    let answer = std::thread::scope(|scope| {
        let held = scope.spawn(|| http2.get("https://localhost/"));
        server.wait_for_requests(1);
        daemon.signal("TERM");
        until("the drain to begin", || Client::try_connect(plain).is_err());
        gate.open();
        held.join().unwrap()
    });
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(daemon.wait_exit(), Some(0));
    until("the connection to be over", || http2.is_closed());
}

#[test]
fn exit_codes_tell_a_wrong_config_a_wrong_command_and_a_refusal_apart() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| run_to_end(dir.path(), arguments).status.code();
    fs::write(dir.path().join("bad.toml"), "wrokers = 1").unwrap();
    assert_eq!(run(&["run", "--config", "bad.toml"]), Some(1), "the config is wrong");
    assert_eq!(run(&["--config", "bad.toml"]), Some(1), "run is the default");
    assert_eq!(run(&["--no-such-option"]), Some(2));
    assert_eq!(run(&["no-such-command"]), Some(2));
    assert_eq!(run(&["run", "--config"]), Some(2));
    assert_eq!(run(&["run", "--config", "missing.toml"]), Some(3), "it cannot be read");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = Config::bare().rest("[[site]]\n[[site.route]]\nrespond = { body = \"x\" }").text();
    let address = taken.local_addr().unwrap().to_string();
    let text = text.replacen("127.0.0.1:0", &address, 1);
    fs::write(dir.path().join("taken.toml"), text).unwrap();
    assert_eq!(run(&["run", "--config", "taken.toml"]), Some(3), "it cannot be bound");
    assert_eq!(run(&["--help"]), Some(0));
    assert_eq!(run(&["--version"]), Some(0));
}
