//! IPv6 wherever an address is written: listeners, clients, hosts, servers, the admin address.

use crate::rig::{
    Client, Config, Daemon, Server,
    client::{self, ask},
    daemon::run_to_end,
};
use std::{
    io::{Read, Write},
    net::{Ipv6Addr, SocketAddr, TcpListener},
    thread,
};

/// Where a daemon listens whose address is `address`.
fn listening(server: &Server, address: &str) -> (Daemon, SocketAddr) {
    let more = format!("[listener.more]\naddress = \"{address}\"");
    let config = Config::to([server]).top("trusted_proxies = [\"2001:db8::/32\"]").rest(&more);
    let daemon = Daemon::start(&config);
    let address = daemon.address("more");
    (daemon, address)
}

#[test]
fn every_address_is_of_ipv4_and_ipv6() {
    let server = Server::start("1");
    for all in ["[::]:0", ":0"] {
        let (_daemon, address) = listening(&server, all);
        for (ip, client) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
            let address = SocketAddr::new(ip.parse().unwrap(), address.port());
            assert_eq!(client::get(address, "/").status, 200);
            assert_eq!(server.last_request().head.field("x-forwarded-for"), Some(client));
        }
    }
}

#[test]
fn one_address_in_all_its_notations() {
    let server = Server::start("1");
    // The last two: IPv4 in disguise, and with the interface that it is on.
    for (one, from) in
        [("[::1]:0", "::1"), ("[::ffff:127.0.0.1]:0", "127.0.0.1"), ("[::1%lo]:0", "::1")]
    {
        let (daemon, address) = listening(&server, one);
        assert_eq!(client::get(address, "/").status, 200, "{one}");
        assert_eq!(server.last_request().head.field("x-real-ip"), Some(from));
        daemon.wait_for_access("its client", |it| it["client"] == from);
    }
}

#[test]
fn an_interface_that_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let text = "[listener.a]\naddress = \"[fe80::1%nothere]:80\"\n[[site]]\n[[site.route]]\nrespond.body = \"\"";
    std::fs::write(dir.path().join("sheave.toml"), text).unwrap();
    let output = run_to_end(dir.path(), &["check", "--config", "sheave.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("there is no network interface `nothere`"), "{told}");
}

#[test]
fn hosts_are_addresses_in_brackets_and_clients_are_told_as_such() {
    let server = Server::start("1");
    let site = "[[site]]\nhosts = [\"[2001:db8::1]\"]\n[[site.route]]\nrespond.body = \"{host} {client_ip}\"";
    let config = Config::to([&server]).top("trusted_proxies = [\"127.0.0.0/8\"]").rest(site);
    let daemon = Daemon::start(&config);
    for (host, forwarded) in [
        ("[2001:db8::1]", "2001:db8::2"),
        ("[2001:DB8:0::1]:8080", "[2001:db8::2]:4711"),
        ("[2001:db8:0:0::1]:8080", "[2001:0db8::2]"),
    ] {
        let get = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {forwarded}\r\n\r\n");
        assert_eq!(ask(daemon.http(), &get).text(), "[2001:db8::1] 2001:db8::2");
    }
}

#[test]
fn a_server_and_the_admin_address_are_of_ipv6() {
    let socket = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = socket.accept() {
            let mut room = [0; 4096];
            let _ = stream.read(&mut room);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6");
        }
    });
    let rest = format!(
        "[upstream.six]\nservers = [{{ address = \"{address}\" }}]\n[[site]]\n[[site.route]]\n\
         upstream = \"six\"\n[admin]\naddress = \"[::1]:0\""
    );
    let daemon = Daemon::start(&Config::bare().rest(&rest));
    assert_eq!(Client::connect(daemon.http()).get("/").text(), "v6");
    assert!(daemon.admin().is_ipv6());
    assert_eq!(daemon.server_state(&address.to_string())["state"], "up");
    let url = format!("http://{}", daemon.admin());
    let output = run_to_end(daemon.path(".").as_path(), &["health", "--url", &url]);
    assert_eq!(output.status.code(), Some(0));
}
