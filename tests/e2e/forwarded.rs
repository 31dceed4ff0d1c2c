//! Who the client is by `Forwarded` (RFC 7239) and `X-Forwarded-*`: what is read from trusted proxies,
//! and what servers get.

use crate::rig::{
    Config, Daemon, Server,
    client::{ask, request},
    wire::Head,
};

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\", \"fd00::/8\"]";

fn start(server: &Server, top: &str, route: &str) -> Daemon {
    Daemon::start(&Config::to([server]).top(TRUSTED).top(top).route(route))
}

/// What the server gets of a request with these fields.
fn seen(server: &Server, daemon: &Daemon, fields: &str) -> Head {
    assert_eq!(ask(daemon.http(), &request("GET", "/", fields, "")).status, 200);
    server.last_request().head
}

/// A route that tells what `{client_ip}` and `{scheme}` are.
fn teller(top: &str) -> Daemon {
    let rest = "[[site]]\n[[site.route]]\nrespond.body = \"{client_ip} {scheme}\"";
    Daemon::start(&Config::bare().top(TRUSTED).top(top).rest(rest))
}

fn told(daemon: &Daemon, fields: &str) -> String {
    ask(daemon.http(), &request("GET", "/", fields, "")).text()
}

#[test]
fn the_client_is_the_rightmost_that_is_not_trusted() {
    let daemon = teller("");
    for (forwarded, client) in [
        ("for=192.0.2.1", "192.0.2.1 http"),
        ("for=192.0.2.1;proto=https", "192.0.2.1 https"),
        ("For=\"192.0.2.1:4711\";Proto=HTTPS;by=10.0.0.1", "192.0.2.1 https"),
        ("for=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1 https"),
        ("for=\"[::ffff:192.0.2.1]\"", "192.0.2.1 http"),
        ("for=6.6.6.6;proto=https, for=192.0.2.1;proto=http", "192.0.2.1 http"),
        ("for=6.6.6.6, for=192.0.2.1;proto=https, for=10.0.0.1;proto=http", "192.0.2.1 https"),
        ("for=192.0.2.1;proto=https, for=\"[fd00::1]\", for=10.0.0.2", "192.0.2.1 https"),
        ("for=10.0.0.2;proto=https, for=10.0.0.1", "10.0.0.2 https"),
        ("for=192.0.2.1\r\nForwarded: for=10.0.0.1;proto=https", "192.0.2.1 http"),
        // No address: the proxy that hides it is the last that is known; the scheme is known.
        ("for=6.6.6.6, for=_hidden;proto=https, for=10.0.0.1", "10.0.0.1 https"),
        ("for=6.6.6.6, for=unknown", "127.0.0.1 http"),
        ("for=6.6.6.6, proto=https", "127.0.0.1 https"),
        // What a stranger began can't swallow what the proxy has added.
        ("for=\"6.6.6.6, for=192.0.2.1;proto=https", "192.0.2.1 https"),
        ("for=\"6.6.6.6\\, for=\"192.0.2.1\"", "192.0.2.1 http"),
        ("a\"b\"c=\\\", for=192.0.2.1", "192.0.2.1 http"),
        // Broken where a proxy should have written it.
        ("for=6.6.6.6, for=192.0.2.1;for=192.0.2.2", "127.0.0.1 http"),
        ("for=6.6.6.6, nonsense, for=10.0.0.1", "10.0.0.1 http"),
        ("", "127.0.0.1 http"),
    ] {
        assert_eq!(told(&daemon, &format!("Forwarded: {forwarded}\r\n")), client, "{forwarded}");
    }
}

#[test]
fn one_kind_of_field_is_believed_and_they_are_never_mixed() {
    let forwarded = "Forwarded: for=192.0.2.1;proto=https;host=by.forwarded\r\n";
    let x_for = "X-Forwarded-For: 192.0.2.2\r\n";
    let x_others = "X-Forwarded-Proto: https\r\nX-Forwarded-Host: by.x\r\n";
    for (trusted, fields, client) in [
        ("any", format!("{forwarded}{x_for}"), "192.0.2.2 http"),
        ("any", format!("{forwarded}X-Forwarded-Proto: http\r\n"), "192.0.2.1 https"),
        ("any", format!("{forwarded}X-Forwarded-For: ,\r\n"), "192.0.2.1 https"),
        ("any", x_others.to_owned(), "127.0.0.1 https"),
        ("x_forwarded", forwarded.to_owned(), "127.0.0.1 http"),
        ("x_forwarded", format!("{forwarded}{x_for}{x_others}"), "192.0.2.2 https"),
        ("forwarded", format!("{x_for}{x_others}"), "127.0.0.1 http"),
        ("forwarded", format!("{forwarded}{x_for}"), "192.0.2.1 https"),
    ] {
        let daemon = teller(&format!("trusted_fields = \"{trusted}\""));
        assert_eq!(told(&daemon, &fields), client, "{trusted}: {fields}");
    }
}

#[test]
fn strangers_are_not_believed_and_get_one_element() {
    let server = Server::start("1");
    let route = "forwarded_fields = \"forwarded\"";
    let daemon = Daemon::start(&Config::to([&server]).route(route));
    let lies =
        "Forwarded: for=6.6.6.6;proto=https\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n";
    let head = seen(&server, &daemon, lies);
    assert_eq!(head.fields("forwarded"), ["for=127.0.0.1;host=localhost;proto=http"]);
    assert!(!head.raw.contains("6.6.6.6") && !head.raw.to_lowercase().contains("x-forwarded"));
    assert!(!head.has("x-real-ip") && head.has("via") && head.has("x-request-id"));
    // A host with a port, and one of IPv6, need quotes.
    let get = "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n";
    assert_eq!(ask(daemon.http(), get).status, 200);
    let head = server.last_request().head;
    assert_eq!(head.fields("forwarded"), ["for=127.0.0.1;host=\"[2001:db8::1]:8080\";proto=http"]);
}

#[test]
fn what_a_trusted_proxy_says_is_continued_or_told_in_the_other_words() {
    let server = Server::start("1");
    let own = "for=127.0.0.1;host=localhost;proto=http";
    let both = start(&server, "", "forwarded_fields = \"both\"");
    let head = seen(
        &server,
        &both,
        "Forwarded: for=6.6.6.6, for=192.0.2.1;proto=https;host=shop.example, for=\"[fd00::1]\"\r\n",
    );
    let expected = format!(
        "for=6.6.6.6, for=192.0.2.1;proto=https;host=shop.example, for=\"[fd00::1]\", {own}"
    );
    assert_eq!(head.fields("forwarded"), [expected]);
    assert_eq!(head.fields("x-forwarded-for"), ["192.0.2.1, fd00::1, 127.0.0.1"]);
    assert_eq!(head.fields("x-forwarded-proto"), ["https"]);
    assert_eq!(head.fields("x-forwarded-host"), ["shop.example"]);
    assert_eq!(head.fields("x-real-ip"), ["192.0.2.1"]);

    let x = "Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6, 2001:db8::1, 10.0.0.1\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example:8443\r\n";
    let head = seen(&server, &both, x);
    let first = "for=\"[2001:db8::1]\";host=\"shop.example:8443\";proto=https";
    assert_eq!(head.fields("forwarded"), [format!("{first}, for=10.0.0.1, {own}")]);
    assert_eq!(head.fields("x-forwarded-for"), ["6.6.6.6, 2001:db8::1, 10.0.0.1, 127.0.0.1"]);

    let head = seen(&server, &both, "Forwarded: for=_hidden;proto=https, for=10.0.0.1\r\n");
    assert_eq!(head.fields("x-forwarded-for"), ["unknown, 10.0.0.1, 127.0.0.1"]);
    let head = seen(&server, &both, "");
    assert_eq!(
        (head.fields("forwarded"), head.fields("x-forwarded-for")),
        (vec![own], vec!["127.0.0.1"])
    );
}

#[test]
fn the_host_is_of_the_same_hop() {
    let server = Server::start("1");
    let daemon = start(&server, "", "");
    for (fields, host) in [
        ("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: evil, shop.example\r\n", "shop.example"),
        (
            "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Host: evil, shop.example, between\r\n",
            "shop.example",
        ),
        (
            "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\nX-Forwarded-Host: shop.example\r\n",
            "shop.example",
        ),
        (
            "Forwarded: for=6.6.6.6;host=evil, for=192.0.2.1;host=shop.example, for=10.0.0.1;host=between\r\n",
            "shop.example",
        ),
        ("Forwarded: host=evil, for=192.0.2.1\r\n", "localhost"),
        ("Forwarded: for=192.0.2.1;host=\"a, b\"\r\n", "localhost"),
    ] {
        let head = seen(&server, &daemon, fields);
        assert_eq!(head.fields("x-forwarded-host"), [host], "{fields}");
        assert_eq!(head.field("host"), Some("localhost"));
    }
}

#[test]
fn a_route_chooses_what_its_server_gets() {
    let server = Server::start("1");
    let fields = "Forwarded: for=192.0.2.1\r\n";
    let none = start(&server, "", "forwarded_fields = \"none\"");
    let head = seen(
        &server,
        &none,
        &format!("{fields}X-Real-IP: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n"),
    );
    for field in
        ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"]
    {
        assert_eq!(head.field(field), None, "{field}");
    }
    // By default a trusted proxy's `Forwarded` passes beside ours, unless it is said that they write none.
    let head = seen(&server, &start(&server, "", ""), fields);
    assert_eq!(head.fields("forwarded"), ["for=192.0.2.1"]);
    let strict = start(&server, "trusted_fields = \"x_forwarded\"", "");
    assert_eq!(seen(&server, &strict, fields).field("forwarded"), None);
    // The route's edits come before that.
    let edited = start(
        &server,
        "",
        "forwarded_fields = \"forwarded\"\nrequest_headers.set = { Forwarded = \"for={client_ip}\", X-Real-IP = \"{client_ip}\" }",
    );
    let head = seen(&server, &edited, fields);
    assert_eq!(
        (head.fields("forwarded"), head.fields("x-real-ip")),
        (vec!["for=192.0.2.1"], vec!["192.0.2.1"])
    );
}
