//! What clients send on one connection: requests right and wrong, pipelined and cut off.

use super::{
    chance::Chance,
    noise::{Body, message, mutated},
};

/// A connection's bytes.
pub struct Case {
    pub bytes: Vec<u8>,
    pub pieces: Vec<Vec<u8>>,
}

const METHODS: &[&str] = &[
    "GET", "PUT", "HEAD", "OPTIONS", "OPTIONS", "OPTIONS", "DELETE", "PATCH", "CONNECT", "TRACE",
    "QUERY", "get", "M-X!", "", "GE\tT", "G\0T", "GET ", " GET", "G(T", "\u{e9}",
];

const TARGETS: &[&str] = &[
    "/",
    "/a?b=c&d=/../e",
    "/a/./b/../c//d",
    "/%41%2f%2e%2e/x",
    "/a;b=c,d@e:f",
    "/a?",
    "/?a?b",
    "//a/b",
    "/%",
    "/%zz",
    "/%00",
    "/../..",
    "/a\\b",
    "/a#b",
    "/\"<>^`{|}",
    "/\u{e9}",
    "/a\u{7f}",
    "/a\tb",
    "/a b",
    "/a\0",
    "*",
    "",
    "a",
    "a/b",
    "?a",
    "#a",
    "a:80",
    "http://a",
    "http://a/",
    "http://b:80/x?y",
    "HTTP://A/x",
    "http://a?x",
    "https://a/x",
    "ftp://a/x",
    "http://u@a/x",
    "http:///x",
    "http://",
    "http:/a",
    "http://a:b/",
    "http://[::1]:80/x",
    "http://[::1/x",
    "//",
];

const VERSIONS: &[&str] = &[
    "HTTP/1.0",
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "HTTP/0.9",
    "HTTP/1.",
    "HTTP/11",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/1.10",
    "HTTP/01.1",
    "",
    "HTTP",
    "HTTP/1.1\t",
    "XTTP/1.1",
    "HTTP /1.1",
];

const HOSTS: &[&str] = &[
    "",
    "Host:",
    "Host: a\r\nHost: a",
    "Host: a\r\nHost: b",
    "Host: a\r\nX-A: 1\r\nHOST: b",
    "Host : a",
    "Host: a:80",
    "Host: a:",
    "Host: :80",
    "Host: a:99999999",
    "Host: a:b",
    "Host: a/b",
    "Host: u@a",
    "Host: a, b",
    "Host: a b",
    "Host: a\tb",
    "Host: A.example.",
    "Host: [::1]:80",
    "Host: [::1",
    "Host: a?b",
    "Host: a#b",
    "Host: \u{e9}",
    "Host: a\0",
    "Host:a",
    " Host: a",
    "Host: a\r\n b",
];

/// Fields that mean something only in requests.
const FIELDS: &[&str] = &[
    "Expect: 100-continue",
    "Expect: 100-Continue, x",
    "Expect: x",
    "TE: trailers, deflate",
    "TE: chunked",
    "Max-Forwards: 0",
    "Max-Forwards: 0",
    "Max-Forwards: 5",
    "X-Forwarded-For: 1.2.3.4",
    "X-Forwarded-Host: evil",
    "X-Real-IP: 1.2.3.4",
    "Forwarded: for=1.2.3.4",
    "Via: 1.1 x",
    "Via: 1.0 x, 1.1 y",
    "X-Request-Id: mine",
    "Authorization: Basic x",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: Keep-Alive, TE",
    "Connection: authorization, x-forwarded-for, host",
    "Connection: upgrade, HTTP2-Settings",
    "HTTP2-Settings: x",
    "Content-Encoding: gzip",
    "Content-Type: text/plain",
];

fn request(chance: &mut Chance) -> Vec<u8> {
    let usual = chance.pick(&["GET", "POST", "PUT"]);
    let method = chance.mostly(8, usual, METHODS);
    let target = chance.mostly(5, "/plain", TARGETS);
    let version = chance.mostly(10, "HTTP/1.1", VERSIONS);
    let space = chance.mostly(60, " ", &["  ", "\t", "", "\u{b}"]);
    let start = format!("{method}{space}{target} {version}");
    let mut fields = Vec::new();
    let host = chance.mostly(8, "Host: a", HOSTS);
    if !host.is_empty() {
        fields.push(host.to_owned());
    }
    if chance.one_in(3) {
        fields.push(chance.pick(FIELDS).to_owned());
    }
    let kind = match (usual, chance.below(20)) {
        (_, 0) => Body::Both,
        ("GET", 1..=15) => Body::None,
        (_, 1..=10) => Body::Chunked,
        _ => Body::Length,
    };
    let whole = message(chance, start.as_bytes(), fields, kind);
    mutated(chance, whole)
}

/// One to three requests, and usually one more that shows whether their ends were found.
pub fn case(n: usize) -> Case {
    let chance = &mut Chance::new(n as u64);
    let mut bytes = Vec::new();
    for _ in 0..chance.pick(&[1, 1, 1, 2, 3]) {
        bytes.extend(chance.mostly(12, "", &["\r\n", "\n", "\r\n\r\n", "\r", " ", "\0"]).bytes());
        bytes.extend(request(chance));
    }
    if chance.one_in(8) {
        bytes.truncate(1 + chance.below(bytes.len()));
    } else {
        let last = format!("GET /last/{n} HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n");
        bytes.extend(last.bytes());
    }
    Case { pieces: chance.pieces(&bytes), bytes }
}
