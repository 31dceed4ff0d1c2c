//! A strict server: it records whole requests, with everything that is wrong about their form. It
//! answers with the request's number in `X-Seen`, so that a client finds its own record.

use super::{
    reference::{Fields, Message, Verdict},
    wire::{Head, Reader},
};
use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub raw: String,
    pub message: Message,
    /// What is wrong about its form.
    pub unclean: Option<&'static str>,
}

/// Listens until the process ends.
pub struct Recorder {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let seen = Arc::clone(&all);
                thread::spawn(move || serve(stream, &seen));
            }
        });
        Self { address, seen }
    }

    pub fn get(&self, index: usize) -> Seen {
        self.seen.lock().unwrap()[index].clone()
    }

    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Ends with an error if a request breaks off; that request is not recorded.
fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::new(stream);
    while reader.begun()? {
        let head = reader.head()?;
        let mut message = request(&head);
        let unclean = unclean(&head);
        if head.is_chunked() {
            let (body, trailers) = reader.chunked()?;
            (message.body, message.trailers) = (body, fields(&trailers));
        } else {
            message.body = reader.exactly(head.content_length().unwrap_or(0))?;
        }
        let index = {
            let mut seen = seen.lock().unwrap();
            seen.push(Seen { raw: head.raw, message, unclean });
            seen.len() - 1
        };
        let answer = format!("HTTP/1.1 200 OK\r\nX-Seen: {index}\r\nContent-Length: 0\r\n\r\n");
        reader.stream.write_all(answer.as_bytes())?;
    }
    Ok(())
}

fn request(head: &Head) -> Message {
    Message {
        verdict: Verdict::Whole,
        method: head.method().into(),
        target: head.target().into(),
        fields: fields(head),
        ..Message::default()
    }
}

/// Fields as written, without the one space after the colon.
pub fn fields(head: &Head) -> Fields {
    let mut fields = Fields::new();
    for line in head.raw.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap_or((line, "no colon"));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        fields.entry(name.to_ascii_lowercase()).or_default().push(value);
    }
    fields
}

/// Anything that two servers might understand differently (RFC 9112 §2.2, §3, §5, §6).
pub fn unclean(head: &Head) -> Option<&'static str> {
    let mut lines = head.raw.strip_suffix("\r\n\r\n")?.split("\r\n");
    let start: Vec<_> = lines.next()?.split(' ').collect();
    if start.len() != 3 || start[2] != "HTTP/1.1" || start[1].is_empty() || !is_token(start[0]) {
        return Some("its request line");
    }
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Some("a line without colon") };
        if !is_token(name) {
            return Some("a field's name");
        }
        if value.bytes().any(|byte| byte < b' ' && byte != b'\t' || byte == 0x7f) {
            return Some("a control byte");
        }
    }
    let (lengths, codings) = (head.fields("content-length"), head.fields("transfer-encoding"));
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match (&lengths[..], &codings[..]) {
        ([], [] | ["chunked"]) => {}
        ([length], []) if is_number(length) => {}
        _ => return Some("its framing"),
    }
    if head.fields("host").len() == 1 { None } else { Some("its host") }
}

fn is_token(text: &str) -> bool {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_tchar)
}
