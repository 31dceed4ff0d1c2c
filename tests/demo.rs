//! `sheave demo` as a newcomer meets it: the real binary, and what its guide says to try.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running demo and the guide that it printed.
struct Demo {
    child: Child,
    guide: String,
}

impl Demo {
    /// On free ports, so that tests never meet.
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sheave"))
            .arg("demo")
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the demo starts");
        let stdout = child.stdout.take().expect("piped");
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut demo = Self { child, guide: String::new() };
        while !demo.guide.contains("Ctrl-C") {
            demo.guide += &lines.recv_timeout(PATIENCE).expect("a whole guide");
            demo.guide.push('\n');
        }
        demo
    }

    fn on_free_ports() -> Self {
        let any = "127.0.0.1:0";
        Self::start(&["--http", any, "--https", any, "--admin", any])
    }

    /// What stands behind `label` at the top of the guide.
    fn place(&self, label: &str) -> &str {
        let mut lines = self.guide.lines().map(str::split_whitespace);
        let found = lines.find_map(|mut words| (words.next() == Some(label)).then(|| words.next()));
        found.flatten().unwrap_or_else(|| panic!("no {label} in\n{}", self.guide))
    }

    /// The URL in the guide that ends so.
    fn url(&self, end: &str) -> &str {
        let found = self.guide.split_whitespace().find(|word| word.ends_with(end));
        found.unwrap_or_else(|| panic!("no URL {end} in\n{}", self.guide))
    }

    /// What the command of the guide that has `word` in it prints.
    fn ran(&self, word: &str) -> String {
        let mut lines = self.guide.lines().filter(|line| line.contains(word));
        let line = lines.next().unwrap_or_else(|| panic!("no{word}in\n{}", self.guide));
        let ended = Command::new("sh").args(["-c", line]).output().expect("a shell");
        assert!(ended.status.success(), "{line}: {ended:?}");
        String::from_utf8(ended.stdout).expect("text")
    }

    fn directory(&self) -> PathBuf {
        Path::new(self.place("config")).parent().expect("directory").to_owned()
    }

    /// As many answers of the proxy as asked for, counted by the server's name.
    fn spread(&self, requests: usize) -> BTreeMap<String, usize> {
        let url = format!("{}/any/path", self.place("http"));
        let mut spread = BTreeMap::new();
        for _ in 0..requests {
            let (status, body) = ask(&url);
            assert_eq!(status, 200, "{body}");
            let name = body.split(':').next().expect("a name").to_owned();
            *spread.entry(name).or_default() += 1;
        }
        spread
    }

    fn await_spread(&self, requests: usize, wanted: &[(&str, usize)]) {
        let wanted: BTreeMap<_, _> = wanted.iter().map(|(it, n)| ((*it).to_owned(), *n)).collect();
        let begun = Instant::now();
        loop {
            let found = self.spread(requests);
            if found == wanted {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{found:?} instead of {wanted:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ctrl-C; gives the exit code.
    fn interrupt(mut self) -> Option<i32> {
        // The shell's own: a small image has no other.
        let kill = format!("kill -INT {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.expect("kill").success());
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("status") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the demo does not end");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Only a test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(url: &str) -> (u16, String) {
    let (authority, path) = split(url, "http://");
    exchange(TcpStream::connect(authority).expect(url), authority, path)
}

fn ask_tls(url: &str, certificate: &Path) -> (u16, String) {
    let (authority, path) = split(url, "https://");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("certificate")).expect("root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = authority.split(':').next().expect("host").to_owned();
    let name = ServerName::try_from(host).expect("name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("client");
    let tcp = TcpStream::connect(authority).expect(url);
    exchange(StreamOwned::new(tls, tcp), authority, path)
}

fn split<'a>(url: &'a str, scheme: &str) -> (&'a str, &'a str) {
    let rest = url.strip_prefix(scheme).expect(url);
    rest.find('/').map_or((rest, "/"), |at| rest.split_at(at))
}

fn exchange(mut stream: impl Read + Write, authority: &str, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head");
    let status = head.split(' ').nth(1).expect("status").parse().expect("number");
    (status, body.to_owned())
}

#[test]
fn the_guide_holds() {
    let demo = Demo::on_free_ports();
    let directory = demo.directory();
    // 1. The servers take turns, and see what the proxy adds.
    let evenly = [("server 1", 10), ("server 2", 10), ("server 3", 10)];
    demo.await_spread(30, &evenly);
    let (_, told) = ask(&format!("{}/some/path?x=y", demo.place("http")));
    assert!(told.contains(": GET /some/path?x=y\n"), "{told}");
    for field in ["host", "x-forwarded-for", "x-request-id", "via"] {
        assert!(told.contains(&format!("\n  {field} ")), "{told}");
    }
    // 2. TLS, by a certificate for that very address.
    let (status, told) = ask_tls(demo.place("https"), &directory.join("localhost.pem"));
    assert_eq!(status, 200);
    assert!(told.contains("x-forwarded-proto https\n"), "{told}");
    // 3. Nobody notices that a server stops.
    assert_eq!(ask(demo.url("/stop/2")).0, 200);
    let spread = demo.spread(200);
    assert_eq!(spread.keys().collect::<Vec<_>>(), ["server 1", "server 3"]);
    // 4. From inside.
    assert!(demo.ran(" status ").contains("\nservers  "));
    assert!(demo.ran(" explain ").contains("route     default:/*"));
    assert!(ask(demo.url("/upstreams")).1.contains("\"state\": \"up\""));
    assert!(ask(demo.url("/metrics")).1.contains("\nsheave_upstream_up{"));
    assert!(ask(demo.place("servers")).1.contains(": stopped "));
    // 5. It comes back.
    assert_eq!(ask(demo.url("/start/2")).0, 200);
    demo.await_spread(30, &evenly);
    // 6. The config, edited.
    let config = demo.place("config");
    let text = fs::read_to_string(config).expect("config");
    fs::write(config, text.replacen("weight = 1", "weight = 4", 1)).expect("edit");
    demo.await_spread(6, &[("server 1", 4), ("server 2", 1), ("server 3", 1)]);
    // Ctrl-C.
    assert_eq!(demo.interrupt(), Some(0));
    assert!(!directory.exists());
}

#[test]
fn a_port_that_is_asked_for_and_taken_is_an_error() {
    let demo = Demo::on_free_ports();
    let (taken, _) = split(demo.place("http"), "http://");
    let mut second = Command::new(env!("CARGO_BIN_EXE_sheave"));
    let second = second.args(["demo", "--http", taken]).output().expect("it ends");
    let told = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(3), "{told}");
    assert!(told.contains(&format!("[--http] can't bind {taken}")), "{told}");
    assert!(second.stdout.is_empty());
    assert_eq!(demo.interrupt(), Some(0));
}

#[test]
fn health_says_whether_the_daemon_lives() {
    let demo = Demo::on_free_ports();
    let url = format!("{}/live", demo.place("admin"));
    let health = || {
        let mut health = Command::new(env!("CARGO_BIN_EXE_sheave"));
        health.args(["health", "--url", &url]).output().expect("it ends")
    };
    assert_eq!(health().status.code(), Some(0));
    assert_eq!(demo.interrupt(), Some(0));
    let after = health();
    assert_eq!(after.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&after.stderr).starts_with(&url));
}
