//! When a request is tried at another server, and when it must not be.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Server, Step,
    client::{ask, get, request},
    until,
};
use std::time::Duration;

/// Two servers that nothing ejects.
fn steadfast(servers: &[Server]) -> Config {
    servers.iter().fold(Config::bare(), |config, server| config.server(server, "max_fails = 0"))
}

#[test]
fn a_post_is_not_repeated_once_sent() {
    let servers = Server::start_several(2);
    servers[0].set(Behaviour::reset());
    let daemon = Daemon::start(&steadfast(&servers));
    let statuses: Vec<_> = (0..8)
        .map(|n| ask(daemon.http(), &request("POST", &format!("/{n}"), "", "pay")).status)
        .collect();
    assert_eq!(statuses.iter().filter(|s| **s == 502).count(), servers[0].request_count());
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), servers[1].request_count());
    assert_eq!(servers[0].request_count() + servers[1].request_count(), 8, "each was seen once");
    assert!(servers[0].request_count() > 0);
    assert_eq!(daemon.wait_for_reason("reset")["attempts"], 1);
}

#[test]
fn a_post_is_repeated_where_non_idempotent_says_so() {
    let servers = Server::start_several(2);
    servers[0].set(Behaviour::reset());
    let daemon = Daemon::start(&steadfast(&servers).route("retry = { non_idempotent = true }"));
    for _ in 0..4 {
        assert_eq!(ask(daemon.http(), &request("POST", "/", "", "pay")).text(), "2");
    }
}

#[test]
fn a_post_is_tried_elsewhere_when_no_connection_could_be_made() {
    let servers = Server::start_several(2);
    servers[0].kill();
    let daemon = Daemon::start(&steadfast(&servers));
    for n in 0..6 {
        let body = format!("pay {n}");
        assert_eq!(ask(daemon.http(), &request("POST", "/", "", &body)).text(), "2");
        assert_eq!(servers[1].last_request().body, body.as_bytes());
    }
    assert!(daemon.count("sheave_upstream_retries_total", &[("upstream", "app")]) > 0);
}

#[test]
fn a_post_never_meets_a_pooled_connection_that_is_already_closed() {
    let server = Server::start("1");
    server.set(Behaviour::close_idle(Duration::ZERO));
    let daemon = Daemon::start(&Config::to([&server]).workers(1));
    let mut client = Client::connect(daemon.http());
    for n in 0..20 {
        let answer = client.ask(&request("POST", "/", "", "pay"));
        assert_eq!(answer.status, 200, "POST {n}");
        until("the server to have closed", || server.open_connections() == 0);
    }
    assert_eq!(server.request_count(), 20);
}

#[test]
fn a_body_is_replayed_up_to_the_limit() {
    let servers = Server::start_several(2);
    servers[0].set(Behaviour::reset());
    let daemon = Daemon::start(&steadfast(&servers).route("retry = { max_body = \"1KiB\" }"));
    let small = "s".repeat(1024);
    for _ in 0..4 {
        assert_eq!(ask(daemon.http(), &request("PUT", "/", "", &small)).text(), "2");
        assert_eq!(servers[1].last_request().body, small.as_bytes());
    }
    assert!(servers[0].request_count() > 0);
    for server in &servers {
        server.forget_requests();
    }
    let large = "l".repeat(2048);
    let statuses: Vec<_> =
        (0..4).map(|_| ask(daemon.http(), &request("PUT", "/", "", &large)).status).collect();
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
    assert_eq!(servers[0].request_count() + servers[1].request_count(), 4, "each was seen once");
}

#[test]
fn a_chunked_body_is_replayed_too() {
    let servers = Server::start_several(2);
    servers[0].set(Behaviour::reset());
    let daemon = Daemon::start(&steadfast(&servers));
    let chunked = "PUT / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    for _ in 0..4 {
        assert_eq!(ask(daemon.http(), chunked).text(), "2");
        assert_eq!(servers[1].last_request().body, b"hello world");
    }
    assert!(servers[0].request_count() > 0);
}

#[test]
fn a_503_is_passed_on_by_default_and_retried_on_request() {
    let servers = Server::start_several(2);
    servers[0].set(Behaviour::status(503, "busy"));
    let daemon = Daemon::start(&steadfast(&servers));
    let statuses: Vec<_> = (0..4).map(|_| get(daemon.http(), "/").status).collect();
    assert_eq!(statuses.iter().filter(|s| **s == 503).count(), 2);

    daemon.reconfigure(&steadfast(&servers).route("retry = { on = [\"connect\", \"http_503\"] }"));
    for _ in 0..4 {
        assert_eq!(get(daemon.http(), "/").text(), "2");
    }
    servers[1].set(Behaviour::status(503, "busy too"));
    let answer = get(daemon.http(), "/");
    assert_eq!(answer.status, 503, "when all are busy, the last answer is the answer");
    assert!(answer.text().starts_with("busy"));
}

#[test]
fn retry_on_nothing_means_never() {
    let servers = Server::start_several(2);
    servers[0].set(Behaviour::reset());
    let daemon = Daemon::start(&steadfast(&servers).route("retry = { on = [] }"));
    let statuses: Vec<_> = (0..4).map(|_| get(daemon.http(), "/").status).collect();
    assert_eq!(statuses.iter().filter(|s| **s == 502).count(), 2, "{statuses:?}");
}

#[test]
fn tries_limits_the_further_servers_and_none_is_tried_twice() {
    let servers = Server::start_several(4);
    for server in &servers {
        server.set(Behaviour::reset());
    }
    let daemon = Daemon::start(&steadfast(&servers).route("retry = { tries = 1 }"));
    assert_eq!(get(daemon.http(), "/").status, 502);
    assert_eq!(servers.iter().map(Server::request_count).sum::<usize>(), 2);
    assert_eq!(daemon.wait_for_reason("reset")["attempts"], 2);

    daemon.reconfigure(&steadfast(&servers).route("retry = { tries = 9 }"));
    servers.iter().for_each(Server::forget_requests);
    assert_eq!(get(daemon.http(), "/").status, 502);
    assert!(servers.iter().all(|server| server.request_count() == 1));
}

#[test]
fn a_slow_head_is_retried_or_where_that_is_not_wanted_504() {
    let servers = Server::start_several(2);
    servers[0].set(Behaviour::hang());
    let short = "timeouts = { response_head = \"300ms\" }";
    let daemon = Daemon::start(&steadfast(&servers).route(short));
    for _ in 0..2 {
        assert_eq!(get(daemon.http(), "/").text(), "2");
    }
    let once = "retry = { on = [\"connect\", \"reset\"] }";
    daemon.reconfigure(&steadfast(&servers).route(short).route(once));
    let statuses: Vec<_> = (0..2).map(|_| get(daemon.http(), "/").status).collect();
    assert!(statuses.contains(&504) && statuses.contains(&200), "{statuses:?}");
    daemon.wait_for_access("the 504", |line| {
        line["status"] == 504 && line["reason"] == "response_timeout"
    });
}

#[test]
fn the_budget_limits_the_retries_that_run_at_once() {
    let servers = Server::start_several(2);
    let gate = Gate::default();
    servers[0].set(Behaviour::new([Step::Body, Step::Wait(gate.clone()), Step::Reset]));
    let held = Gate::default();
    servers[1].set(Behaviour::gated(&held));
    let budget = "retry = { budget = \"1%\", budget_min = 2 }";
    let daemon = Daemon::start(&steadfast(&servers).route(budget));
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(daemon.http())).collect();
    for client in &mut clients {
        client.send(request("GET", "/", "", ""));
    }
    until("all to be waiting", || servers[0].request_count() + servers[1].request_count() == 20);
    assert_eq!(servers[0].request_count(), 10);
    gate.open();
    // Ten broke, two are tried again, and both wait at server 2.
    servers[1].wait_for_requests(12);
    for _ in 0..8 {
        daemon.wait_for_reason("retry_budget");
    }
    until("eight refusals", || {
        daemon.access_log().iter().filter(|line| line["reason"] == "retry_budget").count() == 8
    });
    held.open();
    let statuses: Vec<_> = clients.iter_mut().map(|client| client.response().status).collect();
    assert_eq!(statuses.iter().filter(|s| **s == 502).count(), 8, "{statuses:?}");
    assert_eq!(servers[1].request_count(), 12);
}

#[test]
fn with_nobody_to_connect_to_it_is_502() {
    let server = Server::dead("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let refused = get(daemon.http(), "/");
    assert_eq!(refused.status, 502);
    let line = daemon.wait_for_reason("connect_failed");
    assert_eq!((&line["status"], &line["upstream"]), (&502.into(), &"app".into()));
}

#[test]
fn a_connect_timeout_is_504_with_its_reason() {
    // A listener whose queue is full answers no SYN.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200))
    {
        fill.push(stream);
        if fill.len() > 64 {
            return; // This system has no such limit; there is nothing to see.
        }
    }
    let config = Config::bare().rest(&format!(
        "[upstream.full]\nservers = [{{ address = \"{address}\" }}]\n[[site]]\n[[site.route]]\n\
         upstream = \"full\"\ntimeouts = {{ connect = \"300ms\" }}"
    ));
    let daemon = Daemon::start(&config);
    assert_eq!(get(daemon.http(), "/").status, 504);
    daemon.wait_for_reason("connect_timeout");
}

#[test]
fn a_status_that_is_not_wanted_is_passed_on_where_no_server_that_is_in_is_left() {
    let (dead, server) = (Server::dead("1"), Server::start("2"));
    let keys = "max_fails = 1, fail_timeout = \"60s\"";
    let config = Config::bare().server(&dead, keys).server(&server, keys);
    let daemon = Daemon::start(&config.upstream("retry.on = [\"connect\", \"http_503\"]"));
    server.set(Behaviour::raw("HTTP/1.1 503 Later\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"));
    for _ in 0..6 {
        let answer = get(daemon.http(), "/");
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("7")));
    }
    daemon.wait_for_access("the reason", |line| {
        line["reason"] == "http_status" && line["attempts"] == 1
    });
    let labels = [("server", &*dead.address.to_string()), ("outcome", "connect_failed")];
    assert_eq!(daemon.count("sheave_upstream_attempts_total", &labels), 1, "it is left alone");
    assert_eq!(daemon.count("sheave_upstream_retries_total", &[]), 1, "after the dead one");
}

#[test]
fn a_request_beyond_max_conns_does_not_go_to_a_server_that_is_ejected() {
    let (dead, server) = (Server::dead("1"), Server::start("2"));
    let config = Config::bare()
        .server(&dead, "max_fails = 1, fail_timeout = \"60s\"")
        .server(&server, "max_conns = 1");
    let daemon = Daemon::start(&config);
    until("the dead one to be ejected", || {
        get(daemon.http(), "/").status == 200
            && daemon.state_name(&dead.address.to_string()) == "ejected"
    });
    server.set(Behaviour::hang());
    let before = server.request_count();
    let mut held = Client::connect(daemon.http());
    held.send(request("GET", "/", "", ""));
    server.wait_for_requests(before + 1);
    let refused = get(daemon.http(), "/");
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("max_conns"), "{}", refused.text());
}
