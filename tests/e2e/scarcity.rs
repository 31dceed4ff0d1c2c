//! Not enough descriptors, and a disk that does not answer.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server, Step, certs,
    client::{get, request},
    secure::Http2,
    until,
};
use http_body_util::Full;
use std::{fs, process::Command, thread, time::Duration};

#[test]
fn many_clients_leave_descriptors_for_their_servers() {
    let server = Server::start("1");
    server.set(Behaviour::new([Step::Body, Step::Pause(Duration::from_millis(30)), Step::Name]));
    let daemon = Daemon::start_limited(&Config::to([&server]).quiet(), "--nofile=64:64");
    let address = daemon.http();
    let asking: Vec<_> = (0..200)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                client.ask(&request("GET", "/", "Connection: close\r\n", "")).status
            })
        })
        .collect();
    let statuses: Vec<u16> = asking.into_iter().map(|it| it.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|it| **it == 200).count(), 200, "{statuses:?}");
    assert_eq!(daemon.count("sheave_accept_errors_total", &[]), 0);
    assert!(daemon.count("sheave_connections_max", &[]) < 20);
    daemon.log.wait_for("a warning", |line| line.contains("as the limit of open files allows"));
}

/// Their connections are few, so that all are accepted; the descriptors run out for the server's.
#[test]
fn many_streams_of_few_clients_wait_for_descriptors() {
    let server = Server::start("1");
    server.set(Behaviour::new([Step::Body, Step::Pause(Duration::from_millis(30)), Step::Name]));
    // A busy machine takes its time.
    let config = Config::to([&server]).quiet().route("timeouts.connect = \"15s\"");
    let daemon = Daemon::start_limited(&config, "--nofile=64:64");
    let address = daemon.http();
    let asking: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(move || {
                let get = || http::Request::get("http://localhost/").body(Full::default());
                let requests = (0..100).map(|_| get().unwrap()).collect();
                let answers = Http2::connect_plain(address).send_all(requests);
                answers.into_iter().map(|it| it.map(|it| it.status)).collect::<Vec<_>>()
            })
        })
        .collect();
    let answers: Vec<_> = asking.into_iter().flat_map(|it| it.join().unwrap()).collect();
    assert_eq!(answers.iter().filter(|it| **it == Ok(200)).count(), 300, "{answers:?}");
    assert!(server.open_connections() < 60);
}

/// Idle connections to one server do not keep another from being asked.
#[test]
fn idle_connections_are_given_up_for_want_of_descriptors() {
    let (many, one) = (Server::start("many"), Server::start("one"));
    many.set(Behaviour::new([Step::Body, Step::Pause(Duration::from_millis(100)), Step::Name]));
    let upstream = format!("[upstream.one]\nservers = [{{ address = \"{one}\" }}]");
    let config = Config::to([&many])
        .workers(1)
        .route_before("path = \"/one\"\nupstream = \"one\"\ntimeouts.connect = \"1s\"")
        .rest(&upstream);
    let daemon = Daemon::start_limited(&config, "--nofile=64:64");
    let client = Http2::connect_plain(daemon.http());
    let get = |path: &str| http::Request::get(format!("http://localhost{path}"));
    let requests = (0..100).map(|_| get("/").body(Full::default()).unwrap()).collect();
    for answer in client.send_all(requests) {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert!(many.open_connections() > 0, "they are idle now");
    let lowest = (0..1000).find(|n| !daemon.has_descriptor(*n)).unwrap();
    daemon.shell(&format!("prlimit --pid $0 --nofile={lowest}:"));
    let answer = client.get("http://localhost/one").unwrap();
    assert_eq!((answer.status, answer.body), (200, b"one".to_vec()));
}

/// Each worker keeps its own connections: one that cannot open any must not wait for those that
/// another keeps in vain.
#[test]
fn idle_connections_of_one_worker_are_given_up_for_another() {
    let server = Server::start("1");
    server.set(Behaviour::new([Step::Body, Step::Pause(Duration::from_millis(100)), Step::Name]));
    let config = Config::to([&server]).workers(2).route("timeouts.connect = \"8s\"");
    let daemon = Daemon::start(&config);
    let ask = || http::Request::get("http://localhost/").body(Full::default()).unwrap();
    // The kernel deals connections out to the workers: of ten, some are the other's.
    let clients: Vec<_> = (0..10).map(|_| Http2::connect_plain(daemon.http())).collect();
    for answer in clients[0].send_all((0..20).map(|_| ask()).collect()) {
        assert_eq!(answer.unwrap().status, 200);
    }
    let lowest = (0..1000).find(|n| !daemon.has_descriptor(*n)).unwrap();
    daemon.shell(&format!("prlimit --pid $0 --nofile={lowest}:"));
    for client in &clients {
        assert_eq!(client.send(ask()).unwrap().status, 200);
    }
}

fn saying(word: &str) -> Config {
    let route = format!("path = \"/*\"\nrespond = {{ body = \"{word}\" }}\n");
    Config::bare().workers(1).rest(&format!("[[site]]\n[[site.route]]\n{route}"))
}

#[test]
fn a_want_of_descriptors_is_no_change_of_the_config() {
    let daemon = Daemon::start(&saying("one"));
    daemon.shell("prlimit --pid $0 --nofile=4:");
    // Something moves beside it, so it is looked at.
    for n in 0..3 {
        fs::write(daemon.path("other"), [n]).unwrap();
        thread::sleep(Duration::from_millis(400));
    }
    daemon.shell("prlimit --pid $0 --nofile=1024:");
    daemon.rewrite_config(&saying("two").text());
    until("the new config", || get(daemon.http(), "/").text() == "two");
    assert_eq!(daemon.count("sheave_reloads_total", &[("result", "failure")]), 0);
    assert_eq!(daemon.count("sheave_reloads_total", &[("result", "success")]), 1);
}

#[test]
fn a_listener_without_a_descriptor_in_a_worker_accepts_once_there_is_one() {
    let daemon = Daemon::start(&saying("one"));
    let before = daemon.http();
    // Once the worker has answered, it has opened all that it needs.
    let mut client = Client::connect(before);
    assert_eq!(client.get("/").text(), "one");
    // One for the listener, and none for the worker's; and only then a change.
    let lowest = (0..1000).find(|n| !daemon.has_descriptor(*n)).unwrap();
    daemon.shell(&format!("prlimit --pid $0 --nofile={}:", lowest + 1));
    let more = saying("one").rest("[listener.more]\naddress = \"127.0.0.1:0\"");
    daemon.rewrite_config(&more.text());
    daemon.log.wait_for("a refusal", |line| line.contains("can't accept in this worker"));
    daemon.shell("prlimit --pid $0 --nofile=1024:");
    assert_eq!(get(daemon.address("more"), "/").text(), "one");
    assert_eq!(get(before, "/").text(), "one");
}

#[test]
fn a_disk_that_hangs_holds_up_neither_the_admin_address_nor_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", certs::Kind::Ecdsa, &["localhost"]);
    let tls = "tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]";
    let mut daemon = Daemon::start_in(dir, &saying("one").listener(tls).text());
    // Opening a pipe that nobody writes to waits, as a dead NFS server makes one wait.
    fs::remove_file(daemon.path("site.pem")).unwrap();
    let made = Command::new("mkfifo").arg(daemon.path("site.pem")).status();
    assert!(made.unwrap().success());
    daemon.log.wait_for("a warning", |line| line.contains("does their disk hang?"));
    assert_eq!(get(daemon.admin(), "/live").status, 200);
    // A reload waits for the disk, and nobody for the reload.
    daemon.signal("HUP");
    let admin = daemon.admin();
    let waiting = thread::spawn(move || {
        Client::connect(admin).ask(&request("POST", "/reload", "", "")).status
    });
    assert_eq!(get(daemon.admin(), "/live").status, 200);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
    // It is told so, or it ends with the process.
    assert_ne!(waiting.join().unwrap_or(503), 200);
}
