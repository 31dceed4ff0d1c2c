//! Where a request ends: smuggling is refused, and what is well framed passes unchanged.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server, Step,
    client::{ask, get, request},
    until,
};
use std::io::ErrorKind;

fn one() -> (Server, Daemon) {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    (server, daemon)
}

/// Sent raw, each ends in 400 and a closed connection, and the server sees nothing.
const SMUGGLING: &[(&str, &str)] = &[
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    ),
    ("two lengths in a list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabcd"),
    ("a length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
    ("a hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
    ("an empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabc"),
    ("TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n"),
    ("a bare CR for an end", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
    ("obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\n\r\n"),
    ("obs-fold on the first line", "GET / HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
    ("space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n"),
    (
        "space in Content-Length's name",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    ),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("the same host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\nX: b\r\n\r\n"),
    ("an invalid host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("a host with user information", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    ("an invalid host beside an authority", "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("an empty host beside an authority", "GET http://b/ HTTP/1.1\r\nHost:\r\n\r\n"),
    ("a NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"),
    ("no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    (
        "TE that does not end in chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    ),
    (
        "a coding that would have to be undone",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two TE fields",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "a misspelt coding",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    ("no version", "GET /\r\nHost: a\r\n\r\n"),
    ("a version from the future", "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    ("a target that is no target", "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
];

#[test]
fn an_answer_that_leaves_the_body_unread_says_close() {
    let config = Config::bare().rest("[[site]]\n[[site.route]]\nrespond = { body = \"here\" }");
    let daemon = Daemon::start(&config);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let mut client = Client::connect(daemon.http());
    client.send(head);
    let answer = client.response();
    assert_eq!((answer.status, answer.head.closes()), (200, true), "{}", answer.head.raw);
    // What has come with the head is dropped, and the connection goes on.
    let mut client = Client::connect(daemon.http());
    for _ in 0..2 {
        assert!(!client.ask(&format!("{head}hello")).head.closes());
    }
}

#[test]
fn requests_that_smuggle_are_refused_and_closed_and_reach_nobody() {
    let (server, daemon) = one();
    let mut wrong = Vec::new();
    for (what, message) in SMUGGLING {
        let mut client = Client::connect(daemon.http());
        client.send(message);
        match client.try_response("GET") {
            // 501 for a coding and 505 for a version that we do not know say the same thing.
            Ok(answer) if matches!(answer.status, 400 | 501 | 505) => client.expect_close(),
            Ok(answer) => wrong.push(format!("{what}: {}", answer.status)),
            Err(e) => wrong.push(format!("{what}: {e}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let reached: Vec<_> = server.requests().iter().map(|r| r.head.raw.clone()).collect();
    assert!(reached.is_empty(), "{reached:#?}");
    assert_eq!(get(daemon.http(), "/").status, 200, "and the next client is served");
}

#[test]
fn bad_chunks_end_the_connection_and_no_whole_request_reaches_a_server() {
    let (server, daemon) = one();
    for chunks in [
        "z\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 \nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "\r\n\r\n",
    ] {
        let mut client = Client::connect(daemon.http());
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = client.try_send(format!("{head}{chunks}"));
        if let Ok(answer) = client.try_response("POST") {
            assert_eq!(answer.status, 400, "{chunks:?}");
        }
        client.expect_close();
    }
    until("the servers' side to be closed", || server.open_connections() == 0);
    assert!(server.requests().iter().all(|r| r.body.is_empty()), "no body was whole");
    assert_eq!(get(daemon.http(), "/").status, 200);
}

#[test]
fn te_with_a_length_is_refused_or_forwarded_clean_and_closed() {
    let (server, daemon) = one();
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 50\r\nTransfer-Encoding: chunked\r\n",
    ] {
        server.forget_requests();
        let mut client = Client::connect(daemon.http());
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n{smuggled}"));
        let answer = client.response();
        if answer.status != 400 {
            assert_eq!(answer.status, 200);
            let seen = server.last_request().head;
            assert!(!seen.has("content-length"), "{}", seen.raw);
        }
        client.expect_close();
        assert!(server.requests().iter().all(|r| r.head.path() != "/smuggled"), "{fields:?}");
    }
}

#[test]
fn an_http_1_0_client_gets_a_delimited_answer_and_a_close() {
    let (server, daemon) = one();
    let mut client = Client::connect(daemon.http());
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status, &*answer.text()), (200, "1"));
    client.expect_close();

    server.set(Behaviour::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ));
    let mut client = Client::connect(daemon.http());
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let answer = client.response();
    assert!(!answer.head.is_chunked(), "HTTP/1.0 knows no chunks: {}", answer.head.raw);
    assert_eq!(answer.text(), "hello");
}

#[test]
fn what_broke_off_does_not_look_complete_to_an_http_1_0_client() {
    let (server, daemon) = one();
    let broken = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    server.set(Behaviour::raw_then_close(broken));
    let mut client = Client::connect(daemon.http());
    client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    let error = client.try_response("GET").expect_err("only a reset tells it");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[test]
fn expect_100_continue_is_answered_and_the_body_follows() {
    let (server, daemon) = one();
    server.set(Behaviour::echo());
    let mut client = Client::connect(daemon.http());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().expect("an interim response").status(), Some(100));
    client.send("hello");
    let answer = client.response();
    assert!(answer.status == 200 && answer.text().ends_with("hello"), "{answer:?}");
    assert_eq!(server.last_request().body, b"hello");
}

#[test]
fn trailers_pass_in_both_directions_or_are_dropped_but_never_become_headers() {
    let (server, daemon) = one();
    server.set(Behaviour::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nhello\r\n0\r\nSum: 5\r\n\r\n",
    ));
    let mut client = Client::connect(daemon.http());
    for _ in 0..2 {
        let answer = client.ask(
            "PUT / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n\
             5\r\nhello\r\n0\r\nSum: 5\r\nContent-Length: 3\r\n\r\n",
        );
        assert_eq!((answer.status, &*answer.text()), (200, "hello"));
        assert_eq!(answer.field("sum"), None);
        assert!(matches!(answer.trailers.field("sum"), None | Some("5")));
        let seen = server.last_request();
        assert_eq!(seen.body, b"hello");
        assert!(!seen.head.has("sum") && !seen.head.has("content-length"), "{}", seen.head.raw);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (server, daemon) = one();
    server.set(Behaviour::echo());
    let mut client = Client::connect(daemon.http());
    let burst: String = (0..10).map(|n| request("GET", &format!("/{n}"), "", "")).collect();
    client.send(burst);
    for n in 0..10 {
        let answer = client.response();
        assert!(answer.text().starts_with(&format!("GET /{n} ")), "{}", answer.text());
    }
}

#[test]
fn large_bodies_stream_both_ways_unchanged() {
    let (server, daemon) = one();
    server.set(Behaviour::new([Step::Body, Step::Name]));
    let body: String = (0..200_000).fold(String::new(), |text, n| text + &format!("{n:07}\n"));
    let answer = ask(daemon.http(), &request("PUT", "/", "", &body));
    assert_eq!(answer.status, 200);
    assert_eq!(server.last_request().body, body.as_bytes());
    server.set(Behaviour::status(200, &body));
    assert!(get(daemon.http(), "/").body == body.as_bytes(), "a response of 1.6 MB is unchanged");
}

#[test]
fn trailers_do_not_say_what_the_routes_edits_or_we_have_to_say() {
    let (server, daemon) = {
        let server = Server::start("1");
        let edits = "request_headers = { set = { X-User = \"u\" }, remove = [\"X-Secret\"] }\n\
                     response_headers = { add = { X-Set = \"ours\" } }";
        let daemon = Daemon::start(&Config::to([&server]).route(edits));
        (server, daemon)
    };
    server.set(Behaviour::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\
         X-Set: theirs\r\nContent-Encoding: br\r\nSum: 5\r\n\r\n",
    ));
    let mut client = Client::connect(daemon.http());
    client.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nTE: trailers;q=0.5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\
         X-User: admin\r\nX-Secret: s\r\nX-Request-Id: q\r\nIf-Match: x\r\nSum: 4\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!((answer.trailers.fields("x-set"), answer.field("x-set")), (vec![], Some("ours")));
    assert_eq!(answer.trailers.field("content-encoding"), None);
    assert_eq!(answer.trailers.field("sum"), Some("5"));
    let trailers = server.last_request().trailers;
    for name in ["x-user", "x-secret", "x-request-id", "if-match"] {
        assert_eq!(trailers.field(name), None, "{name}");
    }
    assert_eq!(trailers.field("sum"), Some("4"));
}

#[test]
fn an_empty_line_after_a_request_is_no_beginning_of_another() {
    let server = Server::start("1");
    let timeouts = "timeouts = { request_head = \"200ms\", idle = \"1s\" }";
    let daemon = Daemon::start(&Config::to([&server]).listener(timeouts));
    let mut client = Client::connect(daemon.http());
    client.send(format!("{}\r\n", request("GET", "/", "", "")));
    assert_eq!(client.response().status, 200);
    assert_eq!(client.rest().unwrap(), b"", "the connection was idle, and ended without a word");
    let mut client = Client::connect(daemon.http());
    client.send(format!("\r\n\r\n{0}\r\n{0}", request("GET", "/", "", "")));
    assert_eq!((client.response().status, client.response().status), (200, 200));
}
