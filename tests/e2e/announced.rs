//! The PROXY protocol to servers: who they are told the client is, and that no connection serves two.

use crate::rig::{
    Config, Daemon, Server,
    certs::{self, Kind},
    client::{self, Client},
    front::Front,
    until,
};
use std::net::SocketAddr;

/// What a header says: source and destination, or nobody.
fn told(header: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    if header.starts_with(b"PROXY ") {
        let line = std::str::from_utf8(header).unwrap().trim_end();
        let words: Vec<_> = line.split(' ').collect();
        if words[1] == "UNKNOWN" {
            return None;
        }
        let at = |ip: usize, port: usize| format!("{}:{}", words[ip], words[port]);
        assert_eq!((words.len(), words[1]), (6, "TCP4"), "{line}");
        return Some((at(2, 4).parse().unwrap(), at(3, 5).parse().unwrap()));
    }
    assert_eq!(&header[..12], b"\r\n\r\n\0\r\nQUIT\n");
    match header[12..16] {
        [0x20, 0, 0, 0] => None,
        [0x21, 0x11, 0, 12] => {
            let ip = |at: usize| <[u8; 4]>::try_from(&header[at..at + 4]).unwrap();
            let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
            Some(((ip(16), port(24)).into(), (ip(20), port(26)).into()))
        }
        _ => panic!("{header:?}"),
    }
}

fn headers(front: &Front) -> Vec<Option<(SocketAddr, SocketAddr)>> {
    front.seen().iter().map(|seen| told(&seen.proxy_header)).collect()
}

/// The two ends of a client's connection, as it sees them.
fn ends(client: &Client) -> (SocketAddr, SocketAddr) {
    let stream = client.stream();
    (stream.local_addr().unwrap(), stream.peer_addr().unwrap())
}

#[test]
fn servers_are_told_both_ends_and_each_client_has_its_own_connection() {
    for version in ["v1", "v2"] {
        let server = Server::start("1");
        let front = Front::start(&server, None, true);
        let upstream = format!("proxy_protocol = \"{version}\"");
        let config = Config::bare().address(&front.address, "").upstream(&upstream).workers(1);
        let daemon = Daemon::start(&config);
        let (mut one, mut other) = (Client::connect(daemon.http()), Client::connect(daemon.http()));
        for _ in 0..3 {
            assert_eq!(one.get("/").text(), "1");
            assert_eq!(other.get("/").text(), "1");
        }
        assert_eq!(headers(&front), [Some(ends(&one)), Some(ends(&other))], "{version}");
    }
}

#[test]
fn the_header_comes_before_tls() {
    let (dir, server) = (tempfile::tempdir().unwrap(), Server::start("1"));
    certs::write_authority(dir.path(), "ca");
    certs::write(dir.path(), "server", Kind::Ecdsa, &["localhost"]);
    let tls = certs::server_config(dir.path(), "server", false);
    let front = Front::start(&server, Some(tls), true);
    let config = Config::bare()
        .address(&front.address, "")
        .upstream("proxy_protocol = \"v2\"\ntls = { ca = \"ca.pem\", name = \"localhost\" }");
    let daemon = Daemon::start_in(dir, &config.text());
    let mut client = Client::connect(daemon.http());
    assert_eq!(client.get("/").text(), "1");
    assert_eq!(headers(&front), [Some(ends(&client))]);
}

#[test]
fn health_checks_are_about_no_client() {
    for version in ["v1", "v2"] {
        let server = Server::start("1");
        let front = Front::start(&server, None, true);
        let config = Config::bare().address(&front.address, "").upstream(&format!(
            "proxy_protocol = \"{version}\"\nhealth_check = {{ path = \"/up\", interval = \"1h\" }}"
        ));
        let _daemon = Daemon::start(&config);
        server.wait_for_requests(1);
        assert_eq!(headers(&front), [None], "{version}");
    }
}

#[test]
fn connections_of_many_clients_are_kept_within_one_limit() {
    let server = Server::start("1");
    let front = Front::start(&server, None, true);
    let config = Config::bare()
        .address(&front.address, "")
        .upstream("proxy_protocol = \"v1\"\nkeepalive = 2")
        .workers(1);
    let daemon = Daemon::start(&config);
    for _ in 0..6 {
        assert_eq!(client::get(daemon.http(), "/").text(), "1");
    }
    assert_eq!(front.seen().len(), 6);
    until("all but two to be closed", || server.open_connections() == 2);
}

#[test]
fn a_client_that_was_there_before_the_reload_is_told_of_by_its_address() {
    let server = Server::start("1");
    let front = Front::start(&server, None, true);
    let plain = Config::to([&server]);
    let daemon = Daemon::start(&plain);
    let mut client = Client::connect(daemon.http());
    assert_eq!(client.get("/").text(), "1");
    daemon.reconfigure(
        &Config::bare().address(&front.address, "").upstream("proxy_protocol = \"v2\""),
    );
    assert_eq!(client.get("/").text(), "1");
    let nowhere = ("127.0.0.1:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
    assert_eq!(headers(&front), [Some(nowhere)]);
}

#[test]
fn what_a_balancer_in_front_of_us_says_is_passed_on() {
    let server = Server::start("1");
    let front = Front::start(&server, None, true);
    let config = Config::bare()
        .address(&front.address, "")
        .upstream("proxy_protocol = \"v1\"")
        .listener("proxy_protocol.from = [\"127.0.0.0/8\"]");
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    client.send("PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n");
    assert_eq!(client.get("/").text(), "1");
    let ends = ("192.0.2.1:4711".parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    assert_eq!(headers(&front), [Some(ends)]);
}
