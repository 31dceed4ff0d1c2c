//! A programmable upstream server on a real socket: its own HTTP/1.1 on threads, so that every byte
//! and every close is a test's to choose, and every request is recorded as it arrived.

use super::{
    Behaviour, Step, until,
    wire::{Head, Reader},
};
use socket2::SockRef;
use std::{
    collections::HashMap,
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub head: Head,
    /// Empty until it has been read.
    pub body: Vec<u8>,
    pub trailers: Head,
    /// Which of the server's connections it came on, from 0.
    pub connection: usize,
}

/// A server; dropping it kills it.
pub struct Server {
    pub address: SocketAddr,
    state: Arc<State>,
    acceptor: Mutex<Option<JoinHandle<()>>>,
    listener: Mutex<Option<TcpListener>>,
}

/// What the server's threads share.
struct State {
    name: String,
    default: Mutex<Behaviour>,
    by_path: Mutex<HashMap<String, Behaviour>>,
    requests: Mutex<Vec<Recorded>>,
    open: Mutex<HashMap<usize, TcpStream>>,
    accepted: AtomicUsize,
}

impl Server {
    /// Starts answering with its name.
    pub fn start(name: &str) -> Self {
        let listener = own_loopback();
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(State::new(name)),
            acceptor: Mutex::default(),
            listener: Mutex::default(),
        };
        server.serve(listener);
        server
    }

    /// An address where nothing listens, and nothing will during the test.
    pub fn dead(name: &str) -> Self {
        let server = Self::start(name);
        server.kill();
        server
    }

    /// Several, named `1`, `2` and so on.
    pub fn start_several(count: usize) -> Vec<Self> {
        (1..=count).map(|n| Self::start(&n.to_string())).collect()
    }

    fn serve(&self, listener: TcpListener) {
        let state = Arc::clone(&self.state);
        *self.listener.lock().unwrap() = Some(listener.try_clone().unwrap());
        *self.acceptor.lock().unwrap() = Some(thread::spawn(move || state.accept_all(&listener)));
    }

    /// Stops listening and closes every connection; connecting is refused once this returns.
    pub fn kill(&self) {
        if let Some(listener) = self.listener.lock().unwrap().take() {
            // Shutting a listening socket down wakes its accept; a later connect is refused.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.lock().unwrap().take() {
            let _ = acceptor.join();
        }
        for stream in self.state.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again, on the same address.
    pub fn come_back(&self) {
        self.serve(TcpListener::bind(self.address).expect("the server's own address is free"));
    }

    /// What it does from now on, with connections that are open too.
    pub fn set(&self, behaviour: Behaviour) {
        *self.state.default.lock().unwrap() = behaviour;
    }

    /// What it does with requests for one path.
    pub fn set_for(&self, path: &str, behaviour: Behaviour) {
        self.state.by_path.lock().unwrap().insert(path.into(), behaviour);
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn request_count(&self) -> usize {
        self.state.requests.lock().unwrap().len()
    }

    pub fn last_request(&self) -> Recorded {
        self.state.requests.lock().unwrap().last().expect("a request came").clone()
    }

    pub fn forget_requests(&self) {
        self.state.requests.lock().unwrap().clear();
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    pub fn open_connections(&self) -> usize {
        self.state.open.lock().unwrap().len()
    }

    pub fn wait_for_requests(&self, count: usize) {
        until(&format!("{count} requests at server {}", self.state.name), || {
            self.request_count() >= count
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// A listener on a loopback address of its own, if the system has them (Linux does). So no other
/// test can take its port while it is down, and no socket connects to itself.
fn own_loopback() -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed) + (std::process::id() << 8);
    let [_, b, c, d] = n.to_be_bytes();
    let own = Ipv4Addr::new(127, b.max(1), c, d.clamp(1, 254));
    TcpListener::bind((IpAddr::V4(own), 0))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .expect("a free loopback port")
}

impl State {
    fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            default: Mutex::new(Behaviour::normal()),
            by_path: Mutex::default(),
            requests: Mutex::default(),
            open: Mutex::default(),
            accepted: AtomicUsize::default(),
        }
    }

    fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            let id = self.accepted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.set_nodelay(true);
            let Ok(clone) = stream.try_clone() else { continue };
            self.open.lock().unwrap().insert(id, clone);
            let state = Arc::clone(self);
            let spawned = thread::Builder::new().stack_size(256 * 1024).spawn(move || {
                // A client that goes away is no error here.
                let ending = Connection { state: &state, id, reader: Reader::new(stream) }.run();
                state.close(id, matches!(ending, Ok(Ending::Reset)));
            });
            spawned.expect("a thread");
        }
    }

    /// Closes the last handle of a connection, so that its FIN or RST goes out now.
    fn close(&self, id: usize, reset: bool) {
        let mut open = self.open.lock().unwrap();
        if let Some(stream) = open.remove(&id) {
            if reset {
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            } else {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn answer_to(&self, head: &Head) -> Vec<Step> {
        let by_path = self.by_path.lock().unwrap().get(head.path()).map(|b| b.answer.clone());
        by_path.unwrap_or_else(|| self.default.lock().unwrap().answer.clone())
    }
}

/// What happens to a connection after a step.
enum Ending {
    Go,
    Close,
    Reset,
}

/// One connection being served.
struct Connection<'a> {
    state: &'a State,
    id: usize,
    reader: Reader<TcpStream>,
}

impl Connection<'_> {
    fn run(mut self) -> io::Result<Ending> {
        let on_accept = self.state.default.lock().unwrap().on_accept.clone();
        for step in on_accept {
            match self.step(&step, &Head::default(), 0)? {
                Ending::Go => {}
                end => return Ok(end),
            }
        }
        while self.reader.begun()? {
            self.reader.stream.set_read_timeout(None)?;
            let head = self.reader.head()?;
            let index = self.record(&head);
            for step in self.state.answer_to(&head) {
                match self.step(&step, &head, index)? {
                    Ending::Go => {}
                    end => return Ok(end),
                }
            }
        }
        Ok(Ending::Close)
    }

    fn record(&self, head: &Head) -> usize {
        let mut requests = self.state.requests.lock().unwrap();
        let (head, trailers) = (head.clone(), Head::default());
        requests.push(Recorded { head, body: Vec::new(), trailers, connection: self.id });
        requests.len() - 1
    }

    fn step(&mut self, step: &Step, head: &Head, index: usize) -> io::Result<Ending> {
        match step {
            Step::Body => {
                let (body, trailers) = self.reader.request_body(head)?;
                if let Some(request) = self.state.requests.lock().unwrap().get_mut(index) {
                    (request.body, request.trailers) = (body, trailers);
                }
            }
            Step::If(name, with, without) => {
                let bytes = if head.has(name) { with } else { without };
                self.reader.stream.write_all(bytes)?;
            }
            Step::Send(bytes) => self.reader.stream.write_all(bytes)?,
            Step::WebSocket => {
                let key = head.field("sec-websocket-key").expect("a key");
                let accept = sheave::message::websocket::accept(key.as_bytes());
                let consent = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: upgrade\r\nSec-WebSocket-Accept: {accept}\r\nX-Kept: 1\r\n\r\n"
                );
                self.reader.stream.write_all(consent.as_bytes())?;
            }
            Step::Name => self.respond(head, "", self.state.name.clone().into_bytes())?,
            Step::Echo => self.echo(head, index, "")?,
            Step::EchoWith(fields) => self.echo(head, index, fields)?,
            Step::Return => {
                loop {
                    let some = self.reader.some()?;
                    if some.is_empty() {
                        break;
                    }
                    self.reader.stream.write_all(&some)?;
                }
                self.reader.stream.write_all(b"bye")?;
            }
            Step::HalfClose => {
                self.reader.stream.shutdown(Shutdown::Write)?;
                let mut all = Vec::new();
                loop {
                    let some = self.reader.some()?;
                    if some.is_empty() {
                        break;
                    }
                    all.extend(some);
                }
                self.state.requests.lock().unwrap()[index].body = all;
            }
            Step::Pause(time) => thread::sleep(*time),
            Step::Wait(gate) => gate.wait(),
            Step::Hang => self.read_to_end(),
            Step::Close | Step::CloseIdle(Duration::ZERO) => return Ok(Ending::Close),
            Step::Reset => return Ok(Ending::Reset),
            Step::CloseIdle(time) => self.reader.stream.set_read_timeout(Some(*time))?,
        }
        Ok(Ending::Go)
    }

    fn echo(&mut self, head: &Head, index: usize, fields: &str) -> io::Result<()> {
        let body = self.state.requests.lock().unwrap().get(index).map(|r| r.body.clone());
        let mut echo = head.raw.clone().into_bytes();
        echo.extend(body.unwrap_or_default());
        self.respond(head, fields, echo)
    }

    fn respond(&mut self, head: &Head, fields: &str, body: Vec<u8>) -> io::Result<()> {
        let length = body.len();
        let mut message = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{fields}Content-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        if head.method() != "HEAD" {
            message.extend(body);
        }
        self.reader.stream.write_all(&message)
    }

    fn read_to_end(&mut self) {
        let mut scrap = [0; 4096];
        loop {
            match self.reader.stream.read(&mut scrap) {
                Ok(0) => return,
                Err(e) if e.kind() != ErrorKind::Interrupted => return,
                _ => {}
            }
        }
    }
}
