//! Which site and route takes a request, and what a route does besides forwarding.

use crate::rig::{
    Behaviour, Config, Daemon, Response, Server,
    client::{ask, get, request},
};

/// A route that answers with its own name.
fn respond(path: &str, body: &str) -> String {
    format!("[[site.route]]\npath = \"{path}\"\nrespond = {{ body = \"{body}\" }}\n")
}

fn daemon(sites: &str) -> Daemon {
    Daemon::start(&Config::bare().rest(sites))
}

fn of_host(daemon: &Daemon, host: &str) -> Response {
    ask(daemon.http(), &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

#[test]
fn hosts_choose_the_site_exact_before_wildcard_before_default() {
    let site = |hosts: &str, body: &str| format!("[[site]]\n{hosts}\n{}", respond("/*", body));
    let sites = [
        site("hosts = [\"api.example.com\", \"[::1]\", \"192.0.2.1\"]", "exact"),
        site("hosts = [\"*.example.com\"]", "wildcard"),
        site("hosts = [\"*.deep.example.com\"]", "deeper"),
        site("", "default"),
    ];
    let daemon = daemon(&sites.concat());
    for (host, body) in [
        ("api.example.com", "exact"),
        ("API.Example.COM", "exact"),
        ("api.example.com:8080", "exact"),
        ("api.example.com.", "exact"),
        ("[::1]:80", "exact"),
        ("192.0.2.1", "exact"),
        ("www.example.com", "wildcard"),
        ("a.b.example.com", "wildcard"),
        ("x.deep.example.com", "deeper"),
        ("example.com", "default"),
        ("badexample.com", "default"),
        ("other.org", "default"),
    ] {
        assert_eq!(of_host(&daemon, host).text(), body, "{host}");
    }
}

#[test]
fn without_a_default_site_an_unknown_host_is_refused() {
    let daemon = daemon(&format!("[[site]]\nhosts = [\"a.example\"]\n{}", respond("/*", "a")));
    assert_eq!(of_host(&daemon, "a.example").text(), "a");
    let status = of_host(&daemon, "b.example").status;
    assert!(matches!(status, 404 | 421), "{status}");
}

#[test]
fn sites_answer_only_on_their_listeners() {
    let daemon = Daemon::start(&Config::bare().rest(&format!(
        "[listener.other]\naddress = \"127.0.0.1:0\"\n[[site]]\nlisteners = [\"http\"]\n{}[[site]]\n\
         listeners = [\"other\"]\n{}",
        respond("/*", "on http"),
        respond("/*", "on other")
    )));
    assert_eq!(get(daemon.http(), "/").text(), "on http");
    assert_eq!(get(daemon.address("other"), "/").text(), "on other");
}

#[test]
fn the_first_route_that_matches_wins() {
    let daemon = daemon(&format!(
        "[[site]]\n{}{}{}{}{}",
        respond("/exact", "exact"),
        respond("*.css", "suffix"),
        respond("/api/v2/*", "v2"),
        respond("/api/*", "api"),
        respond("/*", "rest"),
    ));
    for (path, body) in [
        ("/exact", "exact"),
        ("/exact?x=y", "exact"),
        ("/exact/", "rest"),
        ("/exactly", "rest"),
        ("/a/b.css", "suffix"),
        ("/api/v2/x.css", "suffix"),
        ("/api/v2/x", "v2"),
        ("/api/v2", "v2"),
        ("/api/v23", "api"),
        ("/api/", "api"),
        ("/api", "api"),
        ("/apiary", "rest"),
        ("/", "rest"),
    ] {
        assert_eq!(get(daemon.http(), path).text(), body, "{path}");
    }
}

#[test]
fn paths_are_matched_normalised() {
    let daemon =
        daemon(&format!("[[site]]\n{}{}", respond("/secret/*", "secret"), respond("/*", "rest")));
    for path in [
        "/secret/x",
        "//secret/x",
        "/./secret/x",
        "/a/../secret/x",
        "/%73ecret/x",
        "/a/%2e%2e/secret/x",
        "/secret//x",
    ] {
        assert_eq!(get(daemon.http(), path).text(), "secret", "{path}");
    }
    assert_eq!(get(daemon.http(), "/secret/../x").text(), "rest");
}

#[test]
fn methods_narrow_a_route() {
    let daemon = daemon(
        "[[site]]\n[[site.route]]\nmethods = [\"GET\"]\nrespond = { body = \"read\" }\n\
         [[site.route]]\nmethods = [\"POST\", \"PUT\"]\nrespond = { body = \"write\" }\n",
    );
    let answer = |method| ask(daemon.http(), &request(method, "/", "", ""));
    assert_eq!(answer("GET").text(), "read");
    assert_eq!(answer("PUT").text(), "write");
    let refused = answer("DELETE");
    assert!(matches!(refused.status, 404 | 405), "{refused:?}");
}

#[test]
fn nothing_that_matches_is_404() {
    let daemon = daemon(&format!("[[site]]\n{}", respond("/only", "only")));
    assert_eq!(get(daemon.http(), "/only").status, 200);
    assert_eq!(get(daemon.http(), "/other").status, 404);
}

#[test]
fn redirects_fill_in_variables() {
    let daemon = daemon(
        "[[site]]\n[[site.route]]\npath = \"/old/*\"\nredirect = { to = \"/new\", status = 301 }\n\
         [[site.route]]\nredirect = { to = \"https://{host}:8443{uri}\" }\n",
    );
    let answer = ask(daemon.http(), "GET /a%20b?c=d HTTP/1.1\r\nHost: Shop.Example:80\r\n\r\n");
    assert_eq!(answer.status, 308);
    let location = answer.field("location").expect("Location").to_ascii_lowercase();
    assert_eq!(location, "https://shop.example:8443/a%20b?c=d");
    let answer = get(daemon.http(), "/old/x");
    assert_eq!((answer.status, answer.field("location")), (301, Some("/new")));
}

#[test]
fn a_redirect_cannot_be_made_to_split_the_response() {
    let daemon =
        daemon("[[site]]\n[[site.route]]\nredirect = { to = \"https://a.example{uri}\" }\n");
    let answer = get(daemon.http(), "/%0d%0aX-Evil:%20yes");
    assert_eq!(answer.field("x-evil"), None);
    assert_eq!(answer.field("location"), Some("https://a.example/%0d%0aX-Evil:%20yes"));
}

#[test]
fn respond_fills_in_variables() {
    let daemon = daemon(
        "[[site]]\n[[site.route]]\nname = \"teapot\"\nrespond = { status = 418, content_type = \"text/x-tea\", \
         body = \"{method} {scheme} {host} {path} {query} {uri} {route} {client_ip} {header.x-a} {cookie.c} {{}}\" }\n",
    );
    let message =
        "GET /p?q=1 HTTP/1.1\r\nHost: tea.example\r\nX-A: alpha\r\nCookie: b=1; c=crumb\r\n\r\n";
    let answer = ask(daemon.http(), message);
    assert_eq!((answer.status, answer.field("content-type")), (418, Some("text/x-tea")));
    let expected = "GET http tea.example /p q=1 /p?q=1 teapot 127.0.0.1 alpha crumb {}";
    assert_eq!(answer.text(), expected);
    let head = ask(daemon.http(), &request("HEAD", "/", "", ""));
    assert!(head.status == 418 && head.body.is_empty());
}

/// One server, one route with these lines; returns the target and head that the server saw.
fn through(lines: &str, message: &str) -> (Server, Daemon, crate::rig::wire::Head, Response) {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]).route(lines));
    let answer = ask(daemon.http(), message);
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = server.last_request().head;
    (server, daemon, seen, answer)
}

#[test]
fn strip_prefix_cuts_the_path_that_is_forwarded() {
    for (target, seen_target) in
        [("/api/a%20b?q=1", "/a%20b?q=1"), ("/api", "/"), ("/api/", "/"), ("/api?x", "/?x")]
    {
        let lines = "path = \"/api/*\"\nstrip_prefix = \"/api\"";
        let (_server, _daemon, seen, _) = through(lines, &request("GET", target, "", ""));
        assert_eq!(seen.target(), seen_target, "{target}");
    }
}

#[test]
fn rewrite_makes_a_new_path_and_keeps_or_replaces_the_query() {
    let message = request("GET", "/a/b?q=1", "", "");
    let (_server, _daemon, seen, _) = through("rewrite = \"/new{path}\"", &message);
    assert_eq!(seen.target(), "/new/a/b?q=1");
    let (_server, _daemon, seen, _) = through("rewrite = \"/find?was={path}\"", &message);
    assert_eq!(seen.target(), "/find?was=/a/b");
}

#[test]
fn request_headers_are_removed_set_and_added() {
    let lines = "request_headers = { set = { \"X-Route\" = \"{route}\", \"X-Client\" = \"{client_ip}\", \"X-Twice\" = \"set\" }, \
                 add = { \"X-Many\" = \"two\" }, remove = [\"X-Gone\", \"User-Agent\"] }";
    let fields = "X-Gone: 1\r\nUser-Agent: me\r\nX-Twice: a\r\nX-Twice: b\r\nX-Many: one\r\n";
    let (_server, _daemon, seen, _) = through(lines, &request("GET", "/", fields, ""));
    assert_eq!((seen.field("x-route"), seen.field("x-client")), (Some("all"), Some("127.0.0.1")));
    assert_eq!((seen.fields("x-twice"), seen.fields("x-many")), (vec!["set"], vec!["one", "two"]));
    assert!(!seen.has("x-gone") && !seen.has("user-agent"));
}

#[test]
fn response_headers_are_removed_set_and_added() {
    let server = Server::start("1");
    server.set(Behaviour::raw(
        "HTTP/1.1 200 OK\r\nServer: secret\r\nX-Twice: a\r\nX-Twice: b\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n",
    ));
    let config = Config::to([&server]).route(
        "response_headers.set = { \"X-Twice\" = \"set\", \"X-Server\" = \"{server}\", \"X-Upstream\" = \"{upstream}\" }\n\
         response_headers.add = { \"Set-Cookie\" = \"b=2\" }\nresponse_headers.remove = [\"Server\"]",
    );
    let daemon = Daemon::start(&config);
    let answer = get(daemon.http(), "/");
    assert_eq!(answer.head.fields("x-twice"), ["set"]);
    assert_eq!(answer.head.fields("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.field("server"), None);
    assert_eq!(answer.field("x-server"), Some(&*server.to_string()));
    assert_eq!(answer.field("x-upstream"), Some("app"));
}

#[test]
fn a_request_id_is_made_or_passed_on() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    get(daemon.http(), "/");
    get(daemon.http(), "/");
    let ids: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.head.field("x-request-id").unwrap().to_owned())
        .collect();
    assert!(ids[0] != ids[1] && ids[0].len() >= 8, "{ids:?}");
    ask(daemon.http(), &request("GET", "/own", "X-Request-Id: mine-42\r\n", ""));
    assert_eq!(server.last_request().head.fields("x-request-id"), ["mine-42"]);
    daemon.wait_for_access("the id", |line| line["request_id"] == "mine-42");
}

#[test]
fn templates_cannot_smuggle_fields_upstream() {
    let lines = "request_headers.set = { \"X-Path\" = \"{path}\", \"X-Query\" = \"{query}\" }";
    let message = request("GET", "/%0d%0aX-Evil:1?%0aX-Evil:2", "", "");
    let (_server, _daemon, seen, _) = through(lines, &message);
    assert!(!seen.has("x-evil"), "{}", seen.raw);
}

#[test]
fn a_rewritten_path_has_no_dot_segments_that_were_none() {
    let server = Server::start("1");
    let daemon = Daemon::start(
        &Config::to([&server]).route("rewrite = \"/app{path}\"\npath = \"/public/*\""),
    );
    for (path, rewritten) in [
        ("/public/.é./.é./admin", "/app/public/.%C3%A9./.%C3%A9./admin"),
        ("/public/café", "/app/public/caf%C3%A9"),
    ] {
        assert_eq!(get(daemon.http(), path).status, 200);
        let seen = server.last_request();
        assert_eq!(seen.head.start(), format!("GET {rewritten} HTTP/1.1"));
    }
}

#[test]
fn a_redirect_to_the_path_stays_on_its_host() {
    let server = Server::start("1");
    let daemon = Daemon::start(
        &Config::to([&server]).route_before("path = \"/dir/*\"\nredirect.to = \"{path}/\""),
    );
    let answer = get(daemon.http(), "///dir/x");
    assert_eq!((answer.status, answer.field("location")), (308, Some("/dir/x/")));
}

#[test]
fn who_takes_get_takes_head_and_allow_says_each_method_once() {
    let server = Server::start("1");
    let daemon =
        Daemon::start(&Config::to([&server]).route("methods = [\"GET\", \"PUT\", \"GET\"]"));
    assert_eq!(ask(daemon.http(), &request("HEAD", "/", "Connection: close\r\n", "")).status, 200);
    let refused = ask(daemon.http(), &request("POST", "/", "", ""));
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, PUT, HEAD")));
}
