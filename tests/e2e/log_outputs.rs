//! Where the lines of access logs go: files that are rotated, syslog, sockets.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server, client::get, eventually, until,
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::net::{UnixDatagram, UnixListener},
    path::PathBuf,
    thread,
    time::Duration,
};

/// Everything is answered by the daemon itself.
fn answering(log: &str) -> Config {
    let site =
        "[[site]]\nname = \"main\"\n[[site.route]]\npath = \"/*\"\nrespond = { body = \"x\" }\n";
    Config::bare().rest(site).rest(log).quiet()
}

/// The texts of all files with such a name, once there are so many lines in them and nothing is
/// written or renamed any more.
fn files(daemon: &Daemon, names: [&str; 2], lines: usize) -> Vec<String> {
    let read = || -> Vec<String> {
        let all = fs::read_dir(daemon.path(".")).unwrap().map(|it| it.unwrap().path());
        let is_log = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            names.iter().any(|it| name.starts_with(it))
        };
        all.filter(is_log).filter_map(|path| fs::read_to_string(path).ok()).collect()
    };
    let mut last = Vec::new();
    eventually(&format!("{lines} lines"), || {
        let before = std::mem::replace(&mut last, read());
        let count = last.iter().flat_map(|it| it.lines()).count();
        (before == last && count >= lines).then(|| last.clone())
    })
}

/// The numbers of the requests in these lines; fails if a line is no JSON.
fn numbers<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<usize> {
    let number = |line: &str| -> usize {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}"));
        line["uri"].as_str().unwrap().trim_start_matches('/').parse().unwrap()
    };
    lines.into_iter().map(number).collect()
}

fn numbered(number: usize) -> String {
    format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[test]
fn no_line_is_lost_or_torn_while_the_file_is_rotated() {
    let log = "[access_log]\npath = \"access.log\"\nrotate = { size = \"16KiB\", keep = 1000 }";
    let daemon = Daemon::start(&answering(log));
    Load::on(daemon.http()).requests(3000).asking(numbered).run().expect_no_failure();
    let files = files(&daemon, ["access.log"; 2], 3000);
    let lines = numbers(files.iter().flat_map(|it| it.lines()));
    assert_eq!(lines.len(), 3000);
    assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), (0..3000).collect());
    assert!(files.len() > 30, "{} files", files.len());
    for file in &files {
        assert!(file.len() <= 16 << 10 && file.ends_with('\n'), "{} bytes", file.len());
    }
    assert_eq!(daemon.count("sheave_access_log_dropped_total", &[]), 0);
}

#[test]
fn only_so_many_old_files_are_kept() {
    let log = "[access_log]\npath = \"access.log\"\nrotate = { size = \"4KiB\", keep = 2 }";
    let daemon = Daemon::start(&answering(log));
    for old in 1..6 {
        fs::write(daemon.path(&format!("access.log.{old}")), "old\n").unwrap();
    }
    Load::on(daemon.http()).connections(1).requests(200).asking(numbered).run().expect_no_failure();
    daemon.wait_for_access("the last one", |line| line["uri"] == "/199");
    assert_eq!(files(&daemon, ["access.log"; 2], 1).len(), 3);
    assert!(!daemon.path("access.log.5").exists());
}

#[test]
fn a_file_may_be_moved_away_under_it_too() {
    let log = "[access_log]\npath = \"access.log\"\nrotate = { size = \"16KiB\", keep = 1000 }";
    let daemon = Daemon::start(&answering(log));
    let load = Load::on(daemon.http()).requests(2000).asking(numbered).start();
    for round in 1..5 {
        load.wait_for(round * 400);
        // It may have been rotated in this moment.
        if fs::rename(daemon.path("access.log"), daemon.path(&format!("moved.{round}"))).is_ok()
            && round % 2 == 0
        {
            daemon.signal("USR1");
        }
    }
    load.finish().expect_no_failure();
    let files = files(&daemon, ["access.log", "moved."], 2000);
    let all = numbers(files.iter().flat_map(|it| it.lines()));
    assert_eq!(all.len(), 2000);
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), (0..2000).collect());
}

#[test]
fn a_file_that_cannot_be_renamed_is_written_on_and_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("access.log.1/in-the-way")).unwrap();
    let log = "[access_log]\npath = \"access.log\"\nrotate = { size = \"4KiB\", keep = 1 }";
    let daemon = Daemon::start_in(dir, &answering(log).text());
    Load::on(daemon.http()).requests(200).asking(numbered).run().expect_no_failure();
    until("every line", || daemon.access_log().len() == 200);
    let told = |line: &String| line.contains("can't be rotated");
    assert_eq!(daemon.log.lines().iter().filter(|it| told(it)).count(), 1);
}

#[test]
fn syslog_by_udp_has_a_message_for_each_line() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = receiver.local_addr().unwrap();
    let log =
        format!("[access_log]\nsyslog = \"udp:{address}\"\nfacility = \"local0\"\ntag = \"edge\"");
    let daemon = Daemon::start(&answering(&log));
    // Of one worker, so that the lines are in their order.
    let mut client = Client::connect(daemon.http());
    for path in ["/1", "/2"] {
        client.get(path);
    }
    let mut message = [0; 4096];
    for path in ["/1", "/2"] {
        let length = receiver.recv(&mut message).unwrap();
        is_message(&message[..length], 16, "edge", path);
    }
}

/// Checks a message of RFC 5424 with a line in it.
fn is_message(message: &[u8], facility: u8, tag: &str, path: &str) {
    let text = std::str::from_utf8(message).unwrap();
    let mut parts = text.splitn(8, ' ');
    let mut next = || parts.next().unwrap();
    assert_eq!(next(), format!("<{}>1", facility * 8 + 6), "{text}");
    assert!(next().ends_with('Z'), "{text}");
    next();
    assert_eq!(next(), tag, "{text}");
    assert!(next().parse::<u32>().is_ok(), "{text}");
    assert_eq!([next(), next()], ["access", "-"], "{text}");
    let line: Value = serde_json::from_str(next()).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(line["uri"], path);
}

#[test]
fn syslog_by_a_unix_socket_goes_on_after_the_server_was_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dev-log");
    let bind = |path| {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    };
    let receiver = bind(&path);
    let daemon =
        Daemon::start_in(dir, &answering("[access_log]\nsyslog = \"unix:dev-log\"").text());
    let mut message = [0; 4096];
    get(daemon.http(), "/before");
    let length = receiver.recv(&mut message).unwrap();
    is_message(&message[..length], 23, "sheave", "/before");
    drop(receiver);
    fs::remove_file(daemon.path("dev-log")).unwrap();
    get(daemon.http(), "/meanwhile");
    daemon.log.wait_for("the failure", |line| line.contains("lines can't be sent"));
    let receiver = bind(&daemon.path("dev-log"));
    let length = receiver.recv(&mut message).unwrap();
    is_message(&message[..length], 23, "sheave", "/meanwhile");
    daemon.log.wait_for("the recovery", |line| line.contains("are taken again"));
    assert_eq!(daemon.count("sheave_access_log_dropped_total", &[]), 0);
}

#[test]
fn syslog_by_tcp_counts_the_bytes_of_each_message() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = format!("[access_log]\nsyslog = \"tcp:{}\"", listener.local_addr().unwrap());
    let daemon = Daemon::start(&answering(&log));
    let mut client = Client::connect(daemon.http());
    for path in ["/1", "/2", "/3"] {
        client.get(path);
    }
    let mut stream = BufReader::new(accepted(&listener));
    for path in ["/1", "/2", "/3"] {
        let mut length = Vec::new();
        stream.read_until(b' ', &mut length).unwrap();
        let length: usize = String::from_utf8(length).unwrap().trim().parse().unwrap();
        let mut message = vec![0; length];
        std::io::Read::read_exact(&mut stream, &mut message).unwrap();
        is_message(&message, 23, "sheave", path);
    }
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The next lines of a collector's connection.
fn lines(stream: &mut impl BufRead, count: usize) -> Vec<usize> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        lines.push(line);
    }
    numbers(lines.iter().map(String::as_str))
}

#[test]
fn a_collector_that_goes_away_and_comes_back_gets_what_came_meanwhile() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let daemon = Daemon::start(&answering(&format!("[access_log]\naddress = \"tcp:{address}\"")));
    let load = |from: usize| {
        let ask = move |number| numbered(from + number);
        Load::on(daemon.http()).requests(500).asking(ask).run().expect_no_failure();
    };
    load(0);
    let mut stream = BufReader::new(accepted(&listener));
    let mut first = lines(&mut stream, 500);
    first.sort_unstable();
    assert_eq!(first, (0..500).collect::<Vec<_>>());
    drop((stream, listener));
    load(500);
    daemon.log.wait_for("the failure", |line| line.contains("lines can't be sent"));
    load(1000);
    let listener = again(address);
    let mut second = lines(&mut BufReader::new(accepted(&listener)), 1000);
    second.sort_unstable();
    assert_eq!(second, (500..1500).collect::<Vec<_>>());
    daemon.log.wait_for("the recovery", |line| line.contains("are taken again"));
    assert_eq!(daemon.count("sheave_access_log_dropped_total", &[]), 0);
}

/// Listens where something has listened before.
fn again(address: SocketAddr) -> TcpListener {
    eventually("the address to be free", || TcpListener::bind(address).ok())
}

#[test]
fn a_collector_that_is_away_costs_lines_and_no_waiting() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let log = format!("[access_log]\naddress = \"tcp:{address}\"\nbuffer = \"64KiB\"");
    let mut daemon = Daemon::start(&answering(&log).workers(1));
    let mut client = Client::connect(daemon.http());
    let path = format!("/{}", "x".repeat(4000));
    for _ in 0..100 {
        assert_eq!(client.get(&path).status, 200);
    }
    until("lines to be lost", || daemon.count("sheave_access_log_dropped_total", &[]) > 0);
    let dropped = daemon.count("sheave_access_log_dropped_total", &[]);
    assert!(dropped < 100, "{dropped}");
    daemon.log.wait_for("a warning", |line| line.contains("access log lines are lost"));
    assert_eq!(daemon.admin_json("/health").1["status"], "degraded");
    // A stop does not wait for it.
    drop(client);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
}

#[test]
fn a_unix_stream_takes_lines_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("logs.sock")).unwrap();
    let log = "[access_log]\naddress = \"unix:logs.sock\"\nfields = [\"uri\"]";
    let daemon = Daemon::start_in(dir, &answering(log).text());
    get(daemon.http(), "/here");
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "{\"uri\":\"/here\"}\n");
}

#[test]
fn stderr_is_a_place_for_the_access_log() {
    let daemon = Daemon::start(&answering("[access_log]\npath = \"stderr\"\nfields = [\"uri\"]"));
    get(daemon.http(), "/on-stderr");
    daemon.log.wait_for("the request", |line| line == "{\"uri\":\"/on-stderr\"}");
}

#[test]
fn the_slow_log_has_the_slow_requests_and_their_phases() {
    let server = Server::start("1");
    let logs = "[access_log]\npath = \"access.log\"\n[slow_log]\nlonger_than = \"150ms\"\npath = \"slow.log\"";
    let daemon = Daemon::start(&Config::to([&server]).rest(logs));
    get(daemon.http(), "/fast");
    let gate = Gate::default();
    server.set(Behaviour::gated(&gate));
    let address = daemon.http();
    let slow = thread::spawn(move || get(address, "/slow"));
    server.wait_for_requests(2);
    // The time that is to be seen in the log.
    thread::sleep(Duration::from_millis(200));
    gate.open();
    slow.join().unwrap();
    daemon.wait_for_access("the slow one", |line| line["uri"] == "/slow");
    let text = eventually("a line", || {
        fs::read_to_string(daemon.path("slow.log")).ok().filter(|it| it.ends_with('\n'))
    });
    let line: Value = serde_json::from_str(text.trim()).expect("one line");
    assert_eq!(line["uri"], "/slow");
    assert!(line["first_byte_ms"].as_f64().is_some_and(|it| it >= 200.0), "{line}");
    for phase in ["queue_ms", "body_ms", "client_ms"] {
        assert!(line[phase].as_f64().is_some_and(|it| it < 200.0), "{phase} in {line}");
    }
    assert!(daemon.access_log()[0].get("queue_ms").is_none(), "the access log is as it was");
}
