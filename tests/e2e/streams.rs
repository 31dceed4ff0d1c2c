//! Server-sent events and other responses that come now and then.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Server, Step,
    client::request,
    http2_server::{Deed, Http2Server},
    secure::Http2,
    until,
};
use std::{thread, time::Duration};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into())
}

#[test]
fn events_flow_at_once_and_may_be_silent_for_long() {
    let (server, gate) = (Server::start("1"), Gate::default());
    server.set(Behaviour::new([
        Step::Send(HEAD.into()),
        chunk("data: 1\n\n"),
        Step::Wait(gate.clone()),
        Step::Pause(Duration::from_millis(700)),
        chunk("data: 2\n\n"),
        Step::Send(b"0\r\n\r\n".to_vec()),
    ]));
    let daemon = Daemon::start(&Config::to([&server]).route("timeouts.read = \"200ms\""));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/", "", ""));
    assert!(client.head().unwrap().is_chunked());
    // The server waits until the first event has been seen.
    assert_eq!(client.exactly(14).unwrap(), b"9\r\ndata: 1\n\n\r\n");
    gate.open();
    let (rest, _) = client.chunked().unwrap();
    assert_eq!(rest, b"data: 2\n\n");
    // Another response that is silent for so long breaks off.
    let plain = HEAD.replace("text/event-stream", "text/plain");
    server.set(Behaviour::new([Step::Send(plain.into()), chunk("1"), Step::Hang]));
    client.send(request("GET", "/", "", ""));
    client.head().unwrap();
    assert!(client.chunked().is_err());
    daemon.wait_for_reason("read_timeout");
}

#[test]
fn events_flow_at_once_to_an_http2_client() {
    let (server, gate) = (Server::start("1"), Gate::default());
    server.set(Behaviour::new([
        Step::Send(HEAD.into()),
        chunk("data: 1\n\n"),
        Step::Wait(gate.clone()),
        chunk("data: 2\n\n"),
        Step::Send(b"0\r\n\r\n".to_vec()),
    ]));
    let daemon = Daemon::start(&Config::to([&server]));
    let client = Http2::connect_plain(daemon.http());
    let body = client.get_in_parts("http://a/", || gate.open());
    assert_eq!(body, b"data: 1\n\ndata: 2\n\n");
}

#[test]
fn a_client_that_leaves_a_stream_is_told_on_at_once() {
    let server = Server::start("1");
    server.set(Behaviour::new([Step::Send(HEAD.into()), chunk("data: 1\n\n"), Step::Hang]));
    let daemon = Daemon::start(&Config::to([&server]));
    for rest in ["", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", "", "") + rest);
        client.head().unwrap();
        until("the stream", || server.open_connections() == 1);
        drop(client);
        until("its end at the server", || server.open_connections() == 0);
    }
    // Also where much has been read ahead of it.
    let large = format!("{HEAD}{:x}\r\n{}\r\n", 20_000, "x".repeat(20_000));
    server.set(Behaviour::new([Step::Send(large.into()), Step::Hang]));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/", "", ""));
    client.head().unwrap();
    until("the stream", || server.open_connections() == 1);
    drop(client);
    until("its end at the server", || server.open_connections() == 0);
}

#[test]
fn a_client_that_leaves_is_told_on_to_an_http2_server() {
    let server = Http2Server::start("1");
    server.set(Deed::Endless("data: 1\n\n"));
    let daemon = Daemon::start(&Config::bare().rest(&format!(
        "[upstream.app]\nprotocol = \"http2\"\nservers = [{{ address = \"{server}\" }}]\n\
         [[site]]\n[[site.route]]\nupstream = \"app\"\n"
    )));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/events", "", ""));
    client.head().unwrap();
    thread::sleep(Duration::from_millis(20));
    drop(client);
    let seen = server.wait_for("/events", |it| it.reset.is_some());
    assert_eq!(seen.reset.as_deref(), Some("CANCEL"));
}
