//! What `explain` tells of a request is what the daemon then does with it, for thousands of
//! generated configs and requests.
//!
//! More of them: `SHEAVE_EXPLAIN=1000 cargo test --test e2e explain_agrees` makes so many configs
//! per seed, a hundred requests each. What fails is printed with its seed, and cut down first.

mod cases;
mod compare;

use crate::rig::{
    Behaviour, Client, Daemon, Response, Server,
    certs::{self, Kind},
    chance::Chance,
    client::{self, ask},
    eventually,
    secure::{Handshake, TlsClient},
};
use cases::{COVERED, CaseConfig, CaseRequest, FILES, SNI};
use compare::{Done, disagreement};
use serde_json::Value;
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// Requests with each config.
const REQUESTS: usize = 100;

#[test]
fn explain_agrees_1() {
    agree(1);
}

#[test]
fn explain_agrees_2() {
    agree(2);
}

#[test]
fn explain_agrees_3() {
    agree(3);
}

#[test]
fn explain_agrees_4() {
    agree(4);
}

/// A daemon, its servers, and connections to it.
struct Stage {
    daemon: Daemon,
    /// Servers that answer with what they got; the last one is dead.
    servers: Vec<Server>,
    admin: Client,
    clients: HashMap<String, CaseClient>,
    handshake: Handshake,
    /// How much of the access log has been read.
    logged: u64,
    lines: HashMap<String, Value>,
    number: usize,
}

enum CaseClient {
    Plain(Client),
    Secure(Box<TlsClient>),
}

impl CaseClient {
    fn ask(&mut self, request: &[u8], method: &str) -> io::Result<Response> {
        match self {
            Self::Plain(client) => {
                client.try_send(request)?;
                client.try_response(method)
            }
            Self::Secure(client) => {
                client.try_send(request)?;
                client.try_response(method)
            }
        }
    }
}

fn agree(seed: u64) {
    let configs = std::env::var("SHEAVE_EXPLAIN").ok().and_then(|it| it.parse().ok()).unwrap_or(25);
    let mut chance = Chance::new(seed);
    let mut stage = Stage::start(&CaseConfig::simple());
    let (mut forwarded, mut coded, mut files) = (0, 0, 0);
    for round in 0..configs {
        let config = CaseConfig::generate(&mut chance, &stage.addresses());
        stage.take_up(&config);
        let requests: Vec<_> =
            (0..REQUESTS).map(|_| CaseRequest::generate(&mut chance, &config)).collect();
        let told: Vec<_> = requests.iter().map(|it| stage.explain_and_send(it)).collect();
        for (request, (id, told, done)) in requests.iter().zip(told) {
            let done = Done { line: stage.line(&id, &done), ..done };
            forwarded += usize::from(done.response.field("x-server").is_some());
            coded += usize::from(done.response.field("content-encoding").is_some());
            files += usize::from(!told["files"].is_null() && done.response.status < 400);
            if let Some(why) = disagreement(&told, &done, request) {
                eprintln!(
                    "{why}: {request:?}\n{told:#}\n{}\n{}\n{:#}",
                    done.response.head.raw,
                    done.response.text(),
                    done.line
                );
                let (config, request, why) = stage.smallest(config.clone(), request.clone(), why);
                panic!(
                    "seed {seed}, round {round}, as small as it fails: {why}\n\n{}\n{request:?}",
                    config.text(),
                );
            }
        }
    }
    // Otherwise the generator makes nothing worth comparing.
    let least = configs * REQUESTS / 6;
    assert!(forwarded >= least, "only {forwarded} requests came to a server");
    assert!(files >= least / 40, "only {files} requests got a file");
    assert!(coded >= least / 40, "only {coded} answers were compressed");
}

impl Stage {
    fn start(config: &CaseConfig) -> Self {
        let servers: Vec<_> = (0..4).map(|i| Server::start(&format!("s{i}"))).collect();
        for (i, server) in servers.iter().enumerate() {
            let cached = if i % 2 == 0 { "Cache-Control: max-age=600\r\n" } else { "" };
            server.set(Behaviour::echo_with(&format!("X-Server: {server}\r\n{cached}")));
        }
        let servers = servers.into_iter().chain([Server::dead("dead")]).collect();
        let daemon = Daemon::start_text(&config.text());
        for (name, text) in FILES {
            let path = daemon.path("www").join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        let admin = Client::connect(daemon.admin());
        let database = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo.mmdb");
        fs::copy(database, daemon.path("geo.mmdb")).expect("a copy");
        certs::write(&daemon.path(""), "c", Kind::Ecdsa, &COVERED);
        let (clients, lines) = (HashMap::new(), HashMap::new());
        let handshake = Handshake::offering(&["http/1.1"]);
        Self { daemon, servers, admin, clients, handshake, logged: 0, lines, number: 0 }
    }

    fn addresses(&self) -> Vec<String> {
        self.servers.iter().map(ToString::to_string).collect()
    }

    fn take_up(&mut self, config: &CaseConfig) {
        self.clients.clear();
        self.daemon.rewrite_config(&config.text());
        let answer = self.daemon.reload();
        assert_eq!(answer.status, 200, "{}\n{}", config.text(), answer.text());
    }

    /// What is told of a request, and what then comes of it.
    fn explain_and_send(&mut self, request: &CaseRequest) -> (String, Value, Done) {
        self.number += 1;
        let id = format!("case-{}", self.number);
        let told = self.explain(request, &id);
        let response = self.send(request, &id);
        let dead = self.servers[4].to_string();
        (id, told, Done { response, line: Value::Null, dead })
    }

    fn explain(&mut self, request: &CaseRequest, id: &str) -> Value {
        let question = request.question(id).to_string();
        let ask = client::request("POST", "/explain", "", &question);
        eventually("no request in flight", || {
            let answer = self.admin.ask(&ask);
            assert_eq!(answer.status, 200, "{question}: {}", answer.text());
            let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
            // A server's slot is given back a moment after the client has the answer.
            let servers = told["upstream"]["servers"].as_array();
            let busy = servers.is_some_and(|all| all.iter().any(|it| it["in_flight"] != 0));
            (!busy).then_some(told)
        })
    }

    fn send(&mut self, request: &CaseRequest, id: &str) -> Response {
        let bytes = request.bytes(id);
        let address = self.daemon.address(&request.listener);
        let kept = self.clients.remove(&request.listener);
        let connect = || {
            if request.secure {
                CaseClient::Secure(Box::new(self.handshake.connect(address, SNI).0))
            } else {
                CaseClient::Plain(Client::connect(address))
            }
        };
        let mut client = kept.unwrap_or_else(connect);
        let response = client.ask(&bytes, &request.method).unwrap_or_else(|error| {
            panic!("no answer to {request:?}: {error}");
        });
        if !response.head.closes() {
            self.clients.insert(request.listener.clone(), client);
        }
        response
    }

    /// The request's line in the access log. A head that is no head has none with its id.
    fn line(&mut self, id: &str, done: &Done) -> Value {
        if done.response.text().starts_with("400") && done.response.head.closes() {
            return Value::Null;
        }
        eventually(&format!("line of {id}"), || {
            self.read_log();
            self.lines.remove(id)
        })
    }

    fn read_log(&mut self) {
        let Ok(mut file) = File::open(self.daemon.path("access.log")) else { return };
        file.seek(SeekFrom::Start(self.logged)).expect("seeking");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("reading");
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        self.logged += whole as u64;
        for line in text[..whole].lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            let id = line["request_id"].as_str().unwrap_or_default().to_owned();
            self.lines.insert(id, line);
        }
    }

    /// Leaves out routes and fields as long as it still fails.
    fn smallest(
        &mut self,
        mut config: CaseConfig,
        mut request: CaseRequest,
        mut why: String,
    ) -> (CaseConfig, CaseRequest, String) {
        let mut tries = 0;
        while tries < 200 {
            let smaller = request.smaller().into_iter().map(|it| (config.clone(), it));
            let narrower = config.smaller().into_iter().map(|it| (it, request.clone()));
            let all: Vec<_> = smaller.chain(narrower).collect();
            tries += all.len().max(1);
            let found = all.into_iter().find_map(|(config, request)| {
                self.take_up(&config);
                let (id, told, done) = self.explain_and_send(&request);
                let done = Done { line: self.line(&id, &done), ..done };
                Some((config, request.clone(), disagreement(&told, &done, &request)?))
            });
            let Some(found) = found else { break };
            (config, request, why) = found;
        }
        (config, request, why)
    }
}

/// What is asked over the command line is the same as over the admin address, and by a file.
#[test]
fn explain_agrees_by_all_three_ways() {
    let stage = Stage::start(&CaseConfig::simple());
    let admin = stage.daemon.admin();
    let path = stage.daemon.path("sheave.toml").display().to_string();
    let run = |arguments: &[&str]| {
        let all =
            [&["explain", "--json", "http://a.example/x", "--listener", "a"], arguments].concat();
        let output = crate::rig::daemon::run_to_end(&stage.daemon.path(""), &all);
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let asked =
        ask(admin, &client::request("GET", "/explain?url=http://a.example/x&listener=a", "", ""));
    let by_daemon = serde_json::from_slice::<Value>(&asked.body).expect("JSON");
    assert_eq!(by_daemon["answer"]["status"], 204, "{by_daemon:#}");
    assert_eq!(run(&["--admin", &admin.to_string()]), by_daemon);
    assert_eq!(run(&["--config", &path]), by_daemon);
}
