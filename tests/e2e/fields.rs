//! Which fields and targets go on to a server and to a client: hop-by-hop ones, `Via`, forwarding
//! fields and whom they are believed, `Host`, the target's bytes.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{ask, get, request},
    wire::Head,
};

fn one() -> (Server, Daemon) {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    (server, daemon)
}

/// What one sees of a request that goes through unchanged but for one thing.
fn forwarded(server: &Server, daemon: &Daemon, message: &str) -> Head {
    let answer = ask(daemon.http(), message);
    assert_eq!(answer.status, 200, "{message:?}: {answer:?}");
    server.last_request().head
}

#[test]
fn hop_by_hop_fields_and_those_connection_names_are_removed() {
    let (server, daemon) = one();
    let seen = forwarded(
        &server,
        &daemon,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret,x-other\r\nX-Secret: 1\r\nX-Other: 2\r\n\
         Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\n\
         Proxy-Authorization: Basic eDp5\r\nTrailer: X\r\nX-Kept: 3\r\n\r\n",
    );
    for gone in [
        "x-secret",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
        "proxy-authorization",
    ] {
        assert!(!seen.has(gone), "{gone} in {}", seen.raw);
    }
    assert_eq!(seen.field("x-kept"), Some("3"));
    assert!(!seen.closes());

    server.set(Behaviour::raw(
        "HTTP/1.1 200 OK\r\nConnection: x-secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=9\r\n\
         Proxy-Authenticate: Basic\r\nServer: mine\r\nX-Kept: 3\r\nContent-Length: 0\r\n\r\n",
    ));
    let answer = get(daemon.http(), "/");
    for gone in ["x-secret", "keep-alive"] {
        assert_eq!(answer.field(gone), None, "{gone}");
    }
    assert_eq!((answer.field("x-kept"), answer.field("server")), (Some("3"), Some("mine")));
}

#[test]
fn connection_cannot_name_the_fields_that_we_set() {
    let (server, daemon) = one();
    let nominated = "Connection: close, X-Forwarded-For, X-Real-IP, Host, Via\r\n";
    let seen = forwarded(&server, &daemon, &request("GET", "/", nominated, ""));
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(seen.field("host"), Some("localhost"));
    assert!(seen.has("via"));
}

#[test]
fn via_is_added_after_those_before() {
    let (server, daemon) = one();
    let seen = forwarded(&server, &daemon, &request("GET", "/", "", ""));
    let own = seen.field("via").expect("Via").to_owned();
    assert!(own.starts_with("1.1 "), "{own}");
    let seen = forwarded(&server, &daemon, &request("GET", "/", "Via: 1.0 before\r\n", ""));
    let all = seen.fields("via").join(", ");
    assert_eq!(all, format!("1.0 before, {own}"));
}

#[test]
fn forwarding_fields_of_a_stranger_are_replaced() {
    let (server, daemon) = one();
    let lies = "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n";
    let seen = forwarded(&server, &daemon, &request("GET", "/", lies, ""));
    assert_eq!(seen.field("forwarded"), None);
    assert_eq!(seen.fields("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.fields("x-forwarded-host"), ["localhost"]);
    assert_eq!(seen.fields("x-real-ip"), ["127.0.0.1"]);
}

#[test]
fn forwarding_fields_of_a_trusted_proxy_are_kept_and_continued() {
    let server = Server::start("1");
    let daemon = Daemon::start(
        &Config::to([&server]).top("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]"),
    );
    let truth = "X-Forwarded-For: 9.9.9.9, 1.2.3.4, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\nForwarded: for=9.9.9.9\r\n";
    let seen = forwarded(&server, &daemon, &request("GET", "/", truth, ""));
    assert_eq!(seen.fields("x-forwarded-for").join(", "), "9.9.9.9, 1.2.3.4, 10.1.1.1, 127.0.0.1");
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.fields("forwarded"), ["for=9.9.9.9"]);
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example"));
    assert_eq!(
        seen.field("x-real-ip"),
        Some("1.2.3.4"),
        "the last that no trusted proxy speaks for"
    );
    assert_eq!(daemon.wait_for_access("the request", |_| true)["client"], "1.2.3.4");
}

#[test]
fn a_route_may_write_its_own_forwarded_field() {
    let server = Server::start("1");
    let edits = "request_headers.set = { Forwarded = \"for={client_ip}\" }";
    let daemon = Daemon::start(&Config::to([&server]).route(edits));
    let lie = request("GET", "/", "Forwarded: for=1.2.3.4\r\n", "");
    let seen = forwarded(&server, &daemon, &lie);
    assert_eq!(seen.fields("forwarded"), ["for=127.0.0.1"]);
}

#[test]
fn the_clients_host_goes_upstream() {
    let (server, daemon) = one();
    let seen = forwarded(&server, &daemon, "GET / HTTP/1.1\r\nHost: Shop.Example:8080\r\n\r\n");
    assert_eq!(seen.fields("host"), ["Shop.Example:8080"]);
}

#[test]
fn absolute_form_overrides_host_and_is_forwarded_in_origin_form() {
    let (server, daemon) = one();
    let seen = forwarded(
        &server,
        &daemon,
        "GET http://shop.example/a?b=c HTTP/1.1\r\nHost: other\r\n\r\n",
    );
    assert_eq!(seen.target(), "/a?b=c");
    assert_eq!(seen.fields("host"), ["shop.example"]);
    let seen =
        forwarded(&server, &daemon, "GET http://shop.example HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(seen.target(), "/");
}

#[test]
fn the_original_bytes_of_the_target_are_forwarded() {
    let (server, daemon) = one();
    for target in ["/a%2Fb//c/./%7Euser?x=%20&y", "/?", "/caf%c3%a9", "/a/../b"] {
        let seen = forwarded(&server, &daemon, &request("GET", target, "", ""));
        assert_eq!(seen.target(), target);
    }
}

#[test]
fn max_forwards_is_counted_for_options_and_trace_and_zero_ends_here() {
    let (server, daemon) = one();
    let seen = forwarded(&server, &daemon, &request("OPTIONS", "/", "Max-Forwards: 5\r\n", ""));
    assert_eq!(seen.field("max-forwards"), Some("4"));
    server.forget_requests();
    let answer = ask(daemon.http(), &request("OPTIONS", "/", "Max-Forwards: 0\r\n", ""));
    assert!(answer.status < 300 || answer.status == 405, "{answer:?}");
    ask(daemon.http(), &request("TRACE", "/", "Max-Forwards: 0\r\n", ""));
    assert_eq!(server.request_count(), 0);
    let seen = forwarded(&server, &daemon, &request("GET", "/", "Max-Forwards: 0\r\n", ""));
    assert!(seen.has("max-forwards"), "no business of a GET");
}

#[test]
fn options_asterisk_and_connect_are_handled() {
    let (server, daemon) = one();
    let answer = ask(daemon.http(), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.status < 500, "{answer:?}");
    server.forget_requests();
    let answer = ask(daemon.http(), "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    assert!((400..=501).contains(&answer.status), "we are no forward proxy: {answer:?}");
    assert_eq!(server.request_count(), 0);
}

#[test]
fn underscore_fields_are_dropped_unless_the_config_sets_them() {
    let (server, daemon) = one();
    let seen =
        forwarded(&server, &daemon, &request("GET", "/", "X_Real_IP: 1.2.3.4\r\nX-Ok: 1\r\n", ""));
    assert!(!seen.has("x_real_ip") && seen.has("x-ok"), "{}", seen.raw);
    daemon.reconfigure(&Config::to([&server]).route("request_headers.set = { X_Mine = \"1\" }"));
    let seen = forwarded(&server, &daemon, &request("GET", "/", "X_Mine: 2\r\n", ""));
    assert_eq!(seen.fields("x_mine"), ["1"]);
}
