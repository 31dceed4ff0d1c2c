//! HTTP/1 messages at random, with the things that parsers disagree about.

use super::chance::Chance;

/// How often one thing is odd. Several things can be, so it is rare: most messages are nearly
/// right.
const ODD: usize = 14;

/// Field lines that mean nothing for framing.
const FIELDS: &[&str] = &[
    "X-A: 1",
    "X-A: 2",
    "x-b: some words",
    "X-Empty:",
    "X-Tabs:\t a \t",
    "X-Latin: \u{e9}",
    "Cookie: a=b; c=d",
    "Cache-Control: no-store",
    "Connection: x-a",
    "Connection: keep-alive",
    "Connection: keep-alive, X-B",
    "Keep-Alive: timeout=5",
    "Upgrade: h2c",
    "TE: trailers",
    "Trailer: X-Sum",
    "Set-Cookie: a=b",
    "Set-Cookie: c=d",
    "Proxy-Connection: close",
    "Proxy-Authenticate: Basic",
    "Proxy-Authorization: x",
];

const ODD_FIELDS: &[&str] = &[
    "X_Under: 1",
    "Connection: close",
    "Connection:",
    "Connection: content-length",
    "Connection: transfer-encoding, host",
    "X-Fold: a\r\n b",
    "X-Fold: a\r\n\tb",
    " X-Indented: a",
    "X-Spaced : a",
    "X-Tabbed\t: a",
    ": no name",
    "no colon",
    "X-Nul: a\0b",
    "X-Cr: a\rb",
    "X-Ends-In-Cr: a\r",
    "X-Lf: a\nX-More: b",
    "X-Del: a\u{7f}b",
    "X-Ctl: a\u{1}b",
    "X-Vt:\u{b}a",
    "X(a): b",
    "X\u{e9}: b",
    "X-Quote: \"a\r\n\"",
];

/// `Content-Length` values for `n` bytes, in their order of oddity.
fn lengths(n: usize) -> Vec<String> {
    let less = n.saturating_sub(1);
    vec![
        format!("Content-Length: {n}\r\nContent-Length: {n}"),
        format!("Content-Length: {n}\r\nX-Between: 1\r\nContent-Length: {less}"),
        format!("Content-Length: {less}\r\nContent-Length: {n}"),
        format!("Content-Length: {n}, {n}"),
        format!("Content-Length: {n},{less}"),
        format!("Content-Length: {n},"),
        format!("Content-Length: +{n}"),
        format!("Content-Length: -{n}"),
        format!("Content-Length: 0{n}"),
        format!("Content-Length: 000000000000000000000000{n}"),
        format!("Content-Length: 0x{n}"),
        format!("Content-Length: {n} 0"),
        format!("Content-Length: {n}.0"),
        format!("Content-Length:  {n} \t"),
        format!("Content-Length:{n}"),
        format!("Content-Length : {n}"),
        format!("Content-Length: \u{b}{n}"),
        format!("Content-Length: {n};a"),
        format!("content-length: \"{n}\""),
        format!("Content_Length: {n}"),
        "Content-Length:".into(),
        "Content-Length: abc".into(),
        "Content-Length: 18446744073709551616".into(),
        "Content-Length: 9999999999999999999".into(),
        format!("Content-Length: {}", n + 1),
        format!("Content-Length:\r\n {n}"),
    ]
}

const CODINGS: &[&str] = &[
    "Transfer-Encoding: Chunked",
    "TRANSFER-ENCODING: CHUNKED",
    "Transfer-Encoding:chunked",
    "Transfer-Encoding: \t chunked \t",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked, gzip",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding:",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding:",
    "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunkedx",
    "Transfer-Encoding: x chunked",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked;q=\"a,chunked\"",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: 'chunked'",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Transfer-Encoding: chunked\u{b}",
    "Transfer-Encoding: chunked\u{c}",
    "Transfer-Encoding: chunked\u{e9}",
    "Transfer-Encoding: chunked\0",
    "Transfer-Encoding: chunked\r",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "Transfer_Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "X-A: b\nTransfer-Encoding: chunked",
    "X-A: b\rTransfer-Encoding: chunked",
];

/// How a message's body is framed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Body {
    None,
    Length,
    Chunked,
    Both,
}

/// The framing field lines, and the body as it goes over the wire.
pub fn body(chance: &mut Chance, kind: Body) -> (Vec<String>, Vec<u8>) {
    let data =
        chance.pick(&["", "a", "hello", "0\r\n\r\n", "GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n"]);
    let odd_length = chance.one_in(5);
    let length = if odd_length {
        let all = lengths(data.len());
        all[chance.below(all.len())].clone()
    } else {
        format!("Content-Length: {}", data.len())
    };
    let coding = chance.mostly(5, "Transfer-Encoding: chunked", CODINGS).to_owned();
    match kind {
        Body::None => (Vec::new(), Vec::new()),
        Body::Length => (vec![length], data.into()),
        Body::Chunked => (vec![coding], chunked(chance, data)),
        Body::Both => {
            let mut fields = vec![coding, length];
            let wire = if chance.one_in(2) { chunked(chance, data) } else { data.into() };
            if chance.one_in(2) {
                fields.reverse();
            }
            (fields, wire)
        }
    }
}

fn size_line(chance: &mut Chance, size: usize) -> String {
    match chance.below(ODD * 4) {
        0 => format!("{size:X};name=value"),
        1 => format!("{size:x};a=\"b;c\""),
        2 => format!("{size:x} ;a"),
        3 => format!("000{size:x}"),
        4 => format!("00000000000000000{size:x}"),
        5 => format!("fffffffffffffff{size:x}"),
        6 => format!("1000000000000000{size:x}"),
        7 => format!("+{size:x}"),
        8 => format!("-{size:x}"),
        9 => format!("0x{size:x}"),
        10 => format!(" {size:x}"),
        11 => format!("{size:x} "),
        12 => format!("{size:x}\t"),
        13 => format!("{size:x}\u{c}"),
        14 => format!("{size:x}\u{b}"),
        15 => format!("{size:x} x"),
        16 => format!("{size:x};a\rb"),
        17 => format!("{size:x};a\nb"),
        18 => format!("{size:x};\0"),
        19 => format!("{size:x};\u{7f}\u{e9}"),
        20 => format!("{size:x}\r"),
        21 => format!("{size:x},1"),
        22 => String::new(),
        23 => "g".into(),
        _ => format!("{size:x}"),
    }
}

fn line_end(chance: &mut Chance) -> &'static str {
    chance.mostly(ODD * 5, "\r\n", &["\n", "\r", "", "\r\r\n", "\n\r", " \r\n"])
}

/// `data` in chunks, with a trailer section sometimes.
fn chunked(chance: &mut Chance, data: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut add = |text: &str| wire.extend_from_slice(text.as_bytes());
    let cut = chance.below(data.len() + 1);
    for part in [&data[..cut], &data[cut..]].into_iter().filter(|part| !part.is_empty()) {
        add(&size_line(chance, part.len()));
        add(line_end(chance));
        add(part);
        add(line_end(chance));
    }
    if chance.one_in(8) {
        add(&size_line(chance, 0));
    } else {
        add(chance.pick(&["0", "0", "0", "00", "0;last"]));
    }
    add(line_end(chance));
    if chance.one_in(4) {
        let usual = chance.pick(&["X-Sum: 5", "X-Sum: 5\r\nX-Two: 6", "x-sum:", "X-Sum:  5 \t"]);
        let odd = [
            "X-Sum: a\nX-Two: b",
            "\nX-Sum: a",
            "Content-Length: 3",
            "Transfer-Encoding: chunked",
            "Host: evil",
            "X-Fold: a\r\n b",
            "X-Cr: a\rb",
            "X-Nul: \0",
            "X-Spaced : a",
            "no colon",
            ": no name",
            " X-Indented: a",
            "Connection: close",
            "X_Under: 1",
            "Set-Cookie: a=b",
        ];
        add(chance.mostly(3, usual, &odd));
        add(line_end(chance));
    }
    add(line_end(chance));
    wire
}

/// A start line, some fields and a body, put together.
pub fn message(chance: &mut Chance, start: &[u8], mut fields: Vec<String>, kind: Body) -> Vec<u8> {
    let (framing, body) = body(chance, kind);
    for _ in 0..chance.below(4) {
        fields.push(chance.pick(FIELDS).into());
    }
    if chance.one_in(6) {
        fields.push(chance.pick(ODD_FIELDS).into());
    }
    for field in framing {
        let at = chance.below(fields.len() + 1);
        fields.insert(at, field);
    }
    let mut message = start.to_vec();
    message.extend_from_slice(head_end(chance).as_bytes());
    for field in fields {
        message.extend_from_slice(&bytes(chance, &field));
        message.extend_from_slice(head_end(chance).as_bytes());
    }
    message.extend_from_slice(head_end(chance).as_bytes());
    message.extend(body);
    message
}

/// Rarely not CR LF: every line of every head goes through here.
fn head_end(chance: &mut Chance) -> &'static str {
    chance.mostly(ODD * 12, "\r\n", &["\n", "\r", "\r\r\n", "\n\r", " \r\n", "\0\r\n"])
}

/// Sometimes not UTF-8.
fn bytes(chance: &mut Chance, text: &str) -> Vec<u8> {
    if chance.one_in(40) && text.contains('\u{e9}') {
        return text.chars().map(|c| if c == '\u{e9}' { 0xe9 } else { c as u8 }).collect();
    }
    text.into()
}

/// The last touch: some messages are mutated once or twice.
pub fn mutated(chance: &mut Chance, mut message: Vec<u8>) -> Vec<u8> {
    if chance.one_in(4) {
        for _ in 0..=chance.below(2) {
            chance.mutate(&mut message);
        }
    }
    message
}
