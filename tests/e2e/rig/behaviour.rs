//! What an upstream server of the rig does with a connection and with each request on it.

use super::PATIENCE;
use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// One thing done; a list of them is an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// Read the request's body.
    Body,
    /// Write these bytes.
    Send(Vec<u8>),
    /// Write the first bytes if the request has this field, else the second.
    If(String, Vec<u8>, Vec<u8>),
    /// Send nothing more. Everything that comes until the end is the request's body.
    HalfClose,
    /// Agree to a WebSocket.
    WebSocket,
    /// Answer 200 with the server's name.
    Name,
    /// Answer 200 with the request, head and body, as the body.
    Echo,
    /// The same with these field lines, each ended with CRLF.
    EchoWith(String),
    /// Send back what comes until it ends, and then `bye`.
    Return,
    /// Be slow.
    Pause(Duration),
    /// Go on when the gate opens.
    Wait(Gate),
    /// Read and never answer, until the other side gives up.
    Hang,
    /// Close, as a process that ends would.
    Close,
    /// Close with a reset.
    Reset,
    /// Close without notice, unless the next request begins within this time.
    CloseIdle(Duration),
}

/// What a server does when a connection comes in, and to each request.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    pub on_accept: Vec<Step>,
    pub answer: Vec<Step>,
}

impl Behaviour {
    pub fn new(answer: impl Into<Vec<Step>>) -> Self {
        Self { on_accept: Vec::new(), answer: answer.into() }
    }

    /// As soon as a connection is there.
    pub fn on_accept(steps: impl Into<Vec<Step>>) -> Self {
        Self { on_accept: steps.into(), answer: vec![Step::Body, Step::Name] }
    }

    /// Reads the request, answers 200 with the server's name, keeps the connection.
    pub fn normal() -> Self {
        Self::new([Step::Body, Step::Name])
    }

    pub fn echo() -> Self {
        Self::new([Step::Body, Step::Echo])
    }

    /// The request as the body of a response with these field lines, each ended with CRLF.
    pub fn echo_with(fields: &str) -> Self {
        Self::new([Step::Body, Step::EchoWith(fields.into())])
    }

    /// A response with this status, these field lines (each ended with CRLF) and this body.
    pub fn fields(status: u16, fields: &str, body: &str) -> Self {
        let length = match status {
            204 | 304 => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        Self::raw(&format!("HTTP/1.1 {status} Because\r\n{fields}{length}\r\n{body}"))
    }

    /// Reads the request and never answers.
    pub fn hang() -> Self {
        Self::new([Step::Hang])
    }

    /// Resets each connection as it comes in.
    pub fn reset_on_accept() -> Self {
        Self::on_accept([Step::Reset])
    }

    /// Reads the request, then resets.
    pub fn reset() -> Self {
        Self::new([Step::Body, Step::Reset])
    }

    /// Reads the request, then writes what is not HTTP.
    pub fn garbage() -> Self {
        Self::new([
            Step::Body,
            Step::Send(b"\x16\x03\x01 what? \x00\xff\r\n\r\n".to_vec()),
            Step::Close,
        ])
    }

    /// Announces ten times the bytes that it sends, then closes.
    pub fn half_body() -> Self {
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf a body".to_vec();
        Self::new([Step::Body, Step::Send(half), Step::Close])
    }

    /// Answers like `normal`, then closes the idle connection after this long.
    pub fn close_idle(after: Duration) -> Self {
        Self::new([Step::Body, Step::Name, Step::CloseIdle(after)])
    }

    /// Reads the request, then writes exactly these bytes and keeps the connection.
    pub fn raw(bytes: &str) -> Self {
        Self::new([Step::Body, Step::Send(bytes.into())])
    }

    /// Changes to this protocol, and sends back what comes until it ends, then `bye`.
    pub fn tunnel(protocol: &str) -> Self {
        let consent = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: {protocol}\r\nConnection: upgrade\r\n\
             X-Kept: 1\r\n\r\n"
        );
        Self::new([Step::Send(consent.into()), Step::Return, Step::Close])
    }

    /// Like `tunnel`, as a WebSocket's server does it.
    pub fn websocket() -> Self {
        Self::new([Step::WebSocket, Step::Return, Step::Close])
    }

    /// Like `raw`, then closes.
    pub fn raw_then_close(bytes: &str) -> Self {
        Self::new([Step::Body, Step::Send(bytes.into()), Step::Close])
    }

    /// A response with this status and body.
    pub fn status(status: u16, body: &str) -> Self {
        Self::raw(&format!(
            "HTTP/1.1 {status} Because\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Answers like `normal` once the gate is open.
    pub fn gated(gate: &Gate) -> Self {
        Self::new([Step::Body, Step::Wait(gate.clone()), Step::Name])
    }
}

/// Something that a server waits for and a test opens, once and for all.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits until the gate opens, but not forever: a failed test leaves its gates shut.
    pub fn wait(&self) {
        let shut = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(shut, PATIENCE * 2, |open| !*open).unwrap());
    }
}
