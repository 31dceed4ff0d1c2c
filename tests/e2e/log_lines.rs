//! What is in a line of the access log, and which requests have one.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Load, Server,
    client::{ask, get, request},
    secure::Http2,
    until,
};
use http_body_util::Full;
use std::{collections::BTreeSet, fs, thread, time::Duration};

/// Everything is answered by the daemon itself, with a status by the path.
fn answering(log: &str) -> Config {
    let site = "[[site]]\nname = \"main\"\n\
                [[site.route]]\npath = \"/bad/*\"\nrespond = { status = 503, body = \"x\" }\n\
                [[site.route]]\nname = \"good\"\npath = \"/*\"\nrespond = { body = \"x\" }\n";
    Config::bare().rest(site).rest(log).quiet()
}

#[test]
fn fields_choose_and_order_what_is_in_a_line() {
    let server = Server::start("1");
    let log = "[access_log]\npath = \"access.log\"\nfields = [\"method\", \"header.x-tenant\", \
               \"header.x-none\", { name = \"who \\\"is\\\"\", value = \"{header.x-tenant}@{host}/{server}\" }, \
               \"uri\", \"status\"]";
    let daemon = Daemon::start(&Config::to([&server]).rest(log));
    ask(daemon.http(), &request("GET", "/a?b", "X-Tenant: red \"7\"\r\n", ""));
    until("a line", || !daemon.access_log().is_empty());
    let text = fs::read_to_string(daemon.path("access.log")).unwrap();
    let wanted = format!(
        "{{\"method\":\"GET\",\"header.x-tenant\":\"red \\\"7\\\"\",\
         \"who \\\"is\\\"\":\"red \\\"7\\\"@localhost/{server}\",\"uri\":\"/a?b\",\"status\":200}}\n"
    );
    assert_eq!(text, wanted);
}

#[test]
fn fields_of_the_answer_are_in_lines_conditions_and_counters() {
    let server = Server::start("1");
    server.set(Behaviour::raw(
        "HTTP/1.1 200 OK\r\nX-Order: 7 \"red\"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         X-Hidden: 1\r\nContent-Length: 2\r\n\r\nok",
    ));
    let asked = "response.header.x-order != '' && response.header.x-own == 'us'";
    let log = format!(
        "[access_log]\npath = \"access.log\"\nwhen = \"uri != /other\"\nalways = \"{asked}\"\n\
         sample = \"0%\"\nfields = [\"uri\", \"response.header.x-order\", \
         \"response.header.Set-Cookie\", \"response.header.x-hidden\"]\n\
         [metrics.custom.orders]\nwhen = \"{asked}\"\n"
    );
    let edits =
        "response_headers.set = { X-Own = \"us\" }\nresponse_headers.remove = [\"X-Hidden\"]";
    let own =
        "path = \"/own\"\nrespond = {}\nresponse_headers.set = { X-Order = \"0\", X-Own = \"us\" }";
    let daemon =
        Daemon::start(&Config::to([&server]).route(edits).route_before(own).rest(&log).workers(1));
    let wanted = |uri: &str| {
        format!(
            "{{\"uri\":\"{uri}\",\"response.header.x-order\":\"7 \\\"red\\\"\",\
             \"response.header.set-cookie\":\"a=1\"}}\n"
        )
    };
    get(daemon.http(), "/first");
    get(daemon.http(), "/other");
    get(daemon.http(), "/own");
    let http2 = http::Request::get("http://localhost/second").body(Full::default()).unwrap();
    assert_eq!(Http2::connect_plain(daemon.http()).send(http2).unwrap().status, 200);
    until("three lines", || daemon.access_log().len() == 3);
    let text = fs::read_to_string(daemon.path("access.log")).unwrap();
    let own = "{\"uri\":\"/own\",\"response.header.x-order\":\"0\"}\n";
    assert_eq!(text, [&wanted("/first"), own, &wanted("/second")].concat());
    assert_eq!(daemon.count("custom_orders_total", &[]), 4);
}

#[test]
fn a_trace_that_only_passes_is_in_the_line_too() {
    let daemon = Daemon::start(&answering(""));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    for (path, parent) in [
        ("/valid", format!("00-{trace}-00f067aa0ba902b7-01")),
        ("/invalid", format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase())),
    ] {
        ask(daemon.http(), &request("GET", path, &format!("traceparent: {parent}\r\n"), ""));
    }
    let line = daemon.wait_for_access("the valid one", |line| line["uri"] == "/valid");
    assert_eq!(line["trace_id"], trace);
    let line = daemon.wait_for_access("the invalid one", |line| line["uri"] == "/invalid");
    assert!(line.get("trace_id").is_none(), "{line}");
}

#[test]
fn a_condition_decides_which_requests_have_a_line() {
    let server = Server::start("1");
    let log = "[access_log]\npath = \"access.log\"\n\
               when = \"status >= 500 || duration > 150ms || header.x-debug == 'on' && !(path ^= /quiet)\"";
    let config =
        Config::to([&server]).route_before("path = \"/bad\"\nrespond = { status = 503 }").rest(log);
    // One worker's lines are in the order of its requests.
    let daemon = Daemon::start(&config.workers(1));
    get(daemon.http(), "/good");
    get(daemon.http(), "/bad");
    ask(daemon.http(), &request("GET", "/debugged", "X-Debug: on\r\n", ""));
    ask(daemon.http(), &request("GET", "/quiet", "X-Debug: on\r\n", ""));
    let gate = Gate::default();
    server.set(Behaviour::gated(&gate));
    let address = daemon.http();
    let slow = thread::spawn(move || get(address, "/slow"));
    server.wait_for_requests(4);
    // The time that is to be seen in the log.
    thread::sleep(Duration::from_millis(200));
    gate.open();
    slow.join().unwrap();
    daemon.wait_for_access("the slow one", |line| line["uri"] == "/slow");
    let lines = daemon.access_log();
    let uris: BTreeSet<_> = lines.iter().map(|it| it["uri"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), uris), (3, BTreeSet::from(["/bad", "/debugged", "/slow"])));
}

#[test]
fn a_sample_is_the_same_on_every_instance_and_leaves_out_nothing_that_is_always_wanted() {
    let log = "[access_log]\npath = \"access.log\"\nsample = \"10%\"\nalways = \"status >= 500\"";
    let sampled = || {
        let daemon = Daemon::start(&answering(log));
        let mut client = Client::connect(daemon.http());
        for number in 0..2000 {
            let path = if number % 100 == 0 { "/bad/1" } else { "/" };
            client.send(request("GET", path, &format!("X-Request-Id: r-{number}\r\n"), ""));
            client.response();
        }
        client.send(request("GET", "/bad/end", "", ""));
        client.response();
        daemon.wait_for_access("the last one", |line| line["uri"] == "/bad/end");
        let lines = daemon.access_log();
        let ids = |status: u16| -> BTreeSet<String> {
            let lines = lines.iter().filter(|it| it["status"] == status && it["uri"] != "/bad/end");
            lines.map(|it| it["request_id"].as_str().unwrap().to_owned()).collect()
        };
        (ids(200), ids(503))
    };
    let (good, bad) = sampled();
    assert_eq!(bad.len(), 20, "each of them");
    // Of 1980 ids 198 are expected. The ids are always the same, so the number is, too.
    assert!((160..240).contains(&good.len()), "{}", good.len());
    assert_eq!(sampled(), (good, bad), "another instance");
}

#[test]
fn a_reload_changes_fields_and_condition_and_loses_no_line() {
    let log = |keys: &str| format!("[access_log]\npath = \"access.log\"\n{keys}");
    let daemon = Daemon::start(&answering(&log("")));
    let load = Load::on(daemon.http()).connections(4).start();
    for round in 0..6 {
        load.wait_for(load.done() + 50);
        let keys = ["fields = [\"uri\", \"status\"]\nwhen = \"status > 100\"", "sample = \"100%\""];
        daemon.reconfigure(&answering(&log(keys[round % 2])));
    }
    let outcome = load.stop();
    outcome.expect_no_failure();
    let answered = outcome.of("x");
    until("every line", || daemon.access_log().len() >= answered);
    let text = fs::read_to_string(daemon.path("access.log")).unwrap();
    assert_eq!(text.lines().count(), answered);
    assert_eq!(daemon.access_log().len(), answered, "each is whole");
    let short = daemon.access_log().iter().filter(|it| it.get("time").is_none()).count();
    assert!(0 < short && short < answered, "{short} of {answered}");
}

#[test]
fn several_logs_each_have_their_own_lines() {
    let logs = "[[access_log]]\npath = \"access.log\"\nwhen = \"status < 500\"\n\
                [[access_log]]\npath = \"errors.log\"\nformat = \"combined\"\nwhen = \"status >= 500\"\n\
                [[access_log]]\npath = \"access.log\"\nwhen = \"path == /both\"\nfields = [\"uri\"]\n";
    let text = answering("").text();
    let text = text.split("[access_log]").next().unwrap().to_owned();
    let daemon = Daemon::start_text(&(text + logs));
    get(daemon.http(), "/both");
    get(daemon.http(), "/bad/x");
    let errors = || fs::read_to_string(daemon.path("errors.log")).unwrap_or_default();
    until("all lines", || errors().ends_with('\n') && daemon.access_log().len() == 2);
    assert!(errors().contains("\"GET /bad/x HTTP/1.1\" 503 1"), "{}", errors());
    assert_eq!(daemon.access_log()[0]["status"], 200);
    assert_eq!(daemon.access_log()[1], serde_json::json!({ "uri": "/both" }));
}
