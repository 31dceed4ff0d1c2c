//! The admin address: metrics, health, readiness, servers.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server,
    client::{ask, get, request},
};

#[test]
fn metrics_have_the_names_of_the_contract() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers).quiet());
    Load::on(daemon.http()).connections(2).requests(50).run().expect_no_failure();
    let metrics = daemon.metrics();
    let missing: Vec<_> = [
        "http_request_duration_seconds",
        "sheave_requests_in_flight",
        "sheave_connections_open",
        "sheave_connections_total",
        "sheave_received_bytes_total",
        "sheave_sent_bytes_total",
        "sheave_upstream_attempts_total",
        "sheave_upstream_retries_total",
        "sheave_upstream_ejections_total",
        "sheave_upstream_up",
        "sheave_pool_hits_total",
        "sheave_pool_misses_total",
        "sheave_reloads_total",
        "sheave_config_generation",
        "sheave_config_last_reload_successful",
        "sheave_access_log_dropped_total",
        "sheave_panics_total",
        "sheave_worker_restarts_total",
        "process_resident_memory_bytes",
        "process_open_fds",
    ]
    .into_iter()
    .filter(|name| !metrics.has(name))
    .collect();
    assert!(missing.is_empty(), "missing: {missing:?}\n{}", metrics.text());
}

#[test]
fn requests_are_counted_by_method_route_and_status() {
    let server = Server::start("1");
    server.set_for("/missing", Behaviour::status(404, "no"));
    let daemon = Daemon::start(&Config::to([&server]).workers(1));
    let mut client = Client::connect(daemon.http());
    for _ in 0..3 {
        client.get("/");
    }
    client.get("/missing");
    client.ask(&request("POST", "/", "", "12345"));
    drop(client);
    // A request is counted once its answer is out, so the last may be a moment late.
    let last = [("method", "POST"), ("status_code", "200")];
    daemon.wait_for_metric("http_request_duration_seconds_count", &last, 1);
    let count =
        |labels: &[(&str, &str)]| daemon.count("http_request_duration_seconds_count", labels);
    assert_eq!(count(&[("method", "GET"), ("route", "all"), ("status_code", "200")]), 3);
    assert_eq!(count(&[("method", "GET"), ("route", "all"), ("status_code", "404")]), 1);
    assert_eq!(count(&[("method", "POST"), ("status_code", "200")]), 1);
    let server_label = server.to_string();
    let labels = [("upstream", "app"), ("server", server_label.as_str()), ("outcome", "success")];
    assert_eq!(daemon.count("sheave_upstream_attempts_total", &labels), 5);
    assert_eq!(daemon.count("sheave_connections_total", &[("listener", "http")]), 1);
    assert_eq!(daemon.count("sheave_pool_misses_total", &[]), 1, "one connection was made");
    assert_eq!(daemon.count("sheave_pool_hits_total", &[]), 4, "and used again");
    assert!(daemon.count("sheave_sent_bytes_total", &[]) >= 6);
    assert!(daemon.count("sheave_received_bytes_total", &[]) >= 5);
}

#[test]
fn labels_never_come_from_requests() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    for n in 0..50 {
        ask(daemon.http(), &format!("MADE{n} /path-{n} HTTP/1.1\r\nHost: host-{n}\r\n\r\n"));
    }
    let metrics = daemon.metrics();
    for made_up in ["MADE", "path-", "host-"] {
        assert!(!metrics.text().contains(made_up), "{made_up}");
    }
}

#[test]
fn health_tells_of_every_upstream_and_of_the_process() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers));
    let (status, health) = daemon.admin_json("/health");
    assert_eq!((status, &health["status"]), (200, &"ok".into()), "{health}");
    assert!(!health["uptime"].is_null(), "{health}");
    let checks = health["checks"].to_string();
    for name in ["app", "memory", "cpu", "config"] {
        assert!(checks.contains(name), "{name} in {checks}");
    }
}

#[test]
fn ready_and_live_are_200_and_what_is_not_there_is_404() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    assert_eq!(get(daemon.admin(), "/ready").status, 200);
    assert_eq!(get(daemon.admin(), "/live").status, 200);
    assert_eq!(get(daemon.admin(), "/nothing").status, 404);
    assert!(matches!(ask(daemon.admin(), &request("POST", "/metrics", "", "")).status, 404 | 405));
    let head = ask(daemon.admin(), &request("HEAD", "/live", "", ""));
    assert!(head.body.is_empty());
    let kind = get(daemon.admin(), "/metrics");
    assert!(kind.field("content-type").unwrap().starts_with("text/plain"));
    assert_eq!(get(daemon.http(), "/metrics").text(), "1", "never on a public listener by itself");
}

#[test]
fn upstreams_show_state_and_what_is_in_flight() {
    let (server, gate) = (Server::start("1"), Gate::default());
    server.set_for("/held", Behaviour::gated(&gate));
    let daemon = Daemon::start(&Config::to([&server]));
    get(daemon.http(), "/");
    let mut held = Client::connect(daemon.http());
    held.send(request("GET", "/held", "", ""));
    server.wait_for_requests(2);
    let state = daemon.server_state(&server.to_string());
    assert_eq!(
        (&state["state"], &state["in_flight"], &state["fails"]),
        (&"up".into(), &1.into(), &0.into())
    );
    for key in ["state", "reason", "fails", "in_flight", "requests"] {
        assert!(state.get(key).is_some(), "{key} in {state}");
    }
    assert!(state.to_string().contains("latency"), "{state}");
    assert_eq!(daemon.count("sheave_requests_in_flight", &[]), 1);
    gate.open();
    held.response();
    daemon.wait_for_metric("sheave_requests_in_flight", &[], 0);
    assert_eq!(daemon.server_state(&server.to_string())["requests"], 2);
}

#[test]
fn the_admin_address_can_be_switched_off() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).rest("[admin]\nenabled = false"));
    assert_eq!(get(daemon.http(), "/").text(), "1");
    assert!(daemon.log.find_message("admin listening", &[]).is_none());
}

#[test]
fn processor_time_is_told_in_parts_of_a_second() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let told = daemon.metric("process_cpu_seconds_total", &[]);
    let health = daemon.admin_json("/health").1;
    for seconds in [told, health["checks"]["cpu"]["seconds"].as_f64().unwrap()] {
        assert!(seconds > 0.0 && seconds.fract() != 0.0, "{seconds}");
    }
}
