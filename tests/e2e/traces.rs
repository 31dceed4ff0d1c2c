//! A request's place in a trace: `traceparent` in and out.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{ask, get, request},
};
use std::collections::HashSet;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A daemon with traces, whose collector is not there.
fn traced(server: &Server, keys: &str) -> Daemon {
    server.set(Behaviour::echo());
    let rest = format!("[otlp]\nendpoint = \"http://127.0.0.1:9\"\n{keys}\n");
    Daemon::start(&Config::to([server]).rest(&rest))
}

/// What the server got, by name.
fn field(seen: &str, name: &str) -> Option<String> {
    let lines = seen.lines().filter_map(|line| line.split_once(": "));
    let mut found = lines.filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1.to_owned());
    let first = found.next();
    assert_eq!(found.next(), None, "two {name} in {seen}");
    first
}

/// The four parts of a `traceparent`.
fn parts(seen: &str) -> [String; 4] {
    let value = field(seen, "traceparent").unwrap_or_else(|| panic!("no traceparent in {seen}"));
    let parts: Vec<_> = value.split('-').map(str::to_owned).collect();
    parts.try_into().unwrap_or_else(|_| panic!("{value}"))
}

#[test]
fn a_server_gets_its_attempt_as_the_parent() {
    let server = Server::start("1");
    let daemon = traced(&server, "");
    let fields = format!("traceparent: {PARENT}\r\ntracestate: a=b,c=d\r\nbaggage: k=v\r\n");
    let mut spans = HashSet::new();
    for _ in 0..3 {
        let seen = ask(daemon.http(), &request("GET", "/", &fields, "")).text();
        let [version, trace, span, flags] = parts(&seen);
        assert_eq!((&*version, &*flags), ("00", "01"));
        assert_eq!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(span != "00f067aa0ba902b7" && spans.insert(span), "{seen}");
        assert_eq!(field(&seen, "tracestate").as_deref(), Some("a=b,c=d"));
        assert_eq!(field(&seen, "baggage").as_deref(), Some("k=v"));
    }
    // The caller has decided that this one is not recorded.
    let fields = format!("traceparent: {}\r\n", PARENT.replace("-01", "-00"));
    let seen = ask(daemon.http(), &request("GET", "/", &fields, "")).text();
    assert_eq!(parts(&seen)[3], "00");
    let line = daemon.wait_for_access("the trace", |line| line["status"] == 200);
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn a_trace_begins_here_without_a_valid_parent() {
    let server = Server::start("1");
    let daemon = traced(&server, "sample = \"0%\"");
    let seen = get(daemon.http(), "/").text();
    let [_, trace, _, flags] = parts(&seen);
    assert_eq!(flags, "00");
    // Both are the same in every log.
    assert_eq!(field(&seen, "x-request-id"), Some(trace));
    let seen = ask(daemon.http(), &request("GET", "/", "X-Request-Id: mine\r\n", "")).text();
    assert_eq!(parts(&seen)[1].len(), 32);
    for invalid in [
        "traceparent: nonsense\r\n".to_owned(),
        format!("traceparent: {PARENT}-more\r\n"),
        format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n"),
        String::new(),
    ] {
        let fields = format!("{invalid}tracestate: a=b\r\n");
        let seen = ask(daemon.http(), &request("GET", "/", &fields, "")).text();
        assert_ne!(parts(&seen)[1], "4bf92f3577b34da6a3ce929d0e0e4736", "{invalid}");
        assert_eq!(field(&seen, "tracestate"), None, "{invalid}");
    }
}

#[test]
fn an_edit_of_the_route_decides() {
    let server = Server::start("1");
    server.set(Behaviour::echo());
    let rest = "[otlp]\nendpoint = \"http://127.0.0.1:9\"\n";
    let config = Config::to([&server])
        .route("response_headers.set = { x-trace = \"{trace_id}\" }")
        .route_before(
            "path = \"/set\"\nupstream = \"app\"\nrequest_headers.set = { traceparent = \"x\" }",
        )
        .route_before(
            "path = \"/gone\"\nupstream = \"app\"\nrequest_headers.remove = [\"traceparent\"]",
        )
        .rest(rest);
    let daemon = Daemon::start(&config);
    assert_eq!(field(&get(daemon.http(), "/set").text(), "traceparent").as_deref(), Some("x"));
    assert_eq!(field(&get(daemon.http(), "/gone").text(), "traceparent"), None);
    let fields = format!("traceparent: {PARENT}\r\n");
    let told = ask(daemon.http(), &request("GET", "/", &fields, ""));
    assert_eq!(told.head.field("x-trace"), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
}
