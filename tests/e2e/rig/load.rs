//! A load of keep-alive connections, each asking as fast as it is answered, that counts what came
//! back.

use super::{Client, Response};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Checks a good response. It gets the request's number, what `before` returned for it, and the
/// response.
type Inspect = dyn Fn(usize, u64, &Response) -> Result<(), String> + Send + Sync;
type Before = dyn Fn() -> u64 + Send + Sync;
type Make = dyn Fn(usize) -> String + Send + Sync;

/// What to ask, how often, over how many connections.
pub struct Load {
    address: SocketAddr,
    connections: usize,
    requests: usize,
    make: Arc<Make>,
    before: Arc<Before>,
    inspect: Arc<Inspect>,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How often each body came with a 200.
    pub bodies: BTreeMap<String, usize>,
    /// The number of each request that failed, and why.
    pub failures: Vec<(usize, String)>,
    /// Connections that the daemon ended between two requests.
    pub reconnects: usize,
}

/// A load under way.
pub struct Running {
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    next: AtomicUsize,
    done: AtomicUsize,
    stop: AtomicBool,
    outcome: Mutex<Outcome>,
}

impl Load {
    pub fn on(address: SocketAddr) -> Self {
        Self {
            address,
            connections: 8,
            requests: usize::MAX,
            make: Arc::new(|_| "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".into()),
            before: Arc::new(|| 0),
            inspect: Arc::new(|_, _, _| Ok(())),
        }
    }

    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    pub fn requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// The bytes of the request with this number.
    pub fn asking(mut self, make: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        self.make = Arc::new(make);
        self
    }

    /// `before` is called ahead of each request; `inspect` gets what it gave, with the response.
    pub fn inspecting(
        mut self,
        before: impl Fn() -> u64 + Send + Sync + 'static,
        inspect: impl Fn(usize, u64, &Response) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.before = Arc::new(before);
        self.inspect = Arc::new(inspect);
        self
    }

    /// Runs to the end.
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    pub fn start(self) -> Running {
        let shared = Arc::new(Shared {
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            outcome: Mutex::default(),
        });
        let load = Arc::new(self);
        let threads = (0..load.connections).map(|_| {
            let (load, shared) = (Arc::clone(&load), Arc::clone(&shared));
            let one = move || load.one_connection(&shared);
            thread::Builder::new().stack_size(256 * 1024).spawn(one).expect("a thread")
        });
        Running { threads: threads.collect(), shared }
    }

    /// What one of the connections does. If it has ended, it is made again.
    fn one_connection(&self, shared: &Shared) {
        let mut client: Option<Client> = None;
        let mut outcome = Outcome::default();
        while !shared.stop.load(Ordering::SeqCst) {
            let number = shared.next.fetch_add(1, Ordering::SeqCst);
            if number >= self.requests {
                break;
            }
            let stamp = (self.before)();
            let fresh = client.is_none();
            let answer = self.exchange(&mut client, number);
            match answer {
                Ok(response) => self.judge(number, stamp, &response, &mut outcome),
                Err(e) if fresh && shared.stop.load(Ordering::SeqCst) => {
                    outcome.failures.push((number, format!("while stopping: {e}")));
                }
                Err(e) => outcome.failures.push((number, e.to_string())),
            }
            outcome.reconnects += usize::from(client.is_none());
            shared.done.fetch_add(1, Ordering::SeqCst);
        }
        shared.outcome.lock().unwrap().absorb(outcome);
    }

    /// One request; the connection is left in place only if it can be used again.
    fn exchange(&self, connection: &mut Option<Client>, number: usize) -> io::Result<Response> {
        let mut client = match connection.take() {
            Some(client) => client,
            None => Client::try_connect(self.address)?,
        };
        let request = (self.make)(number);
        client.try_send(&request)?;
        let method = request.split(' ').next().unwrap_or_default();
        let response = client.try_response(method)?;
        if !response.head.closes() {
            *connection = Some(client);
        }
        Ok(response)
    }

    fn judge(&self, number: usize, stamp: u64, response: &Response, outcome: &mut Outcome) {
        let text = response.text();
        if response.status != 200 {
            outcome.failures.push((number, format!("{} {text}", response.status)));
            return;
        }
        if let Err(why) = (self.inspect)(number, stamp, response) {
            outcome.failures.push((number, why));
        }
        *outcome.bodies.entry(text).or_default() += 1;
    }
}

impl Running {
    /// Requests that have ended so far.
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    pub fn wait_for(&self, count: usize) {
        super::until(&format!("{count} requests of the load done"), || {
            self.done() >= count || self.threads.iter().all(JoinHandle::is_finished)
        });
    }

    /// No further requests; waits for those under way.
    pub fn stop(self) -> Outcome {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.finish()
    }

    /// Waits for all the requests.
    pub fn finish(self) -> Outcome {
        for thread in self.threads {
            thread.join().expect("a load thread");
        }
        std::mem::take(&mut self.shared.outcome.lock().unwrap())
    }
}

impl Outcome {
    fn absorb(&mut self, other: Self) {
        for (body, count) in other.bodies {
            *self.bodies.entry(body).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.reconnects += other.reconnects;
    }

    /// How many answers had this body.
    pub fn of(&self, body: &str) -> usize {
        self.bodies.get(body).copied().unwrap_or(0)
    }

    /// Fails, with the first few reasons, unless all went well.
    pub fn expect_no_failure(&self) {
        let some: Vec<_> = self.failures.iter().take(5).collect();
        assert!(some.is_empty(), "{} requests failed, such as {some:?}", self.failures.len());
    }
}
