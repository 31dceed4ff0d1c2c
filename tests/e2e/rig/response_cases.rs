//! Responses of servers: right and wrong, cut off, or with more bytes after them.

use super::{
    chance::Chance,
    noise::{Body, message, mutated},
};

/// A connection's bytes, and what they answer.
pub struct Case {
    pub method: &'static str,
    pub bytes: Vec<u8>,
    pub pieces: Vec<Vec<u8>>,
    /// Whether the server keeps the connection if the framing allows it.
    pub keeps: bool,
}

const STATUS_LINES: &[&str] = &[
    "HTTP/1.0 200 OK",
    "HTTP/1.0 200 OK",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 204 No Content",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 304 Not Modified",
    "HTTP/1.1 205 Reset Content",
    "HTTP/1.1 206 Partial Content",
    "HTTP/1.1 301 Moved Permanently",
    "HTTP/1.1 404 Not Found",
    "HTTP/1.1 500 Internal Server Error",
    "HTTP/1.1 503 Service Unavailable",
    "HTTP/1.1 299 ",
    "HTTP/1.1 200",
    "HTTP/1.1 200 ",
    "HTTP/1.1 200 O\u{e9}K",
    "HTTP/1.1 200 O\u{1}K",
    "HTTP/1.1 200 O\0K",
    "HTTP/1.1 200 O\rK",
    "HTTP/1.1 200\tOK",
    "HTTP/1.1  200 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 +20 OK",
    "HTTP/1.1 099 No",
    "HTTP/1.1 000 No",
    "HTTP/1.1 600 Yes",
    "HTTP/1.1 999 Yes",
    "HTTP/1.1 100 Continue",
    "HTTP/1.1 101 Switching Protocols",
    "HTTP/1.1 103 Early Hints",
    "HTTP/1.2 200 OK",
    "HTTP/2.0 200 OK",
    "HTTP/0.9 200 OK",
    "HTTP/1.10 200 OK",
    "HTTP/11 200 OK",
    "http/1.1 200 OK",
    "XTTP/1.1 200 OK",
    "ICY 200 OK",
    " HTTP/1.1 200 OK",
    "200 OK",
    "",
];

const INTERIM: &[&str] = &[
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "HTTP/1.1 199 Own\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 102 Processing\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.0 100 Continue\r\n\r\n",
    "HTTP/1.1 100\n\n",
];

/// Fields that mean something only in responses.
const FIELDS: &[&str] = &[
    "Server: x",
    "Date: Tue, 15 Nov 1994 08:12:31 GMT",
    "ETag: \"a\"",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: ETag, content-length",
    "Vary: a",
    "Vary: b",
    "Content-Encoding: gzip",
    "Content-Type: text/plain",
    "Location: /elsewhere",
    "WWW-Authenticate: Basic",
    "Via: 1.1 x",
    "Upgrade: x",
    "Alt-Svc: h2=\":1\"",
];

const BEHIND: &[&str] =
    &["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", "\r\n", "0\r\n\r\n", "x"];

/// The same for the same number.
pub fn case(n: usize) -> Case {
    let chance = &mut Chance::new(!(n as u64));
    let method = chance.mostly(10, "GET", &["HEAD"]);
    let mut bytes = Vec::new();
    while chance.one_in(12) {
        bytes.extend(chance.pick(INTERIM).bytes());
    }
    let status = chance.mostly(5, "HTTP/1.1 200 OK", STATUS_LINES);
    let mut fields = Vec::new();
    for _ in 0..chance.below(3) {
        fields.push(chance.pick(FIELDS).to_owned());
    }
    let kind = match chance.below(20) {
        0 => Body::Both,
        1..=9 => Body::Chunked,
        10..=17 => Body::Length,
        _ => Body::None,
    };
    let whole = message(chance, status.as_bytes(), fields, kind);
    bytes.extend(mutated(chance, whole));
    if kind == Body::None && chance.one_in(2) {
        bytes.extend(b"until the end");
    }
    match chance.below(12) {
        0 => bytes.extend(chance.pick(BEHIND).bytes()),
        1 | 2 => bytes.truncate(chance.below(bytes.len())),
        _ => {}
    }
    Case { method, pieces: chance.pieces(&bytes), bytes, keeps: chance.one_in(2) }
}
