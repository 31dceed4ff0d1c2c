//! The rig tests itself: its own servers and clients must be right before they judge the daemon.

use super::{
    Behaviour, Client, Gate, Load, Server, Step,
    client::{get, request},
    metrics::Metrics,
    until,
};
use std::{io::ErrorKind, time::Duration};

#[test]
fn rig_a_server_answers_with_its_name_and_records_requests() {
    let server = Server::start("one");
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/a").text(), "one");
    assert_eq!(client.ask(&request("PUT", "/b", "", "hello")).text(), "one");
    let requests = server.requests();
    assert_eq!((requests[0].head.path(), requests[1].head.method()), ("/a", "PUT"));
    assert_eq!(requests[1].body, b"hello");
    assert_eq!((requests[0].connection, requests[1].connection), (0, 0));
}

#[test]
fn rig_a_killed_server_refuses_and_comes_back_on_its_address() {
    let server = Server::start("one");
    let mut client = Client::connect(server.address);
    client.get("/");
    server.kill();
    client.expect_close();
    let refused = Client::try_connect(server.address).map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    server.come_back();
    assert_eq!(get(server.address, "/").text(), "one");
}

#[test]
fn rig_misdeeds_look_as_they_should() {
    let server = Server::start("one");
    let fails = |behaviour: Behaviour| {
        server.set(behaviour);
        // A reset at once may be seen by the connect already.
        let mut client = match Client::try_connect(server.address) {
            Ok(client) => client,
            Err(error) => return error.kind(),
        };
        let _ = client.try_send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.try_response("GET").unwrap_err().kind()
    };
    assert_eq!(fails(Behaviour::reset()), ErrorKind::ConnectionReset);
    assert_eq!(fails(Behaviour::reset_on_accept()), ErrorKind::ConnectionReset);
    assert_eq!(fails(Behaviour::garbage()), ErrorKind::InvalidData);
    assert_eq!(fails(Behaviour::half_body()), ErrorKind::UnexpectedEof);
    assert_eq!(fails(Behaviour::new([Step::Close])), ErrorKind::UnexpectedEof);
}

#[test]
fn rig_idle_connections_are_closed_unannounced() {
    let server = Server::start("one");
    for after in [Duration::ZERO, Duration::from_millis(5)] {
        server.set(Behaviour::close_idle(after));
        let mut client = Client::connect(server.address);
        let response = client.get("/");
        assert!(!response.head.closes());
        client.expect_close();
    }
    until("the server to have forgotten them", || server.open_connections() == 0);
}

#[test]
fn rig_a_gate_holds_an_answer_back() {
    let (server, gate) = (Server::start("one"), Gate::default());
    server.set_for("/held", Behaviour::gated(&gate));
    let mut client = Client::connect(server.address);
    client.send("GET /held HTTP/1.1\r\n\r\n");
    server.wait_for_requests(1);
    assert_eq!(get(server.address, "/").text(), "one");
    gate.open();
    assert_eq!(client.response().text(), "one");
}

#[test]
fn rig_reads_chunks_trailers_and_interim_responses() {
    let server = Server::start("one");
    server.set(Behaviour::raw(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nSum: 6\r\n\r\n",
    ));
    let mut client = Client::connect(server.address);
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "hello!");
        assert_eq!(response.trailers.field("sum"), Some("6"));
        assert_eq!(response.interim[0].status(), Some(103));
    }
}

#[test]
fn rig_a_load_counts_bodies_and_failures() {
    let server = Server::start("one");
    let load = Load::on(server.address).connections(4).requests(200);
    let outcome = load.asking(|n| request("GET", if n % 10 == 0 { "/bad" } else { "/" }, "", ""));
    server.set_for("/bad", Behaviour::status(503, "busy"));
    let outcome = outcome.run();
    assert_eq!((outcome.of("one"), outcome.failures.len(), outcome.reconnects), (180, 20, 0));
    assert_eq!(server.request_count(), 200);
}

#[test]
fn rig_sums_the_series_that_have_the_labels() {
    let metrics =
        Metrics::new("# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nab 9\n".into());
    assert_eq!(metrics.sum("a", &[("x", "1")]), Some(7.0));
    assert_eq!(metrics.sum("a", &[("y", "2"), ("x", "1")]), Some(3.0));
    assert_eq!(metrics.sum("a", &[("x", "2")]), None);
    assert!(metrics.has("ab") && !metrics.has("b"));
}
