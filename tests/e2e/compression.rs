//! Responses compressed for clients that take it, and servers' codings undone for those that do not.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Response, Server, Step,
    client::{ask, request},
    secure::Http2,
    until,
};
use bytes::Bytes;
use http_body_util::Full;
use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
};

const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

fn decoded(coding: &str, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes)?.read_to_end(&mut out),
        other => panic!("{other}"),
    }?;
    Ok(out)
}

fn encoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        }
        "br" => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 18);
            writer.write_all(bytes).unwrap();
            writer.flush().unwrap();
            writer.into_inner()
        }
        "zstd" => zstd::stream::encode_all(bytes, 3).unwrap(),
        other => panic!("{other}"),
    }
}

/// Text that differs everywhere, of about this many bytes.
fn text(size: usize) -> String {
    let mut text = String::new();
    for line in 0_u64.. {
        let _ = writeln!(text, "{{\"id\": {line}, \"square\": {}}}", line * line);
        if text.len() >= size {
            return text;
        }
    }
    text
}

/// Of a response 200 with these fields, and its length.
fn answer(fields: &str, body: &str) -> Behaviour {
    let length = body.len();
    Behaviour::raw(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{body}"))
}

fn daemon(server: &Server, keys: &str) -> Daemon {
    Daemon::start(&Config::to([server]).route(keys))
}

fn get(daemon: &Daemon, accept: &str) -> Response {
    let fields = format!("Accept-Encoding: {accept}\r\n");
    ask(daemon.http(), &request("GET", "/", &fields, ""))
}

/// The coding, and the body without it.
fn plain(response: &Response) -> (String, String) {
    let coding = response.field("content-encoding").unwrap_or_default().to_owned();
    let body = match &*coding {
        "" => response.body.clone(),
        coding => decoded(coding, &response.body).expect("a whole body"),
    };
    (coding, String::from_utf8(body).unwrap())
}

#[test]
fn the_client_gets_the_coding_that_it_likes_best() {
    let server = Server::start("1");
    let body = text(5000);
    server.set(answer("Content-Type: application/json\r\nETag: \"v\"\r\n", &body));
    let daemon = daemon(&server, "compress = true");
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=0.9, br;q=0.8", "gzip"),
        ("zstd;q=0, *", "br"),
        ("gzip;q=0", ""),
        ("*;q=0", ""),
        ("identity, gzip;q=0.5", ""),
        ("deflate", ""),
        ("", ""),
    ] {
        let got = get(&daemon, accept);
        assert_eq!(got.field("vary"), Some("accept-encoding"), "{accept}");
        assert_eq!(plain(&got), (coding.to_owned(), body.clone()), "{accept}");
        let is_coded = !coding.is_empty();
        assert_eq!(got.field("etag"), Some(if is_coded { "W/\"v\"" } else { "\"v\"" }), "{accept}");
        assert_eq!(got.body.len() < body.len(), is_coded);
        // A short body has its length again.
        assert_eq!(got.head.content_length(), Some(got.body.len()), "{accept}");
    }
    let without = ask(daemon.http(), &request("GET", "/", "", ""));
    assert_eq!(plain(&without), (String::new(), body.clone()));
    let both = "Accept-Encoding: gzip;q=0.1\r\nAccept-Encoding: br\r\n";
    assert_eq!(plain(&ask(daemon.http(), &request("GET", "/", both, ""))).0, "br");
    let count = |direction| {
        let labels = [("coding", "gzip"), ("direction", direction)];
        daemon.count("sheave_compressed_bytes_total", &labels)
    };
    assert_eq!(count("in"), 2 * body.len() as u64);
    assert!((1..2000).contains(&count("out")));
}

#[test]
fn a_route_says_which_codings_and_when() {
    let server = Server::start("1");
    server.set(answer("Content-Type: text/x-own\r\n", &text(3000)));
    let daemon = daemon(
        &server,
        "compress = { codings = [\"gzip\", \"br\"], min_size = \"2KiB\", types = [\"text/x-*\"], \
         level = { gzip = 1, br = 9 } }",
    );
    assert_eq!(plain(&get(&daemon, "zstd, br, gzip")).0, "gzip");
    assert_eq!(plain(&get(&daemon, "zstd")).0, "");
    server.set(answer("Content-Type: text/x-own\r\n", &text(1500)));
    assert_eq!(get(&daemon, "gzip").field("vary"), None, "it is too short");
    server.set(answer("Content-Type: text/html\r\n", &text(3000)));
    assert_eq!(plain(&get(&daemon, "gzip")).0, "");
}

#[test]
fn what_must_not_be_compressed_passes_as_it_is() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    let body = text(3000);
    for fields in [
        "Content-Type: image/png\r\n",
        "Content-Type: text/html\r\nContent-Encoding: gzip\r\n",
        "Content-Type: text/html\r\nContent-Encoding: unknown\r\n",
        "Content-Type: text/html\r\nCache-Control: max-age=1, no-transform\r\n",
        "Content-Type: text/html\r\nSet-Cookie: session=1\r\n",
        "Content-Type: application/grpc\r\n",
        "X-No-Type: 1\r\n",
    ] {
        server.set(answer(&format!("{fields}ETag: \"v\"\r\nDigest: x\r\n"), &body));
        let got = get(&daemon, "gzip");
        assert_eq!((got.field("vary"), got.field("etag")), (None, Some("\"v\"")), "{fields}");
        assert_eq!((got.text(), got.field("digest")), (body.clone(), Some("x")), "{fields}");
    }
    server.set(answer("Content-Type: text/html\r\n", &body));
    let wish = "Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n";
    let got = ask(daemon.http(), &request("GET", "/", wish, ""));
    assert_eq!(plain(&got), (String::new(), body.clone()));
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Type: text/html\r\nETag: \"v\"\r\n\
                Content-Range: bytes 0-9/3000\r\nContent-Length: 10\r\n\r\n0123456789";
    server.set(Behaviour::raw(part));
    let range = "Accept-Encoding: gzip\r\nRange: bytes=0-9\r\n";
    let got = ask(daemon.http(), &request("GET", "/", range, ""));
    assert_eq!(
        (got.status, got.text(), got.field("etag")),
        (206, "0123456789".into(), Some("\"v\""))
    );
    assert_eq!(server.last_request().head.field("range"), Some("bytes=0-9"));
}

#[test]
fn cookies_are_compressed_only_where_asked_for() {
    let server = Server::start("1");
    server.set(answer("Content-Type: text/html\r\nSet-Cookie: a=1\r\n", &text(3000)));
    let daemon = daemon(&server, "compress = { cookies = true }");
    let got = get(&daemon, "gzip");
    assert_eq!(
        (got.field("content-encoding"), got.field("set-cookie")),
        (Some("gzip"), Some("a=1"))
    );
}

#[test]
fn the_head_says_nothing_of_other_bytes() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    server.set(answer(
        "Content-Type: text/html\r\nETag: \"v\"\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\n\
         Digest: x\r\nContent-Digest: x\r\nRepr-Digest: x\r\nVary: Origin\r\nX-Kept: 1\r\n",
        &text(3000),
    ));
    let got = get(&daemon, "br");
    for name in ["accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"] {
        assert_eq!(got.field(name), None, "{name}");
    }
    assert_eq!(got.head.fields("vary"), ["Origin", "accept-encoding"]);
    assert_eq!((got.field("etag"), got.field("x-kept")), (Some("W/\"v\""), Some("1")));
    for vary in ["*", "Origin, Accept-Encoding"] {
        server.set(answer(&format!("Content-Type: text/html\r\nVary: {vary}\r\n"), &text(3000)));
        assert_eq!(get(&daemon, "br").head.fields("vary"), [vary]);
    }
}

#[test]
fn head_has_the_fields_of_a_get() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    let ask_head = |accept: &str| {
        let fields = format!("Accept-Encoding: {accept}\r\n");
        ask(daemon.http(), &request("HEAD", "/", &fields, ""))
    };
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"v\"\r\nContent-Length: 3000\r\n\r\n";
    server.set(Behaviour::raw(head));
    let got = ask_head("gzip");
    assert_eq!((got.field("content-encoding"), got.field("etag")), (Some("gzip"), Some("W/\"v\"")));
    assert_eq!((got.field("vary"), got.head.content_length()), (Some("accept-encoding"), None));
    let got = ask_head("identity");
    assert_eq!((got.field("content-encoding"), got.head.content_length()), (None, Some(3000)));
    server.set(Behaviour::raw(&head.replace("3000", "30")));
    assert_eq!(ask_head("gzip").head.content_length(), Some(30), "too short");
}

#[test]
fn a_304_names_the_validator_that_the_client_has() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    server.set(Behaviour::raw("HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n"));
    let fields = "Accept-Encoding: gzip\r\nIf-None-Match: W/\"v\"\r\n";
    let got = ask(daemon.http(), &request("GET", "/", fields, ""));
    assert_eq!((got.status, got.field("etag")), (304, Some("W/\"v\"")));
    assert_eq!((got.field("vary"), got.field("content-encoding")), (Some("accept-encoding"), None));
    let fields = "Accept-Encoding: gzip\r\nIf-None-Match: \"v\"\r\n";
    let got = ask(daemon.http(), &request("GET", "/", fields, ""));
    assert_eq!((got.status, got.field("etag")), (304, Some("\"v\"")));
}

#[test]
fn large_bodies_are_streamed_whole_by_length_and_by_chunks() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    let body = text(3_000_000);
    let (first, second) = body.split_at(1_000_001);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\nX-End: 1\r\nContent-Digest: x\r\n\r\n",
        first.len(),
        second.len()
    );
    for coding in CODINGS {
        server.set(answer("Content-Type: text/html\r\n", &body));
        let got = get(&daemon, coding);
        assert!(got.head.is_chunked() && got.head.content_length().is_none());
        assert!(plain(&got) == (coding.into(), body.clone()), "{coding} by length");
        server.set(Behaviour::raw(&chunked));
        let fields = format!("Accept-Encoding: {coding}\r\nTE: trailers\r\nConnection: te\r\n");
        let got = ask(daemon.http(), &request("GET", "/", &fields, ""));
        assert!(plain(&got) == (coding.into(), body.clone()), "{coding} by chunks");
        assert_eq!(got.trailers.field("x-end"), Some("1"));
        assert!(!got.trailers.has("content-digest"));
    }
}

#[test]
fn an_http2_client_gets_them_too() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    let client = Http2::connect_plain(daemon.http());
    for size in [5000, 1_000_000] {
        let body = text(size);
        server.set(answer("Content-Type: text/css\r\n", &body));
        for coding in CODINGS {
            let wanted = http::Request::get("http://a/").header("accept-encoding", coding);
            let got = client.send(wanted.body(Full::<Bytes>::default()).unwrap()).unwrap();
            assert_eq!(got.headers["content-encoding"], coding);
            assert!(decoded(coding, &got.body).unwrap() == body.as_bytes(), "{coding}");
        }
    }
}

fn chunk(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into())
}

const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn events_come_at_once_in_every_coding() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    for coding in CODINGS {
        let gates = [Gate::default(), Gate::default()];
        server.set(Behaviour::new([
            Step::Send(EVENTS.into()),
            chunk("data: 1\n\n"),
            Step::Wait(gates[0].clone()),
            chunk("data: 2\n\n"),
            Step::Wait(gates[1].clone()),
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]));
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", &format!("Accept-Encoding: {coding}\r\n"), ""));
        let head = client.head().unwrap();
        assert_eq!((head.is_chunked(), head.field("content-encoding")), (true, Some(coding)));
        let mut came = Vec::new();
        for (gate, events) in gates.iter().zip(["data: 1\n\n", "data: 1\n\ndata: 2\n\n"]) {
            // The server waits until the event has been seen.
            while beginning(coding, &came) != events.as_bytes() {
                came.extend(one_chunk(&mut client));
            }
            gate.open();
        }
        let (rest, _) = client.chunked().unwrap();
        came.extend(rest);
        assert_eq!(decoded(coding, &came).unwrap(), b"data: 1\n\ndata: 2\n\n");
    }
}

fn one_chunk(client: &mut Client) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.exactly(1).unwrap());
    }
    let size = usize::from_str_radix(String::from_utf8(line).unwrap().trim(), 16).unwrap();
    let data = client.exactly(size + 2).unwrap();
    data[..size].to_vec()
}

/// What can be decoded of a beginning.
fn beginning(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn Read> = match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(bytes)),
        "br" => Box::new(brotli::Decompressor::new(bytes, 4096)),
        _ => Box::new(zstd::stream::read::Decoder::new(bytes).unwrap()),
    };
    let (mut out, mut byte) = (Vec::new(), [0]);
    while matches!(reader.read(&mut byte), Ok(1)) {
        out.push(byte[0]);
    }
    out
}

#[test]
fn events_come_at_once_to_an_http2_client() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    let client = Http2::connect_plain(daemon.http());
    for coding in CODINGS {
        let gate = Gate::default();
        server.set(Behaviour::new([
            Step::Send(EVENTS.into()),
            chunk("data: 1\n\n"),
            Step::Wait(gate.clone()),
            chunk("data: 2\n\n"),
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]));
        let wanted = http::Request::get("http://a/").header("accept-encoding", coding);
        let wanted = wanted.body(Full::default()).unwrap();
        let body = client.in_parts(wanted, || gate.open());
        assert_eq!(decoded(coding, &body).unwrap(), b"data: 1\n\ndata: 2\n\n");
    }
}

#[test]
fn what_a_filter_tells_the_server_is_not_what_the_client_takes() {
    let server = Server::start("1");
    server.set(answer("Content-Type: text/html\r\n", &text(3000)));
    let daemon = daemon(
        &server,
        "compress = true\nrequest_headers.set = { \"Accept-Encoding\" = \"identity\" }\n\
         response_headers.set = { \"X-Seen\" = \"1\" }",
    );
    let got = get(&daemon, "gzip");
    assert_eq!((got.field("content-encoding"), got.field("x-seen")), (Some("gzip"), Some("1")));
    assert_eq!(server.last_request().head.field("accept-encoding"), Some("identity"));
}

#[test]
fn a_client_that_leaves_is_told_on_to_the_server() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    server.set(Behaviour::new([Step::Send(EVENTS.into()), chunk("data: 1\n\n"), Step::Hang]));
    let mut client = Client::connect(daemon.http());
    client.send(request("GET", "/", "Accept-Encoding: gzip\r\n", ""));
    client.head().unwrap();
    until("the stream", || server.open_connections() == 1);
    drop(client);
    until("its end at the server", || server.open_connections() == 0);
    assert_eq!(daemon.wait_for_reason("client_aborted")["status"], 200);
}

#[test]
fn a_body_that_breaks_off_is_never_a_whole_one() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true");
    let body = text(200_000);
    let heads = [
        "Content-Length: 400000\r\n\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len() + 1),
    ];
    for (head, coding) in heads.iter().flat_map(|it| CODINGS.map(|coding| (it, coding))) {
        server.set(Behaviour::raw_then_close(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{head}{body}"
        )));
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", &format!("Accept-Encoding: {coding}\r\n"), ""));
        assert_eq!(client.head().unwrap().field("content-encoding"), Some(coding));
        // The chunks have no end, and the coding has none.
        let mut came = Vec::new();
        let rest = client.rest().unwrap_or_default();
        let mut at = 0;
        while let Some(line) = rest[at..].windows(2).position(|it| it == b"\r\n") {
            let size = std::str::from_utf8(&rest[at..at + line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            assert_ne!(size, 0, "{coding}: the last chunk");
            came.extend(&rest[at + line + 2..at + line + 2 + size]);
            at += line + size + 4;
        }
        assert!(decoded(coding, &came).is_err(), "{coding}: a whole body");
        assert_eq!(beginning(coding, &came).len(), body.len(), "{coding}: all that came");
        daemon.wait_for_reason("response_truncated");
    }
}

#[test]
fn files_and_fixed_answers_are_compressed_too() {
    let dir = tempfile::tempdir().unwrap();
    let body = text(100_000);
    fs::create_dir(dir.path().join("public")).unwrap();
    fs::write(dir.path().join("public/a.json"), &body).unwrap();
    fs::write(dir.path().join("public/b.png"), &body).unwrap();
    let config = Config::bare().rest(&format!(
        "[[site]]\n[[site.route]]\npath = \"/fixed\"\ncompress = true\n\
         respond.body = \"{}\"\n[[site.route]]\nfiles = {{ root = \"public\" }}\ncompress = true",
        "x".repeat(2000)
    ));
    let daemon = Daemon::start_in(dir, &config.text());
    let of = |path: &str, fields: &str| {
        let fields = format!("Accept-Encoding: br\r\n{fields}");
        ask(daemon.http(), &request("GET", path, &fields, ""))
    };
    assert_eq!(plain(&of("/fixed", "")), ("br".into(), "x".repeat(2000)));
    let got = of("/a.json", "");
    assert!(plain(&got) == ("br".into(), body.clone()));
    let etag = got.field("etag").unwrap().to_owned();
    assert!(etag.starts_with("W/\"") && got.field("accept-ranges").is_none());
    // The client comes back with what it has.
    let again = of("/a.json", &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((again.status, again.field("etag")), (304, Some(&*etag)));
    let part = of("/a.json", "Range: bytes=0-9\r\n");
    assert_eq!((part.status, &*part.text()), (206, &body[..10]));
    // A weak validator is none for a part (RFC 9110 §13.1.5).
    let whole = of("/a.json", &format!("Range: bytes=0-9\r\nIf-Range: {etag}\r\n"));
    assert_eq!((whole.status, whole.field("content-encoding")), (200, Some("br")));
    let image = of("/b.png", "");
    assert_eq!((image.field("content-encoding"), image.body.len()), (None, body.len()));
}

#[test]
fn a_servers_coding_is_undone_for_who_does_not_take_it() {
    let server = Server::start("1");
    let daemon = daemon(&server, "decompress = true");
    let body = text(300_000);
    for coding in CODINGS {
        let coded = encoded(coding, body.as_bytes());
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {coding}\r\n\
             ETag: \"v\"\r\nContent-Length: {}\r\n\r\n",
            coded.len()
        );
        let whole = [head.clone().into_bytes(), coded.clone()].concat();
        server.set(Behaviour::new([Step::Body, Step::Send(whole)]));
        for accept in ["", "identity", &format!("{coding};q=0, *")] {
            let got = get(&daemon, accept);
            assert!(plain(&got) == (String::new(), body.clone()), "{coding} {accept}");
            assert_eq!(
                (got.field("etag"), got.field("vary")),
                (Some("W/\"v\""), Some("accept-encoding"))
            );
        }
        let got = get(&daemon, coding);
        assert!(got.body == coded, "{coding}");
        assert_eq!(
            (got.field("etag"), got.field("vary")),
            (Some("\"v\""), Some("accept-encoding"))
        );
        assert_eq!(got.field("content-encoding"), Some(coding));
        // What is broken breaks off.
        let mut bad = [head.into_bytes(), coded].concat();
        let end = bad.len();
        bad[end - 40..].fill(0xff);
        server.set(Behaviour::new([Step::Body, Step::Send(bad)]));
        let mut client = Client::connect(daemon.http());
        client.send(request("GET", "/", "", ""));
        assert!(client.try_response("GET").is_err(), "{coding}");
        daemon.wait_for_reason("bad_response");
    }
}

#[test]
fn one_coding_can_be_changed_for_another() {
    let server = Server::start("1");
    let daemon = daemon(&server, "compress = true\ndecompress = true");
    let body = text(300_000);
    let coded = encoded("gzip", body.as_bytes());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\
         Content-Length: {}\r\n\r\n",
        coded.len()
    );
    server.set(Behaviour::new([Step::Body, Step::Send([head.into_bytes(), coded].concat())]));
    assert!(plain(&get(&daemon, "zstd")) == ("zstd".into(), body.clone()));
    assert!(plain(&get(&daemon, "gzip")) == ("gzip".into(), body.clone()));
}
