//! What the dashboard is made of: the page, `/events`, `/topology`, `/errors`, `/reloads`.
//!
//! What it looks like in a browser is shown by `tests/peers/run --only dashboard`.

use crate::rig::{
    Behaviour, Client, Config, Daemon, PATIENCE, Server, certs,
    client::{ask, get, request},
    eventually, until,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// A stream of events, read one by one.
struct Events {
    reader: BufReader<TcpStream>,
    text: String,
}

impl Events {
    fn open(admin: SocketAddr) -> Self {
        let mut client = Client::connect(admin);
        client.send(request("GET", "/events", "", ""));
        let stream = client.stream().try_clone().expect("a socket");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a head") > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        Self { reader, text: String::new() }
    }

    /// The next chunk; `None` at the end.
    fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.reader.read_line(&mut size).ok().filter(|it| *it > 0)?;
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes).ok()?;
        bytes.truncate(size);
        (size > 0).then(|| String::from_utf8(bytes).expect("text"))
    }

    fn try_next(&mut self) -> Option<Value> {
        while !self.text.contains("\n\n") {
            let chunk = self.chunk()?;
            self.text += &chunk;
        }
        let (event, rest) = self.text.split_once("\n\n").expect("an event's end");
        let data =
            event.strip_prefix("event: stats\ndata: ").expect("an event of the kind `stats`");
        let data = serde_json::from_str(data).expect("JSON");
        self.text = rest.to_owned();
        Some(data)
    }

    fn next(&mut self) -> Value {
        self.try_next().expect("another event")
    }

    /// The first event in which `check` holds; it comes within patience.
    fn wait_for(&mut self, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = self.next();
            if check(&event) {
                return event;
            }
            assert!(Instant::now() < deadline, "{what}: {event}");
        }
    }
}

#[test]
fn browsers_get_the_page_and_others_the_list() {
    let server = Server::start("1");
    let daemon = Daemon::start(&Config::to([&server]));
    let list = get(daemon.admin(), "/");
    assert!(list.text().contains("/metrics") && !list.text().contains("<html"), "{}", list.text());
    let html = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let page = ask(daemon.admin(), &request("GET", "/", html, ""));
    assert_eq!((page.status, page.field("vary")), (200, Some("Accept")));
    let policy = page.field("content-security-policy").expect("a policy").to_owned();
    for part in
        ["default-src 'none'", "script-src 'self'", "form-action 'none'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = page.text();
    assert!(
        !text.contains("<style") && !text.contains("style=") && !text.contains(" on"),
        "{text}"
    );
    // Every file that the page and its scripts name is there.
    let mut wanted: Vec<String> = quoted(&text, "/dashboard/");
    let mut seen = 0;
    while seen < wanted.len() {
        let answer = get(daemon.admin(), &wanted[seen]);
        assert_eq!(answer.status, 200, "{}", wanted[seen]);
        assert_eq!(answer.field("content-security-policy"), Some(&*policy));
        let text = answer.text();
        let imports = quoted(&text, "./").into_iter();
        for import in imports.map(|it| it.replacen("./", "/dashboard/", 1)) {
            if !wanted.contains(&import) {
                wanted.push(import);
            }
        }
        for outside in ["http://", "https://"] {
            let foreign = quoted(&text, outside);
            let is_known = |it: &String| it.contains("example.com") || it.contains("www.w3.org");
            assert!(foreign.iter().all(is_known), "{foreign:?} in {}", wanted[seen]);
        }
        seen += 1;
    }
    assert!(wanted.len() >= 9, "{wanted:?}");
    // The same file is not sent twice.
    let tag = page.field("etag").expect("a tag");
    let again = format!("{html}If-None-Match: {tag}\r\n");
    let again = ask(daemon.admin(), &request("GET", "/", &again, ""));
    assert_eq!((again.status, again.body.len()), (304, 0));
}

/// What stands in quotes and begins like this.
fn quoted(text: &str, begin: &str) -> Vec<String> {
    let quotes = text.split('"').filter(|it| it.starts_with(begin));
    let mut found: Vec<_> = quotes.map(str::to_owned).collect();
    found.dedup();
    found
}

#[test]
fn events_tell_everything_first_and_then_what_changed() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(
        &Config::default().server(&servers[0], "max_fails = 1").server(&servers[1], ""),
    );
    let mut events = Events::open(daemon.admin());
    let first = events.next();
    assert_eq!((&first["whole"], &first["generation"]), (&true.into(), &1.into()), "{first}");
    let keys = servers.iter().map(|it| format!("server app {it}")).collect::<Vec<_>>();
    for key in &keys {
        assert_eq!(first["rows"][key][0], "up", "{first}");
    }
    assert_eq!(first["rows"]["health"]["status"], "ok");
    let second = events.next();
    assert!(second.get("whole").is_none(), "{second}");
    assert!(second["rows"].get(&keys[0]).is_none(), "nothing has changed: {second}");
    servers[0].kill();
    until("the dead server was asked", || {
        get(daemon.http(), "/");
        daemon.state_name(&servers[0].to_string()) != "up"
    });
    let told = events.wait_for("the server is out", |it| !it["rows"][&keys[0]].is_null());
    let row = &told["rows"][&keys[0]];
    assert!(row[0] == "ejected" && row[1] == "connect_failed", "{row}");
    assert_eq!(told["errors_count"], 1, "another server answered, but this one failed");
}

#[test]
fn events_follow_a_reload() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers));
    let mut events = Events::open(daemon.admin());
    events.next();
    daemon.reconfigure(&Config::to(&servers[..1]));
    let told = events.wait_for("the new config", |it| it["generation"] == 2);
    assert_eq!(told["gone"], json!([format!("server app {}", servers[1])]), "{told}");
    assert_eq!(told["reloads_count"], 2);
}

#[test]
fn listeners_are_bounded_and_one_that_goes_makes_room() {
    let server = Server::start("1");
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\nevents = 3";
    let daemon = Daemon::start(&Config::to([&server]).rest(admin));
    let mut listeners: Vec<_> = (0..3).map(|_| Events::open(daemon.admin())).collect();
    assert_eq!(get(daemon.admin(), "/events").status, 503);
    for events in &mut listeners {
        assert_eq!(events.next()["whole"], true);
    }
    drop(listeners);
    until("a place", || {
        let mut client = Client::connect(daemon.admin());
        client.send(request("GET", "/events", "", ""));
        client.head().unwrap().status() == Some(200)
    });
}

#[test]
fn events_end_with_their_admin_address() {
    let server = Server::start("1");
    let mut daemon = Daemon::start(&Config::to([&server]));
    let mut events = Events::open(daemon.admin());
    events.next();
    daemon.reconfigure(&Config::to([&server]).rest("[admin]\naddress = \"unix:admin.sock\""));
    while events.try_next().is_some() {}
    // A listener holds up no stop.
    let daemon_2 = Daemon::start(&Config::to([&server]));
    let mut events = Events::open(daemon_2.admin());
    events.next();
    for daemon in [&mut daemon, &mut { daemon_2 }] {
        daemon.signal("TERM");
        assert_eq!(daemon.wait_exit(), Some(0));
    }
    while events.try_next().is_some() {}
}

#[test]
fn a_listener_that_takes_nothing_does_not_hold_up_the_others() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers));
    let mut stuck = Client::connect(daemon.admin());
    stuck.send(request("GET", "/events", "", ""));
    stuck.head().unwrap();
    let mut events = Events::open(daemon.admin());
    let begun = Instant::now();
    for _ in 0..5 {
        events.next();
    }
    assert!(begun.elapsed() >= Duration::from_secs(3), "one a second");
}

#[test]
fn topology_leads_from_listener_to_server() {
    let dir = tempfile::tempdir().unwrap();
    certs::write(dir.path(), "site", certs::Kind::Ecdsa, &["a.test", "*.b.test"]);
    let server = Server::start("1");
    let config = Config::to([&server])
        .route_before("path = \"/old/*\"\nmethods = [\"GET\"]\nredirect = { to = \"/\" }")
        .rest(
            "[listener.https]\naddress = \"127.0.0.1:0\"\n\
             tls.certificates = [{ cert = \"site.pem\", key = \"site.key\" }]",
        );
    let daemon = Daemon::start_in(dir, &config.text());
    let (status, told) = daemon.admin_json("/topology");
    assert_eq!(status, 200, "{told}");
    let listeners = told["listeners"].as_array().unwrap();
    let plain = listeners.iter().find(|it| it["name"] == "http").unwrap();
    assert!(plain["tls"].is_null(), "{plain}");
    let tls = listeners.iter().find(|it| it["name"] == "https").unwrap();
    let certificate = &tls["tls"]["certificates"][0];
    assert_eq!(certificate["names"], json!(["a.test", "*.b.test"]), "{tls}");
    assert!(certificate["expires"].as_str().unwrap().ends_with('Z'), "{certificate}");
    let site = &told["sites"][0];
    assert_eq!((&site["name"], &site["hosts"]), (&"main".into(), &json!([])));
    assert_eq!(site["listeners"].as_array().unwrap().len(), 2);
    let routes = site["routes"].as_array().unwrap();
    let facts = |at: usize| ["path", "action", "upstream"].map(|key| routes[at][key].clone());
    assert_eq!(facts(0), [json!("/old/*"), json!("redirect"), Value::Null]);
    assert_eq!(routes[0]["methods"], json!(["GET"]));
    let text = config.text();
    let line = text.lines().position(|it| it == "path = \"/old/*\"").unwrap();
    assert_eq!(routes[0]["line"], line, "the line of `[[site.route]]` above it, counted from 1");
    assert_eq!(facts(1), [json!("/*"), json!("forward"), json!("app")]);
    let upstream = &told["upstreams"][0];
    assert_eq!((&upstream["name"], &upstream["strategy"]), (&"app".into(), &"round_robin".into()));
    assert_eq!(upstream["servers"][0]["address"], server.to_string());
}

#[test]
fn errors_tell_which_requests_failed_and_why() {
    let server = Server::start("1");
    server.set_for("/broken", Behaviour::reset());
    server.set_for("/own", Behaviour::status(500, "sorry"));
    let daemon = Daemon::start(&Config::to([&server]).route("retry.tries = 1"));
    let id = "X-Request-Id: find-me\r\n";
    assert_eq!(ask(daemon.http(), &request("GET", "/broken?secret=1", id, "")).status, 502);
    get(daemon.http(), "/own");
    get(daemon.http(), "/well");
    let told = eventually("two errors", || {
        let (_, told) = daemon.admin_json("/errors");
        (told["count"] == 2).then_some(told)
    });
    let errors = told["errors"].as_array().unwrap();
    let [own, broken] = &errors[..] else { panic!("{told}") };
    assert_eq!(
        (&own["status"], &own["reason"], &own["path"]),
        (&500.into(), &Value::Null, &"/own".into())
    );
    for (key, value) in [
        ("request_id", json!("find-me")),
        ("method", json!("GET")),
        ("host", json!("localhost")),
        ("path", json!("/broken")),
        ("status", json!(502)),
        ("route", json!("all")),
        ("upstream", json!("app")),
        ("server", json!(server.to_string())),
        ("reason", json!("reset")),
    ] {
        assert_eq!(broken[key], value, "{key} of {broken}");
    }
    assert!(!told.to_string().contains("secret"), "a query may hold secrets: {told}");
    let later = daemon.admin_json("/errors?after=1").1;
    assert_eq!(later["errors"].as_array().unwrap().len(), 1, "{later}");
    assert_eq!(get(daemon.admin(), "/errors?after=x").status, 422);
}

#[test]
fn reloads_are_kept_with_what_they_changed() {
    let servers = Server::start_several(2);
    let daemon = Daemon::start(&Config::to(&servers[..1]));
    daemon.reconfigure(
        &Config::to(&servers)
            .route("max_body = \"1MiB\"")
            .route_before("name = \"new\"\npath = \"/new\"\nrespond.body = \"\""),
    );
    daemon.rewrite_config("nonsense = 1");
    assert_eq!(daemon.reload().status, 422);
    let told = daemon.admin_json("/reloads").1;
    let reloads = told["reloads"].as_array().unwrap();
    let first = reloads.last().unwrap();
    assert_eq!((&first["cause"], &first["generation"]), (&"start".into(), &1.into()), "{told}");
    let second = reloads.iter().find(|it| it["generation"] == 2).expect("the second config");
    assert_eq!(second["outcome"], "success");
    let told = |it: &Value| {
        ["change", "kind", "of", "name"].map(|key| it[key].as_str().unwrap().to_owned())
    };
    let changes: Vec<_> = second["changes"].as_array().unwrap().iter().map(told).collect();
    for wanted in [
        ["added", "route", "main", "new"],
        ["changed", "route", "main", "all"],
        ["added", "server", "app", &servers[1].to_string()],
    ] {
        assert!(changes.iter().any(|it| *it == wanted), "{wanted:?} in {second}");
    }
    assert_eq!((changes.len(), &second["changed"]), (3, &3.into()), "{second}");
    let route =
        second["changes"].as_array().unwrap().iter().find(|it| it["name"] == "all").unwrap();
    assert_eq!(route["keys"], json!([{ "key": "max_body", "from": null, "to": "\"1MiB\"" }]));
    let failed = &reloads[0];
    assert_eq!((&failed["outcome"], &failed["generation"]), (&"failure".into(), &Value::Null));
    assert!(failed["text"].as_str().unwrap().contains("nonsense"), "{failed}");
    assert_eq!(failed["errors"][0]["line"], 1, "{failed}");
}
