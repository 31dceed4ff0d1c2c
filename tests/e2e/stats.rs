//! `/stats`: rates, errors and durations of the last seconds and minutes, and how full everything
//! is.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Load, Server, behaviour::Step, client::get, eventually,
};
use serde_json::Value;
use std::time::Duration;

/// `/stats`, once this holds of it: a sample is taken once a second.
fn stats_once(daemon: &Daemon, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let (status, told) = daemon.admin_json("/stats");
        assert_eq!(status, 200);
        holds(&told).then_some(told)
    })
}

fn named<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let all = list.as_array().expect("a list");
    all.iter().find(|it| it[key] == name).unwrap_or_else(|| panic!("no {name} in {list}"))
}

#[test]
fn workers_are_told_before_the_first_sample() {
    let daemon = Daemon::start(&Config::to([&Server::start("1")]).workers(2));
    let (_, stats) = daemon.admin_json("/stats");
    assert_eq!(stats["workers"].as_array().map(Vec::len), Some(2), "{}", stats["workers"]);
}

#[test]
fn every_route_upstream_and_server_has_its_windows() {
    let servers = Server::start_several(2);
    servers[0].set_for("/broken", Behaviour::status(500, "no"));
    servers[1].set_for("/broken", Behaviour::status(500, "no"));
    let config = Config::to(&servers)
        .route_before("name = \"here\"\npath = \"/here\"\nrespond = { body = \"x\" }");
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    for _ in 0..8 {
        client.get("/");
    }
    client.get("/broken");
    client.get("/here");
    drop(client);
    let stats = stats_once(&daemon, "ten requests", |it| it["total"]["1m"]["requests"] == 10);
    let total = &stats["total"]["5m"];
    assert_eq!((&total["requests"], &total["errors"]), (&10.into(), &1.into()), "{stats}");
    assert_eq!(total["error_rate"], 0.1, "{stats}");
    assert!(stats["total"]["1m"]["rate"].as_f64().is_some_and(|it| it > 0.0), "{stats}");
    let all = named(&stats["routes"], "name", "all");
    assert_eq!((&all["1m"]["requests"], &all["1m"]["errors"]), (&9.into(), &1.into()), "{all}");
    let quantiles = ["p50_ms", "p90_ms", "p99_ms"].map(|it| all["1m"][it].as_f64().unwrap());
    assert!(quantiles.is_sorted() && quantiles[0] > 0.0, "{all}");
    assert_eq!(named(&stats["routes"], "name", "here")["1m"]["requests"], 1, "{stats}");
    let app = named(&stats["upstreams"], "name", "app");
    assert_eq!(app["5m"]["requests"], 9, "{app}");
    for server in &servers {
        let told = named(&app["servers"], "address", &server.to_string());
        assert_eq!(told["state"], "up", "{told}");
        assert!(told["5m"]["requests"].as_u64().is_some_and(|it| it >= 4), "{told}");
        assert!(told["5m"]["p50_ms"].as_f64().is_some_and(|it| it > 0.0), "{told}");
    }
    assert_eq!(stats["errors"]["1m"], serde_json::json!({ "http_status": 1 }), "{stats}");
    assert_eq!(stats["connections"]["listeners"]["http"], 0, "{stats}");
    assert_eq!(stats["generation"], 1);
}

#[test]
fn without_requests_there_are_no_quantiles_and_no_errors() {
    let daemon = Daemon::start(&Config::to([&Server::start("1")]));
    let (_, stats) = daemon.admin_json("/stats");
    for window in ["1s", "1m", "5m"] {
        let told = &named(&stats["routes"], "name", "all")[window];
        assert_eq!(told["requests"], 0, "{told}");
        for unknown in ["error_rate", "p50_ms", "p90_ms", "p99_ms"] {
            assert!(told[unknown].is_null(), "{unknown} in {told}");
        }
    }
    assert_eq!(stats["errors"]["5m"], serde_json::json!({}), "{stats}");
}

#[test]
fn the_quantiles_tell_the_slow_from_the_fast() {
    let server = Server::start("1");
    server.set_for(
        "/slow",
        Behaviour::new([Step::Body, Step::Pause(Duration::from_millis(400)), Step::Name]),
    );
    let daemon = Daemon::start(&Config::to([&server]).workers(1));
    let mut client = Client::connect(daemon.http());
    for at in 0..10 {
        client.get(if at == 5 { "/slow" } else { "/" });
    }
    drop(client);
    let stats = stats_once(&daemon, "ten requests", |it| it["total"]["1m"]["requests"] == 10);
    let app = named(&stats["upstreams"], "name", "app");
    for told in [&stats["total"]["1m"], &app["1m"], &app["servers"][0]["1m"]] {
        let ms = |part: &str| told[part].as_f64().unwrap();
        // 400 ms is a bound, and nothing is faster than it was told to be.
        assert!(ms("p99_ms") > 400.0, "{told}");
        assert!(ms("p50_ms") < ms("p99_ms"), "{told}");
    }
}

#[test]
fn a_server_that_fails_has_its_errors_and_the_request_that_another_answered_has_none() {
    let (good, bad) = (Server::start("1"), Server::start("2"));
    bad.set(Behaviour::reset());
    let daemon = Daemon::start(&Config::to([&good, &bad]));
    for _ in 0..4 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    let stats = stats_once(&daemon, "four requests", |it| it["total"]["1m"]["requests"] == 4);
    assert_eq!(stats["total"]["1m"]["errors"], 0, "{stats}");
    let app = named(&stats["upstreams"], "name", "app");
    let told = |server: &Server| named(&app["servers"], "address", &server.to_string()).clone();
    assert_eq!(told(&good)["1m"]["errors"], 0, "{app}");
    let failed = told(&bad)["1m"]["errors"].as_u64().unwrap();
    assert!(failed > 0, "{app}");
    assert_eq!(app["retries"], failed, "{app}");
    // What a request got over is told by its reason, too.
    assert_eq!(stats["errors"]["1m"]["reset"], failed, "{stats}");
}

#[test]
fn a_reload_takes_routes_and_servers_out_and_what_stays_goes_on() {
    let (one, other) = (Server::start("1"), Server::start("2"));
    let brief = "name = \"brief\"\npath = \"/brief\"\nrespond = { body = \"x\" }";
    let daemon = Daemon::start(&Config::to([&one, &other]).route_before(brief));
    for path in ["/", "/", "/brief"] {
        get(daemon.http(), path);
    }
    stats_once(&daemon, "three requests", |it| it["total"]["1m"]["requests"] == 3);
    daemon.reconfigure(&Config::to([&one]));
    get(daemon.http(), "/");
    let stats = stats_once(&daemon, "four requests", |it| it["total"]["1m"]["requests"] == 4);
    assert_eq!(stats["generation"], 2);
    assert_eq!(stats["routes"].as_array().map(Vec::len), Some(1), "{stats}");
    assert_eq!(stats["routes"][0]["1m"]["requests"], 3, "{stats}");
    let servers = &named(&stats["upstreams"], "name", "app")["servers"];
    assert_eq!(servers.as_array().map(Vec::len), Some(1), "{servers}");
    assert_eq!(servers[0]["1m"]["requests"], 2, "{servers}");
    daemon.reconfigure(&Config::to([&one]).route_before(brief));
    let (_, stats) = daemon.admin_json("/stats");
    assert_eq!(named(&stats["routes"], "name", "brief")["1m"]["requests"], 0, "{stats}");
}

#[test]
fn a_worker_under_load_is_busy_and_its_requests_are_its_own() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).workers(2).quiet());
    Load::on(daemon.http()).connections(4).requests(2000).run().expect_no_failure();
    let stats = stats_once(&daemon, "all requests", |it| it["total"]["1m"]["requests"] == 2000);
    let workers = stats["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2, "{stats}");
    let requests = workers.iter().map(|it| it["requests"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(requests, 2000, "{stats}");
    for worker in workers {
        assert!(worker["busy"].as_f64().is_some_and(|it| (0.0..=1.0).contains(&it)), "{worker}");
        assert!(worker["lag_max_ms"].as_f64().is_some_and(|it| it >= 0.0), "{worker}");
        assert!(worker["tasks"].as_u64().is_some_and(|it| it > 0), "{worker}");
    }
    assert!(daemon.metric("sheave_worker_busy_seconds_total", &[]) > 0.0);
    assert_eq!(daemon.count("sheave_worker_requests_total", &[]), 2000);
    assert!(daemon.count("sheave_worker_lag_seconds_count", &[("worker", "1")]) > 0);
    let answers = daemon.count("sheave_upstream_response_seconds_count", &[("upstream", "app")]);
    assert_eq!(answers, 2000);
    assert!(stats["pools"]["hit_ratio"].as_f64().is_some_and(|it| it > 0.9), "{stats}");
}

#[test]
fn connections_are_told_by_worker_and_listener() {
    let daemon = Daemon::start(&Config::to([&Server::start("1")]).workers(2));
    let mut clients: Vec<_> = (0..6).map(|_| Client::connect(daemon.http())).collect();
    for client in &mut clients {
        client.get("/");
    }
    let (_, stats) = daemon.admin_json("/stats");
    assert_eq!(stats["connections"]["open"], 6, "{stats}");
    assert_eq!(stats["connections"]["listeners"]["http"], 6, "{stats}");
    assert_eq!(daemon.count("sheave_worker_connections", &[]), 6);
    drop(clients);
    stats_once(&daemon, "no connection", |it| it["connections"]["open"] == 0);
}
