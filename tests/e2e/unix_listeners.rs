//! Listeners and the admin address as Unix sockets: their files, their clients, who these are.

use crate::rig::{
    Behaviour, Client, Config, Daemon, PATIENCE, Server,
    client::{self, request},
    daemon::run_to_end,
    eventually,
    secure::Http2,
    until,
};
use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
};

const LOCAL: &str = "[listener.local]\naddress = \"unix:sheave.sock\"";

fn try_connect(path: &Path) -> io::Result<Client<UnixStream>> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(Client::over(stream))
}

fn connect(path: &Path) -> Client<UnixStream> {
    try_connect(path).expect("the daemon accepts connections")
}

/// A daemon with the listener `local` beside `http`, and where it is.
fn start(config: Config) -> (Daemon, PathBuf) {
    let daemon = Daemon::start(&config.rest(LOCAL));
    let path = daemon.path("sheave.sock");
    (daemon, path)
}

#[test]
fn requests_come_by_a_unix_socket() {
    let server = Server::start("1");
    let (daemon, path) = start(Config::to([&server]).workers(4));
    let mut client = connect(&path);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "1");
    }
    let head = server.last_request().head;
    assert_eq!(head.field("x-forwarded-for"), Some("unix:"));
    assert_eq!(head.field("x-real-ip"), Some("unix:"));
    let line = daemon.wait_for_access("a client without an address", |it| it["client"] == "unix:");
    assert_eq!(line["listener"], "local");
    let asking: Vec<_> = (0..32)
        .map(|_| {
            let path = path.clone();
            thread::spawn(move || connect(&path).get("/").status)
        })
        .collect();
    assert!(asking.into_iter().all(|it| it.join().unwrap() == 200));
    until("all to be gone but one", || {
        daemon.count("sheave_connections_open", &[("listener", "local")]) == 1
    });
    assert_eq!(daemon.count("sheave_connections_total", &[("listener", "local")]), 33);
}

#[test]
fn large_bodies_pass_both_ways_and_files_too() {
    let server = Server::start("1");
    let body = "0123456789abcdef".repeat(200_000);
    server.set(Behaviour::status(200, &body));
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("public")).unwrap();
    fs::write(dir.path().join("public/large"), &body).unwrap();
    let files = "path = \"/files/*\"\nstrip_prefix = \"/files\"\nfiles.root = \"public\"";
    let config = Config::to([&server]).route_before(files).rest(LOCAL);
    let daemon = Daemon::start_in(dir, &config.text());
    let mut client = connect(&daemon.path("sheave.sock"));
    assert!(client.ask(&request("POST", "/", "", &body)).text() == body);
    assert!(server.last_request().body == body.as_bytes());
    assert!(client.get("/files/large").text() == body);
}

#[test]
fn http2_comes_by_a_unix_socket_too() {
    let server = Server::start("1");
    let (_daemon, path) = start(Config::to([&server]));
    let client = Http2::connect_unix(&path);
    assert_eq!(client.get("http://localhost/").unwrap().status, 200);
    assert_eq!(server.last_request().head.field("x-forwarded-for"), Some("unix:"));
}

#[test]
fn a_proxy_at_a_unix_socket_can_be_trusted() {
    let server = Server::start("1");
    let get = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7, unix:\r\n\r\n";
    for (trusted, client, passed) in [
        ("", "unix:", "unix:"),
        ("trusted_proxies = [\"unix:\"]", "192.0.2.7", "192.0.2.7, unix:, unix:"),
    ] {
        let (_daemon, path) = start(Config::to([&server]).top(trusted));
        assert_eq!(connect(&path).ask(get).status, 200);
        let head = server.last_request().head;
        assert_eq!(head.field("x-real-ip"), Some(client));
        assert_eq!(head.field("x-forwarded-for"), Some(passed));
    }
}

#[test]
fn the_proxy_protocol_comes_by_a_unix_socket_too() {
    let server = Server::start("1");
    let local = format!("{LOCAL}\nproxy_protocol.from = [\"unix:\"]");
    let daemon = Daemon::start(&Config::to([&server]).rest(&local));
    let mut client = connect(&daemon.path("sheave.sock"));
    client.send("PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(server.last_request().head.field("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn clients_of_a_unix_socket_are_one_for_ip_hash() {
    let servers = Server::start_several(3);
    let (_daemon, path) = start(Config::to(&servers).upstream("strategy = \"ip_hash\""));
    let first = connect(&path).get("/").text();
    for _ in 0..5 {
        assert_eq!(connect(&path).get("/").text(), first);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn who_may_connect_is_the_files_mode() {
    let server = Server::start("1");
    let (daemon, path) = start(Config::to([&server]));
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    assert_eq!(mode(&path), 0o666);
    daemon.reconfigure(&Config::to([&server]).rest(&format!("{LOCAL}\nmode = \"0600\"")));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(connect(&path).get("/").status, 200);
}

#[test]
fn a_socket_that_nobody_listens_on_any_more_is_replaced() {
    let server = Server::start("1");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sheave.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _daemon = Daemon::start_in(dir, &Config::to([&server]).rest(LOCAL).text());
    assert_eq!(connect(&path).get("/").status, 200);
}

#[test]
fn what_else_is_at_its_path_stays_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str| {
        let text = format!(
            "admin.enabled = false\n[listener.a]\naddress = \"unix:{name}\"\n[[site]]\n[[site.route]]\nrespond.body = \"a\""
        );
        fs::write(dir.path().join("sheave.toml"), text).unwrap();
        let output = run_to_end(dir.path(), &["run", "--config", "sheave.toml"]);
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8(output.stderr).unwrap()
    };
    let _living = UnixListener::bind(dir.path().join("living.sock")).unwrap();
    let told = run("living.sock");
    assert!(told.contains("another process, maybe another sheave, listens there"), "{told}");
    fs::write(dir.path().join("a.txt"), "not to be lost").unwrap();
    let told = run("a.txt");
    assert!(told.contains("[listener.a] can't bind unix:"), "{told}");
    assert!(told.contains("a file that is no socket is there"), "{told}");
    assert!(dir.path().join("a.txt").exists());
    let told = run("no/such.sock");
    assert!(told.contains("make the directory"), "{told}");
}

#[test]
fn it_goes_at_a_stop_and_not_before() {
    let server = Server::start("1");
    let (mut daemon, path) = start(Config::to([&server]));
    let before = fs::metadata(&path).unwrap().ino();
    let mut client = connect(&path);
    assert_eq!(client.get("/").status, 200);
    daemon.reconfigure(&Config::to([&server]).rest(LOCAL).route("max_body = \"1MiB\""));
    // Another name takes over the same file.
    let renamed = LOCAL.replace("local", "other");
    daemon.reconfigure(&Config::to([&server]).rest(&renamed));
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    assert_eq!(connect(&path).get("/").status, 200);
    // Another path is bound before the first one goes.
    daemon.reconfigure(&Config::to([&server]).rest(&renamed.replace("sheave.sock", "new.sock")));
    assert!(!path.exists());
    assert_eq!(connect(&daemon.path("new.sock")).get("/").status, 200);
    // A config that can't be used leaves what runs, and nothing else.
    let broken = format!("{LOCAL}\n{}", "[listener.b]\naddress = \"unix:no/such.sock\"");
    daemon.rewrite_config(&Config::to([&server]).rest(&broken).text());
    assert_eq!(daemon.reload().status, 422);
    assert!(!path.exists());
    assert_eq!(connect(&daemon.path("new.sock")).get("/").status, 200);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
    assert!(!daemon.path("new.sock").exists());
}

#[test]
fn the_admin_address_is_a_unix_socket() {
    let server = Server::start("1");
    let config =
        |path: &str| Config::to([&server]).rest(&format!("[admin]\naddress = \"unix:{path}\""));
    let mut daemon = Daemon::start(&config("admin.sock"));
    let path = daemon.path("admin.sock");
    assert_eq!(mode(&path), 0o660);
    assert_eq!(connect(&path).get("/live").status, 200);
    let dir = path.parent().unwrap();
    for (url, code) in [
        ("unix:admin.sock", 0),
        ("unix:admin.sock:/ready", 0),
        ("unix:admin.sock:/nothing", 1),
        ("unix:nothing.sock", 1),
    ] {
        let output = run_to_end(dir, &["health", "--url", url]);
        assert_eq!(output.status.code(), Some(code), "{url}");
    }
    let reload = "POST /reload HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(connect(&path).ask(reload).status, 200);
    daemon.rewrite_config(&config("other.sock").text());
    assert_eq!(connect(&path).ask(reload).status, 200);
    until("the old socket to go", || !path.exists());
    assert_eq!(connect(&daemon.path("other.sock")).get("/live").status, 200);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
    assert!(!daemon.path("other.sock").exists());
}

#[test]
fn what_a_killed_daemon_left_does_not_stop_thenext() {
    let server = Server::start("1");
    let config = Config::to([&server]).rest(LOCAL);
    let (mut daemon, path) = start(Config::to([&server]));
    daemon.signal("KILL");
    assert_eq!(daemon.wait_exit(), None);
    assert!(path.exists());
    let moved = tempfile::tempdir().unwrap();
    let left = moved.path().join("sheave.sock");
    fs::rename(&path, &left).unwrap();
    let next = Daemon::start_in(moved, &config.text());
    let mut client = eventually("a connection", || try_connect(&left).ok());
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client::get(next.http(), "/").status, 200);
}
