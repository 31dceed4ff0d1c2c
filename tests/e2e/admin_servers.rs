//! `POST /servers`: drain and weight at run time.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server,
    client::{ask, get, request},
    until,
};
use serde_json::{Value, json};

/// Sends a change; gives the status and what is told.
fn set(daemon: &Daemon, body: &Value) -> (u16, Value) {
    let fields = "Content-Type: application/json\r\n";
    let response = ask(daemon.admin(), &request("POST", "/servers", fields, &body.to_string()));
    (response.status, serde_json::from_slice(&response.body).expect("JSON"))
}

fn drain(daemon: &Daemon, server: &Server, drain: bool) -> Value {
    let (status, told) =
        set(daemon, &json!({ "upstream": "app", "server": server.to_string(), "drain": drain }));
    assert_eq!(status, 200, "{told}");
    told
}

fn weigh(daemon: &Daemon, server: &Server, weight: Option<u32>) -> Value {
    let (status, told) =
        set(daemon, &json!({ "upstream": "app", "server": server.to_string(), "weight": weight }));
    assert_eq!(status, 200, "{told}");
    told
}

/// How many of `count` requests, each with a client of its own name, each server answers.
fn split(daemon: &Daemon, count: usize) -> Vec<usize> {
    let load = Load::on(daemon.http()).connections(4).requests(count);
    let asking = |n| format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Client: client-{n}\r\n\r\n");
    let outcome = load.asking(asking).run();
    outcome.expect_no_failure();
    vec![outcome.of("1"), outcome.of("2")]
}

/// Where `count` requests are that are in flight at the same time.
fn hold(daemon: &Daemon, servers: &[Server], count: usize) -> Vec<usize> {
    let gate = Gate::default();
    for server in servers {
        server.set_for("/held", Behaviour::gated(&gate));
        server.forget_requests();
    }
    let mut clients = Vec::new();
    for sent in 1..=count {
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/held", "", ""));
        until("the request to come", || {
            servers.iter().map(Server::request_count).sum::<usize>() == sent
        });
        clients.push(client);
    }
    let counts = servers.iter().map(Server::request_count).collect();
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    counts
}

#[test]
fn a_drain_under_load_loses_no_request_and_sends_no_new_one() {
    for strategy in ["round_robin", "least_connections", "random_two", "ip_hash", "consistent_hash"]
    {
        let servers = Server::start_several(2);
        let key =
            if strategy == "consistent_hash" { "hash_key = \"{header.x-client}\"" } else { "" };
        let config = Config::to(&servers).upstream(&format!("strategy = \"{strategy}\"\n{key}"));
        let daemon = Daemon::start(&config);
        let asking =
            |n| format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Client: client-{n}\r\n\r\n");
        let load = Load::on(daemon.http()).connections(8).asking(asking).start();
        load.wait_for(300);
        // With `ip_hash` all are at one server: that one must give them up.
        let busy = usize::from(servers[1].request_count() > servers[0].request_count());
        let (drained, other) = (&servers[busy], &servers[1 - busy]);
        let told = drain(&daemon, drained, true);
        assert_eq!((&told["drained"], &told["state"]), (&true.into(), &"drained".into()), "{told}");
        // What was sent before the answer may still come in.
        until("those in flight to end", || {
            daemon.server_state(&drained.to_string())["in_flight"] == 0
        });
        let before = drained.request_count();
        load.wait_for(load.done() + 300);
        assert_eq!(drained.request_count(), before, "{strategy}: nothing new comes");
        drain(&daemon, drained, false);
        let (before, others) = (drained.request_count(), other.request_count());
        load.wait_for(load.done() + 300);
        assert!(drained.request_count() > before, "{strategy}: it is in again");
        if strategy != "ip_hash" {
            assert!(other.request_count() > others, "{strategy}: and so is the other");
        }
        load.stop().expect_no_failure();
    }
}

#[test]
fn a_drain_lets_requests_and_tunnels_in_flight_go_on() {
    let (server, gate) = (Server::start("1"), Gate::default());
    server.set_for("/held", Behaviour::gated(&gate));
    server.set_for("/chat", Behaviour::tunnel("websocket"));
    let other = Server::dead("2");
    let config = Config::to([&server]).server(&other, "backup = true").upstream("retry.tries = 1");
    let daemon = Daemon::start(&config.workers(1));
    let mut held = Client::connect(daemon.http());
    held.send(request("GET", "/held", "", ""));
    let mut chat = Client::connect(daemon.http());
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    chat.send(request("GET", "/chat", upgrade, ""));
    assert_eq!(chat.head().expect("consent").status(), Some(101));
    server.wait_for_requests(2);
    let told = drain(&daemon, &server, true);
    assert_eq!((&told["in_flight"], &told["tunnels"]), (&2.into(), &1.into()), "{told}");
    chat.send("still here");
    assert_eq!(chat.exactly(10).expect("sent back"), b"still here");
    gate.open();
    assert_eq!(held.response().status, 200);
    assert_ne!(get(daemon.http(), "/").status, 200, "new requests go to the backup, which is dead");
    assert_eq!(server.request_count(), 2);
}

#[test]
fn drained_is_told_and_survives_reloads_but_not_a_restart() {
    let servers = Server::start_several(2);
    let config = Config::to(&servers).upstream("health_check = { path = \"/\" }");
    let daemon = Daemon::start(&config);
    let (address, label) = (servers[0].to_string(), servers[0].to_string());
    drain(&daemon, &servers[0], true);
    weigh(&daemon, &servers[1], Some(7));
    let is_told = || {
        let state = daemon.server_state(&address);
        assert_eq!((&state["state"], &state["drained"]), (&"drained".into(), &true.into()));
        let reason = state["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("drained at the admin address by "), "{reason}");
        let other = daemon.server_state(&servers[1].to_string());
        assert_eq!((&other["weight"], &other["set"]["weight"]), (&7.into(), &7.into()), "{other}");
        let labels = [("server", label.as_str())];
        assert_eq!(daemon.count("sheave_upstream_drained", &labels), 1);
        assert_eq!(daemon.count("sheave_upstream_up", &labels), 0);
    };
    is_told();
    let generation = daemon.count("sheave_config_generation", &[]);
    daemon.reconfigure(&config.clone().top("# another text"));
    is_told();
    assert_eq!(daemon.count("sheave_config_generation", &[]), generation + 1);
    let kept = daemon.log.find_message(
        "set at the admin address, and kept",
        &[("upstream", "app"), ("server", &address)],
    );
    assert_eq!(kept.expect("a line for the drained one")["drained"], true);
    // Out of the config and in again, it is another server.
    daemon.reconfigure(&Config::to([&servers[1]]));
    daemon.reconfigure(&config);
    assert_eq!(daemon.server_state(&address)["drained"], false);
}

#[test]
fn weights_take_effect_at_once_with_every_strategy() {
    for strategy in ["round_robin", "least_connections", "random_two", "consistent_hash"] {
        let servers = Server::start_several(2);
        let key =
            if strategy == "consistent_hash" { "hash_key = \"{header.x-client}\"" } else { "" };
        let config = Config::to(&servers).upstream(&format!("strategy = \"{strategy}\"\n{key}"));
        let daemon = Daemon::start(&config);
        let even = split(&daemon, 400);
        assert!(even[0] > 100 && even[1] > 100, "{strategy}: {even:?}");
        let told = weigh(&daemon, &servers[0], Some(9));
        assert_eq!(told["weight"], 9, "{told}");
        match strategy {
            "round_robin" => assert_eq!(split(&daemon, 400), [360, 40], "smooth turns are exact"),
            "consistent_hash" => {
                let shifted = split(&daemon, 400);
                assert!(shifted[0] > 300, "{shifted:?}");
            }
            // They weigh what is in flight.
            _ => assert_eq!(hold(&daemon, &servers, 20), [18, 2], "{strategy}"),
        }
        let none = weigh(&daemon, &servers[0], Some(0));
        assert_eq!(none["state"], "down", "{none}");
        assert_eq!(split(&daemon, 50), [0, 50], "{strategy}");
        let back = weigh(&daemon, &servers[0], None);
        assert_eq!((&back["weight"], &back["state"]), (&1.into(), &"up".into()), "{back}");
        let even = split(&daemon, 400);
        assert!(even[0] > 100 && even[1] > 100, "{strategy}: {even:?}");
        assert_eq!(daemon.count("sheave_config_generation", &[]), 1, "no file was loaded");
    }
}

#[test]
fn a_weight_needs_no_file() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers));
    daemon.rewrite_config("this is no config");
    until("the reload to fail", || daemon.count("sheave_config_last_reload_successful", &[]) == 0);
    assert_eq!(weigh(&daemon, &servers[0], Some(3))["weight"], 3);
    assert_eq!(split(&daemon, 100), [75, 25]);
    assert_eq!(daemon.count("sheave_config_last_reload_successful", &[]), 0, "still so");
}

#[test]
fn the_last_server_may_be_drained_with_a_warning() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let told = drain(&daemon, &server, true);
    assert!(told["warning"].as_str().is_some_and(|it| it.contains("503")), "{told}");
    assert_eq!(get(daemon.http(), "/").status, 503);
    assert_eq!(get(daemon.admin(), "/ready").status, 503);
    let told = drain(&daemon, &server, false);
    assert!(told["warning"].is_null(), "{told}");
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn wrong_changes_are_refused_with_what_to_do() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let address = server.to_string();
    for (body, status, says) in [
        (json!({ "upstream": "ap", "server": address, "drain": true }), 404, "did you mean `app`"),
        (
            json!({ "upstream": "app", "server": format!("{address}0"), "drain": true }),
            404,
            address.as_str(),
        ),
        (json!({ "upstream": "app", "server": address }), 422, "\"drain\": true"),
        (json!({ "upstream": "app", "server": address, "weight": 1001 }), 422, "up to 1000"),
        (json!({ "upstream": "app", "server": address, "drian": true }), 422, "unknown key"),
    ] {
        let (got, told) = set(&daemon, &body);
        assert_eq!(got, status, "{body}: {told}");
        assert!(told["error"].as_str().is_some_and(|it| it.contains(says)), "{told}");
    }
    assert_eq!(daemon.state_name(&address), "up");
    let wrong_method = get(daemon.admin(), "/servers");
    assert_eq!((wrong_method.status, wrong_method.field("allow")), (405, Some("POST")));
}
