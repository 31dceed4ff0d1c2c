//! Where a request's time went, as its client is told.

use crate::rig::{
    Behaviour, Config, Daemon, Server,
    client::{ask, get, request},
};

/// The numbers behind `dur=`, by name.
fn durations(field: &str) -> Vec<(String, f64)> {
    let metrics = field.split(", ").filter_map(|it| it.split_once(";dur="));
    let parsed = |(name, time): (&str, &str)| (name.to_owned(), time.parse().expect("a number"));
    metrics.map(parsed).collect()
}

#[test]
fn server_timing_is_told_by_routes_that_ask_for_it() {
    let server = Server::start("1");
    let config = Config::to([&server])
        .workers(1)
        .route_before("path = \"/told\"\nupstream = \"app\"\nserver_timing = true")
        .route_before("path = \"/own\"\nrespond = { body = \"x\" }\nserver_timing = true");
    let daemon = Daemon::start(&config);
    let told = get(daemon.http(), "/told");
    let field = told.head.field("server-timing").expect("the field").to_owned();
    let names: Vec<_> = durations(&field).into_iter().map(|it| it.0).collect();
    assert_eq!(names, ["sheave", "queue", "connect", "first_byte"], "{field}");
    // The phases are parts of the whole.
    let times = durations(&field);
    let parts: f64 = times[1..].iter().map(|it| it.1).sum();
    assert!(parts <= times[0].1 + 0.01, "{field}");
    // Over a kept connection, none is opened.
    let kept = ask(daemon.http(), &request("GET", "/told", "", ""));
    let field = kept.head.field("server-timing").expect("the field").to_owned();
    let names: Vec<_> = durations(&field).into_iter().map(|it| it.0).collect();
    assert_eq!(names, ["sheave", "queue", "first_byte"], "{field}");
    let own = get(daemon.http(), "/own");
    assert_eq!(durations(own.head.field("server-timing").expect("the field")).len(), 1);
    assert!(get(daemon.http(), "/").head.field("server-timing").is_none());
}

#[test]
fn a_trace_passes_as_it_came_as_long_as_there_are_none_of_ours() {
    let server = Server::start("1");
    server.set(Behaviour::echo());
    let daemon = Daemon::start(&Config::to([&server]));
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let fields = format!("traceparent: {parent}\r\ntracestate: a=b,c=d\r\nbaggage: k=v\r\n");
    let seen = ask(daemon.http(), &request("GET", "/", &fields, "")).text();
    for line in [&*format!("traceparent: {parent}"), "tracestate: a=b,c=d", "baggage: k=v"] {
        assert!(seen.contains(line), "{line} in {seen}");
    }
    assert!(!get(daemon.http(), "/").text().contains("traceparent"));
    // What is not valid is the server's business.
    let fields = "traceparent: nonsense\r\n";
    let seen = ask(daemon.http(), &request("GET", "/", fields, "")).text();
    assert!(seen.contains("traceparent: nonsense"), "{seen}");
}
