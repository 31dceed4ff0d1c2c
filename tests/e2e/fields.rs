//! Which fields and targets go on to a server and to a client: hop-by-hop ones, `Via`, forwarding
//! fields and whom they are believed, `Host`, the target's bytes.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Server,
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

#[test]
fn what_a_stranger_says_of_itself_in_other_words_is_dropped() {
    let (server, daemon) = one();
    let lies = "X-Forwarded-Port: 54443\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\n\
                X-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\nX-Forwarded-Anything: 1\r\n\
                X-Forwarded: for=1.2.3.4\r\nFront-End-Https: on\r\nX-Url-Scheme: https\r\n\
                X-Scheme: https\r\nX-Client-IP: 1.2.3.4\r\nTrue-Client-IP: 1.2.3.4\r\n\
                X-Cluster-Client-IP: 1.2.3.4\r\nClient-IP: 1.2.3.4\r\n\
                CF-Connecting-IP: 1.2.3.4\r\nDO-Connecting-IP: 1.2.3.4\r\nFastly-Client-IP: 1.2.3.4\r\n\
                Proxy-Client-IP: 1.2.3.4\r\nWL-Proxy-Client-IP: 1.2.3.4\r\nForwarded-For: 1.2.3.4\r\n\
                X-Remote-IP: 1.2.3.4\r\nX-Remote-Addr: 1.2.3.4\r\nX-Originating-IP: 1.2.3.4\r\n\
                X-Azure-ClientIP: 1.2.3.4\r\nX-AppEngine-User-IP: 1.2.3.4\r\n\
                X-Original-Forwarded-For: 1.2.3.4\r\nX-Envoy-External-Address: 1.2.3.4\r\n\
                Fly-Client-IP: 1.2.3.4\r\nX-ProxyUser-Ip: 1.2.3.4\r\nX-Host: evil\r\n\
                CF-Visitor: {\"scheme\":\"https\"}\r\nX-Real-Proto: https\r\n\
                X-SSL-Client-Cert: evil\r\nX-SSL-Client-Verify: SUCCESS\r\n\
                X-Original-Host: evil\r\nX-Original-URL: /evil\r\nX-Rewrite-URL: /evil\r\nX-Kept: 3\r\n";
    let seen = forwarded(&server, &daemon, &request("GET", "/", lies, ""));
    let lower = seen.raw.to_ascii_lowercase();
    for lie in [
        "54443",
        "evil",
        "-ssl",
        "scheme",
        "anything",
        "1.2.3.4",
        "front-end",
        "-client-ip",
        "success",
        "x-real-proto",
    ] {
        assert!(!lower.contains(lie), "{lie} in {}", seen.raw);
    }
    assert_eq!(seen.field("x-kept"), Some("3"));
}

#[test]
fn what_a_trusted_proxy_or_the_route_says_in_other_words_passes() {
    let server = Server::start("1");
    let config = Config::to([&server]);
    let daemon = Daemon::start(&config.top("trusted_proxies = [\"127.0.0.0/8\"]"));
    let truth = request("GET", "/", "X-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /shop\r\n", "");
    let seen = forwarded(&server, &daemon, &truth);
    assert_eq!(seen.fields("x-forwarded-port"), ["443"]);
    assert_eq!(seen.fields("x-forwarded-prefix"), ["/shop"]);

    let edits = "request_headers.set = { X-Forwarded-Port = \"8443\" }";
    let daemon = Daemon::start(&Config::to([&server]).route(edits));
    let lie = request("GET", "/", "X-Forwarded-Port: 443\r\n", "");
    assert_eq!(forwarded(&server, &daemon, &lie).fields("x-forwarded-port"), ["8443"]);
}

#[test]
fn the_scheme_is_read_from_the_right_as_the_address_is() {
    let server = Server::start("1");
    let daemon = Daemon::start(
        &Config::to([&server]).top("trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]"),
    );
    for (addresses, schemes, scheme) in [
        ("6.6.6.6, 1.2.3.4", "https, http", "http"),
        ("1.2.3.4", "https, http", "http"),
        ("1.2.3.4", "http, https", "https"),
        ("1.2.3.4, 10.1.1.1", "https, http", "https"),
        ("6.6.6.6, 1.2.3.4, 10.1.1.1", "https, http, https", "http"),
        // A proxy that does not append says it of the client.
        ("1.2.3.4, 10.1.1.1", "https", "https"),
        ("1.2.3.4", "gopher", "http"),
    ] {
        let fields = format!("X-Forwarded-For: {addresses}\r\nX-Forwarded-Proto: {schemes}\r\n");
        let seen = forwarded(&server, &daemon, &request("GET", "/", &fields, ""));
        assert_eq!(seen.fields("x-forwarded-proto"), [scheme], "{addresses} / {schemes}");
    }
    let seen =
        forwarded(&server, &daemon, &request("GET", "/", "X-Forwarded-Proto: https, http\r\n", ""));
    assert_eq!(seen.fields("x-forwarded-proto"), ["http"]);
}

#[test]
fn http_1_0_without_host_gets_the_servers() {
    let (server, daemon) = one();
    let seen = forwarded(&server, &daemon, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(seen.fields("host"), [server.address.to_string()]);
    assert_eq!(seen.field("x-forwarded-host"), None, "{}", seen.raw);
    let seen = forwarded(&server, &daemon, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((seen.field("host"), seen.field("x-forwarded-host")), (Some("a"), Some("a")));
}

#[test]
fn http_1_0_without_host_is_not_redirected_to_nowhere() {
    let config =
        Config::bare().rest("[[site]]\n[[site.route]]\nredirect.to = \"https://{host}{uri}\"");
    let daemon = Daemon::start(&config);
    let answer = ask(daemon.http(), "GET / HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, answer.field("location")), (400, None), "{answer:?}");
    assert_eq!(daemon.wait_for_reason("host_missing")["status"], 400);
}

#[test]
fn host_in_templates_is_the_name_as_sites_are_found() {
    let config = Config::bare().rest("[[site]]\n[[site.route]]\nrespond.body = \"{host}\"");
    let daemon = Daemon::start(&config);
    for (host, name) in [
        ("Shop.EXAMPLE.com.:8080", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("[0:0::1]:80", "[::1]"),
        ("127.0.0.1:80", "127.0.0.1"),
    ] {
        let answer = ask(daemon.http(), &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!((answer.status, &*answer.text()), (200, name));
    }
    for host in ["a:98777", "a:65536", "[::1]:70000"] {
        let answer = ask(daemon.http(), &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, 400, "{host}");
    }
}

#[test]
fn a_higher_minor_version_is_processed_as_1_1() {
    let (server, daemon) = one();
    for message in [
        "GET /a?b HTTP/1.2\r\nHost: a\r\nX-Kept: 3\r\n\r\n",
        "GET /a?b HTTP/1.9\r\nHost:a\r\nX-Kept:3\r\n\r\n",
        "GET /a?b HTTP/1.2\nHost: a\nX-Kept:   3\n\n",
    ] {
        let seen = forwarded(&server, &daemon, message);
        assert_eq!(seen.start(), "GET /a?b HTTP/1.1");
        assert_eq!((seen.field("x-kept"), seen.field("host")), (Some("3"), Some("a")));
    }
    let mut client = Client::connect(daemon.http());
    client.send("GET / HTTP/1.2");
    client.send("\r\nHost: a\r\n");
    assert_eq!(client.ask("\r\n").status, 200, "in pieces");
    assert_eq!(client.get("/").status, 200, "the connection persists");
    server.set(Behaviour::raw("HTTP/1.3 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    let answer = get(daemon.http(), "/");
    assert_eq!((answer.status, &*answer.text()), (200, "ok"), "from a server");
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.22", "HTTP/1.x", "http/1.2"] {
        let answer = ask(daemon.http(), &format!("GET / {version}\r\nHost: a\r\n\r\n"));
        assert_eq!(answer.status, 400, "{version}");
    }
}

#[test]
fn an_upgrade_that_is_left_out_has_a_reason_in_the_log() {
    let (server, daemon) = one();
    // Where a body comes first, it is not passed on.
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let seen = forwarded(&server, &daemon, &request("POST", "/chat", upgrade, "body"));
    assert!(!seen.has("upgrade"));
    let line = daemon.wait_for_reason("upgrade_unsupported");
    assert_eq!((&line["status"], &line["uri"]), (&200.into(), &"/chat".into()), "{line}");
    // `curl --http2` offers this with every request, and does not mind.
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    forwarded(&server, &daemon, &request("GET", "/h2c", h2c, ""));
    let line = daemon.wait_for_access("h2c", |line| line["uri"] == "/h2c");
    assert!(line["reason"].is_null() || line["reason"] == "", "{line}");
}
