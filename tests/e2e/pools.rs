//! Connections to servers: kept, used again, and let go.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server, Step,
    client::{self, get, request},
    until,
};

/// One worker, so that there is one pool.
fn one(upstream: &str) -> (Server, Daemon) {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).workers(1).upstream(upstream));
    (server, daemon)
}

#[test]
fn one_connection_serves_many_requests_of_many_clients() {
    let (server, daemon) = one("");
    for _ in 0..10 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn keepalive_zero_keeps_none() {
    let (server, daemon) = one("keepalive = 0");
    for _ in 0..5 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    assert_eq!(server.accepted(), 5);
    until("all to be closed", || server.open_connections() == 0);
}

#[test]
fn keepalive_bounds_the_idle_connections() {
    let (server, daemon) = one("keepalive = 2");
    let gate = Gate::default();
    server.set(Behaviour::gated(&gate));
    let load = Load::on(daemon.http()).connections(8).requests(8).start();
    server.wait_for_requests(8);
    gate.open();
    load.finish().expect_no_failure();
    until("all but two to be closed", || server.open_connections() == 2);
}

#[test]
fn keepalive_requests_ends_a_connection_after_so_many() {
    let (server, daemon) = one("keepalive_requests = 3");
    for _ in 0..9 {
        assert_eq!(get(daemon.http(), "/").status, 200);
    }
    assert_eq!(server.accepted(), 3);
}

#[test]
fn keepalive_timeout_and_age_end_idle_connections() {
    for limit in ["keepalive_timeout = \"300ms\"", "keepalive_age = \"300ms\""] {
        let (server, daemon) = one(limit);
        get(daemon.http(), "/");
        if limit.contains("timeout") {
            until("the idle connection to be closed", || server.open_connections() == 0);
        } else {
            until("another connection", || {
                get(daemon.http(), "/");
                server.accepted() > 1
            });
        }
    }
}

#[test]
fn a_connection_is_not_kept_longer_than_its_server_says() {
    let (server, daemon) = one("");
    let keeps = |seconds: u32| {
        let fields = format!("Keep-Alive: timeout={seconds}, max=9\r\nContent-Length: 0");
        Behaviour::raw(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"))
    };
    server.set(keeps(1));
    let answer = get(daemon.http(), "/");
    assert_eq!((answer.status, answer.field("keep-alive")), (200, None));
    until("the connection to be closed by us", || server.open_connections() == 0);
    server.set(keeps(0));
    for _ in 0..3 {
        get(daemon.http(), "/");
    }
    assert_eq!(server.accepted(), 4, "none is kept for no time at all");
}

#[test]
fn a_connection_whose_response_was_cut_short_is_not_used_again() {
    let (server, daemon) = one("");
    let (gate, half) =
        (Gate::default(), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec());
    server.set_for(
        "/half",
        Behaviour::new([
            Step::Body,
            Step::Send(half),
            Step::Wait(gate.clone()),
            Step::Send(b"other".to_vec()),
        ]),
    );
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/half", "", ""));
    assert!(client.first_byte().unwrap());
    drop(client);
    daemon.wait_for_reason("client_aborted");
    gate.open();
    assert_eq!(get(daemon.http(), "/").text(), "1");
    assert_ne!(server.requests()[0].connection, server.last_request().connection);
}

#[test]
fn a_connection_with_unasked_bytes_on_it_is_not_used_again() {
    let (server, daemon) = one("");
    let gate = Gate::default();
    server.set_for(
        "/talkative",
        Behaviour::new([
            Step::Body,
            Step::Name,
            Step::Wait(gate.clone()),
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil".to_vec()),
        ]),
    );
    assert_eq!(get(daemon.http(), "/talkative").text(), "1");
    gate.open();
    // A request before the bytes have come could not tell them from its answer.
    until("the connection to be given up", || server.open_connections() == 0);
    for _ in 0..5 {
        assert_eq!(get(daemon.http(), "/").text(), "1");
    }
}

#[test]
fn a_connection_that_a_client_has_authenticated_is_not_anothers() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).workers(1));
    let ask = |scheme: &str| {
        let field = format!("Authorization: {scheme} TlRMTVNTUAAB\r\n");
        assert_eq!(client::ask(daemon.http(), &request("GET", "/", &field, "")).status, 200);
    };
    ask("Basic");
    ask("Basic");
    assert_eq!(server.accepted(), 1);
    for scheme in ["NTLM", "negotiate"] {
        let before = server.accepted();
        ask(scheme);
        ask("Basic");
        assert_eq!(server.accepted(), before + 1, "{scheme}: on the kept one, and then a new one");
    }
}
