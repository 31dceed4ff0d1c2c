//! Which server a request goes to: weights, strategies, stickiness, `down`, `backup`, `max_conns`.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server,
    client::{get, request},
    until,
};
use std::collections::{BTreeMap, BTreeSet};

/// Believes what the tests say about where they come from.
const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

fn three_two_one(servers: &[Server]) -> Config {
    Config::bare()
        .server(&servers[0], "weight = 3")
        .server(&servers[1], "weight = 2")
        .server(&servers[2], "weight = 1")
}

/// Asks as a client at `ip`, and returns the server's name.
fn as_client(client: &mut Client, ip: &str) -> String {
    client.ask(&request("GET", "/", &format!("X-Forwarded-For: {ip}\r\n"), "")).text()
}

#[test]
fn weights_3_2_1_share_600_requests_exactly() {
    for connections in [1, 16] {
        let servers = Server::start_several(3);
        let daemon = Daemon::start(&three_two_one(&servers).workers(2).quiet());
        let outcome = Load::on(daemon.http()).connections(connections).requests(600).run();
        outcome.expect_no_failure();
        assert_eq!([outcome.of("1"), outcome.of("2"), outcome.of("3")], [300, 200, 100]);
    }
}

#[test]
fn weights_are_spread_smoothly_not_in_bursts() {
    let servers = Server::start_several(3);
    let daemon = Daemon::start(&three_two_one(&servers));
    let mut client = Client::connect(daemon.http());
    let names: String = (0..12).map(|_| client.get("/").text()).collect();
    assert_eq!(names, "121321121321");
}

#[test]
fn nine_requests_go_1_2_3_whatever_workers_says() {
    for workers in [1, 4] {
        let servers = Server::start_several(3);
        let daemon = Daemon::start(&Config::to(&servers).workers(workers));
        let names: String = (0..9).map(|_| get(daemon.http(), "/").text()).collect();
        assert_eq!(names, "123123123", "a connection each, {workers} workers");
        let mut client = Client::connect(daemon.http());
        let names: String = (0..9).map(|_| client.get("/").text()).collect();
        assert_eq!(names, "123123123", "one connection, {workers} workers");
    }
}

#[test]
fn weighted_is_another_name_of_round_robin() {
    let servers = Server::start_several(3);
    let daemon = Daemon::start(&three_two_one(&servers).upstream("strategy = \"weighted\""));
    let mut client = Client::connect(daemon.http());
    let names: String = (0..6).map(|_| client.get("/").text()).collect();
    assert_eq!(names, "121321");
}

#[test]
fn every_strategy_uses_every_server() {
    for strategy in ["round_robin", "least_connections", "ip_hash", "random_two", "consistent_hash"]
    {
        let servers = Server::start_several(3);
        let config = Config::to(&servers).upstream(&format!("strategy = \"{strategy}\""));
        let daemon = Daemon::start(&config.top(TRUSTED).quiet());
        let load = Load::on(daemon.http()).connections(6).requests(300).asking(|n| {
            let fields = format!("X-Forwarded-For: 10.{}.{}.7\r\n", n % 200, n % 7);
            request("GET", "/", &fields, "")
        });
        let outcome = load.run();
        outcome.expect_no_failure();
        // On a busy machine a server may be slow, and then these leave it alone.
        let heeds_load = ["least_connections", "random_two"].contains(&strategy);
        let least = if heeds_load { 1 } else { 30 };
        for name in ["1", "2", "3"] {
            assert!(outcome.of(name) >= least, "{strategy}: {:?}", outcome.bodies);
        }
    }
}

#[test]
fn every_strategy_heeds_down_and_weight_zero() {
    for strategy in ["round_robin", "least_connections", "ip_hash", "random_two", "consistent_hash"]
    {
        let servers = Server::start_several(4);
        let config = Config::bare()
            .server(&servers[0], "down = true")
            .server(&servers[1], "weight = 0")
            .server(&servers[2], "")
            .server(&servers[3], "backup = true")
            .upstream(&format!("strategy = \"{strategy}\""));
        let daemon = Daemon::start(&config.quiet());
        let outcome = Load::on(daemon.http()).connections(3).requests(60).run();
        outcome.expect_no_failure();
        assert_eq!(outcome.of("3"), 60, "{strategy}: {:?}", outcome.bodies);
    }
}

#[test]
fn ip_hash_is_sticky_and_maps_as_nginx_does() {
    let servers = Server::start_several(3);
    let daemon =
        Daemon::start(&Config::to(&servers).top(TRUSTED).upstream("strategy = \"ip_hash\""));
    let mut client = Client::connect(daemon.http());
    for (ip, name) in [
        ("192.168.1.10", "2"),
        ("192.168.1.200", "2"),
        ("10.0.0.1", "1"),
        ("203.0.113.7", "1"),
        ("2001:db8::1", "3"),
    ] {
        for _ in 0..3 {
            assert_eq!(as_client(&mut client, ip), name, "{ip}");
        }
    }
}

#[test]
fn consistent_hash_is_sticky_and_remaps_only_the_keys_of_a_lost_server() {
    let servers = Server::start_several(3);
    let hash = "strategy = \"consistent_hash\"\nhash_key = \"{header.x-user}\"";
    let config = Config::to(&servers).upstream(hash);
    let daemon = Daemon::start(&config);
    let mapping = || -> BTreeMap<usize, String> {
        let mut client = Client::connect(daemon.http());
        let mut one = |n| client.ask(&request("GET", "/", &format!("X-User: user-{n}\r\n"), ""));
        (0..60).map(|n| (n, one(n).text())).collect()
    };
    let before = mapping();
    assert_eq!(before, mapping(), "sticky");
    assert_eq!(before.values().collect::<BTreeSet<_>>().len(), 3, "spread");

    let without = Config::bare()
        .server(&servers[0], "")
        .server(&servers[1], "down = true")
        .server(&servers[2], "")
        .upstream(hash);
    daemon.reconfigure(&without);
    for (key, name) in mapping() {
        assert!(
            name == before[&key] || before[&key] == "2",
            "user-{key}: {} → {name}",
            before[&key]
        );
        assert_ne!(name, "2");
    }
    daemon.reconfigure(&config);
    assert_eq!(before, mapping(), "back as it was");
}

#[test]
fn least_connections_leaves_a_busy_server_alone() {
    let servers = Server::start_several(2);
    let gate = Gate::default();
    servers[0].set(Behaviour::gated(&gate));
    let daemon = Daemon::start(&Config::to(&servers).upstream("strategy = \"least_connections\""));
    let mut held = Client::connect(daemon.http());
    // Whichever of the first two goes to server 1 stays there.
    held.send(request("GET", "/", "", ""));
    if servers[1].request_count() == 0 {
        until("the request to arrive", || {
            servers[0].request_count() + servers[1].request_count() > 0
        });
    }
    if servers[0].request_count() == 0 {
        held.response();
        held.send(request("GET", "/", "", ""));
        servers[0].wait_for_requests(1);
    }
    for _ in 0..10 {
        assert_eq!(get(daemon.http(), "/").text(), "2");
    }
    gate.open();
    assert_eq!(held.response().text(), "1");
}

#[test]
fn max_conns_sends_the_next_request_elsewhere_then_to_the_backup_then_503() {
    let servers = Server::start_several(3);
    let gate = Gate::default();
    for server in &servers {
        server.set(Behaviour::gated(&gate));
    }
    let daemon = Daemon::start(
        &Config::bare()
            .server(&servers[0], "max_conns = 1")
            .server(&servers[1], "max_conns = 1")
            .server(&servers[2], "max_conns = 1, backup = true"),
    );
    let mut held = Vec::new();
    for server in &servers {
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", "", ""));
        server.wait_for_requests(1);
        held.push(client);
    }
    let refused = get(daemon.http(), "/");
    assert_eq!(refused.status, 503, "{refused:?}");
    gate.open();
    let mut names: Vec<_> = held.iter_mut().map(|client| client.response().text()).collect();
    names.sort();
    assert_eq!(names, ["1", "2", "3"]);
    until("the places to be free again", || get(daemon.http(), "/").status == 200);
}

#[test]
fn a_backup_is_used_only_while_no_other_server_can_be() {
    for strategy in ["round_robin", "least_connections", "ip_hash", "random_two", "consistent_hash"]
    {
        let servers = Server::start_several(2);
        let config = Config::bare()
            .server(&servers[0], "fail_timeout = \"1s\", max_fails = 1")
            .server(&servers[1], "backup = true")
            .upstream(&format!("strategy = \"{strategy}\""));
        let daemon = Daemon::start(&config);
        assert_eq!(get(daemon.http(), "/").text(), "1", "{strategy}");
        servers[0].kill();
        for _ in 0..5 {
            assert_eq!(get(daemon.http(), "/").text(), "2", "{strategy}");
        }
        servers[0].come_back();
        until("the server to be used again", || get(daemon.http(), "/").text() == "1");
        assert_eq!(get(daemon.http(), "/").text(), "1", "{strategy}");
    }
}
