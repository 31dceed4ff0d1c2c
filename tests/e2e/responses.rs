//! What servers answer, rightly and wrongly, and what becomes of it.

use crate::rig::{
    Behaviour, Client, Config, Daemon, PATIENCE, Server, Step,
    client::{ask, get, request},
    until,
};
use socket2::{Domain, Socket, Type};
use std::net::TcpStream;

/// More than the sockets between daemon and client hold, and less than those of the server.
const EARLY: usize = 2 << 20;
/// More than all sockets hold.
const UPLOAD: usize = 40 << 20;

fn one() -> (Server, Daemon) {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    (server, daemon)
}

#[test]
fn interim_responses_of_a_server_do_not_end_the_request() {
    let (server, daemon) = one();
    server.set(Behaviour::raw(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ));
    let mut client = Client::connect(daemon.http());
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status, &*answer.text()), (200, "ok"));
    }
}

#[test]
fn a_server_may_answer_before_it_has_read_the_body() {
    let (server, daemon) = one();
    let early = "HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    server.set(Behaviour::new([Step::Send(early.into()), Step::Hang]));
    let mut client = Client::connect(daemon.http());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome");
    let answer = client.response();
    assert_eq!((answer.status, &*answer.text()), (403, "no"));
    // The connection on which half a body was sent is not given to the next request.
    server.set(Behaviour::normal());
    assert_eq!(get(daemon.http(), "/").text(), "1");
    let requests = server.requests();
    assert_ne!(requests[0].connection, requests.last().unwrap().connection);
}

#[test]
fn head_204_and_304_have_no_body_and_keep_the_connection() {
    let (server, daemon) = one();
    let mut client = Client::connect(daemon.http());
    server.set(Behaviour::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"));
    let answer = client.ask(&request("HEAD", "/", "", ""));
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("100")));
    server.set(Behaviour::raw("HTTP/1.1 204 No Content\r\n\r\n"));
    assert_eq!(client.get("/").status, 204);
    server.set(Behaviour::raw("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"));
    assert_eq!(client.get("/").status, 304);
    server.set(Behaviour::normal());
    assert_eq!(client.get("/").text(), "1");
    assert_eq!(server.accepted(), 1, "one connection for all of them");
}

/// What no server may answer; each is a 502 and the next request is well.
const BAD_RESPONSES: &[(&str, &str)] = &[
    ("no HTTP", "what?\r\n\r\n"),
    ("no status", "HTTP/1.1 \r\n\r\n"),
    ("a status of letters", "HTTP/1.1 abc OK\r\n\r\n"),
    ("differing lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
    ("a length of letters", "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n"),
    (
        "an unknown coding",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ),
    ("a NUL in a value", "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n"),
    (
        "an upgrade nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ),
];

#[test]
fn what_is_no_response_becomes_502_with_its_reason() {
    let (server, daemon) = one();
    for (what, bytes) in BAD_RESPONSES {
        server.set(Behaviour::raw_then_close(bytes));
        let answer = ask(daemon.http(), &request("POST", "/", "", "x"));
        assert_eq!(answer.status, 502, "{what}: {answer:?}");
    }
    daemon.wait_for_reason("bad_response");
    server.set(Behaviour::normal());
    assert_eq!(get(daemon.http(), "/").text(), "1");
}

#[test]
fn response_heads_that_are_too_large_become_502() {
    let (server, daemon) = one();
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(70_000));
    server.set(Behaviour::raw(&long));
    assert_eq!(get(daemon.http(), "/").status, 502);
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(250));
    server.set(Behaviour::raw(&many));
    assert_eq!(get(daemon.http(), "/").status, 502);
    let bearable =
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(150));
    server.set(Behaviour::raw(&bearable));
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn a_body_with_bad_chunks_is_passed_on_as_an_aborted_one() {
    let (server, daemon) = one();
    for chunks in ["5\r\nhello\r\nz\r\n", "5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello\r\n"] {
        let message = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        server.set(Behaviour::raw_then_close(&message));
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", "", ""));
        match client.try_response("GET") {
            Err(_) => {}
            Ok(answer) => assert_eq!(answer.status, 502, "{chunks:?} looked whole: {answer:?}"),
        }
    }
}

#[test]
fn what_a_server_sends_past_its_response_is_never_taken_for_the_next() {
    let (server, daemon) = one();
    let two = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    server.set(Behaviour::raw(two));
    let mut client = Client::connect(daemon.http());
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "ok");
    }
}

#[test]
fn an_upload_goes_on_while_its_early_answer_waits_for_the_client() {
    let server = Server::start("1");
    // Its end comes when the server has all of the upload.
    server.set(Behaviour::new([
        Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        Step::Send(format!("{EARLY:x}\r\n{}\r\n", "e".repeat(EARLY)).into()),
        Step::Body,
        Step::Send(b"0\r\n\r\n".to_vec()),
    ]));
    let daemon = Daemon::start(&Config::to([&server]).route("max_body = \"64MiB\""));
    // A client that takes little, and nothing before it has sent all.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&daemon.http().into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::over(stream);
    client.send(request("PUT", "/", "", &"u".repeat(UPLOAD)));
    let answer = client.response();
    assert_eq!((answer.status, answer.body.len()), (200, EARLY));
    assert_eq!(server.last_request().body.len(), UPLOAD);
}

#[test]
fn an_upload_that_fails_after_its_early_answer_ends_that_for_its_own_reason() {
    let server = Server::start("1");
    server.set(Behaviour::new([
        Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n".to_vec()),
        Step::Body,
    ]));
    let daemon = Daemon::start(&Config::to([&server]).route("max_body = \"1KiB\""));
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    for (rest, reason) in [
        (Some("zz\r\n"), "bad_request"),
        (Some(&*chunk), "body_too_large"),
        (None, "client_aborted"),
    ] {
        let mut client = Client::connect(daemon.http());
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        assert_eq!(client.head().unwrap().status(), Some(200));
        match rest {
            Some(rest) => {
                client.send(rest);
                let _ = client.rest();
            }
            None => drop(client),
        }
        let line = daemon.wait_for_reason(reason);
        assert_eq!(line["status"], 200, "{line}");
        until("the server's connection to be closed", || server.open_connections() == 0);
    }
}

#[test]
fn a_204_that_speaks_of_a_body_is_the_connections_last() {
    let (server, daemon) = one();
    for field in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        server.set(Behaviour::raw(&format!("HTTP/1.1 204 No Content\r\n{field}\r\n\r\n")));
        assert_eq!(get(daemon.http(), "/").status, 204);
        until("it to be closed", || server.open_connections() == 0);
    }
}
