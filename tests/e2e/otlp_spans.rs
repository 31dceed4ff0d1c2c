//! What spans tell of a request, as a collector sees it.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Server,
    client::{ask, get, request},
    collector::{attempts_told, attributes, hex, requests_told, spans, wait_for_requests_told},
};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use std::thread;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn collector() -> Server {
    let collector = Server::start("collector");
    collector.set(Behaviour::fields(200, "", ""));
    collector
}

fn to_collector(collector: &Server, keys: &str) -> String {
    format!("[otlp]\nendpoint = \"http://{collector}\"\nmetrics = false\n{keys}")
}

#[test]
fn the_tree_of_a_retried_request() {
    let (servers, collector) = (Server::start_several(2), collector());
    servers[0].set(Behaviour::reset_on_accept());
    let config = Config::to(&servers).rest(&to_collector(&collector, ""));
    let daemon = Daemon::start(&config);
    let fields = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    // One of the first two begins with the server that fails.
    for path in ["/1", "/2"] {
        assert_eq!(ask(daemon.http(), &request("GET", path, &fields, "")).text(), "2");
    }
    let spans = wait_for_requests_told(&collector, 2);
    let mut retried = 0;
    for asked in requests_told(&spans) {
        assert_eq!(
            (hex(&asked.trace_id), hex(&asked.parent_span_id)),
            (TRACE.into(), "00f067aa0ba902b7".into())
        );
        let told = attributes(&asked.attributes);
        assert_eq!(told["http.response.status_code"], "200");
        let attempts = attempts_told(&spans, asked);
        if attempts.len() < 2 {
            continue;
        }
        retried += 1;
        let [failed, succeeded] = attempts[..] else { panic!("{attempts:?}") };
        let (first, second) = (attributes(&failed.attributes), attributes(&succeeded.attributes));
        assert_eq!(first["sheave.server"], servers[0].to_string());
        assert_eq!(failed.status.as_ref().expect("a status").code, StatusCode::Error as i32);
        assert!(
            first.contains_key("error.type") && !first.contains_key("http.request.resend_count")
        );
        assert_eq!(second["sheave.server"], servers[1].to_string());
        assert_eq!(second["http.request.resend_count"], "1");
        assert_eq!(second["http.response.status_code"], "200");
        assert!(succeeded.status.as_ref().is_none_or(|it| it.code != StatusCode::Error as i32));
        assert!(failed.end_time_unix_nano <= succeeded.start_time_unix_nano);
        for attempt in attempts {
            assert!(attempt.start_time_unix_nano >= asked.start_time_unix_nano);
            assert!(attempt.end_time_unix_nano <= asked.end_time_unix_nano);
        }
        // The server got the span of the attempt that it served.
        let parent = format!("traceparent: 00-{TRACE}-{}-01", hex(&succeeded.span_id));
        let heads: Vec<_> = servers[1].requests().into_iter().map(|it| it.head.raw).collect();
        assert!(heads.iter().any(|head| head.contains(&parent)), "{parent} in {heads:?}");
    }
    assert!(retried >= 1, "{spans:?}");
}

#[test]
fn the_callers_decision_holds_and_the_rest_is_sampled() {
    let (server, collector) = (Server::start("1"), collector());
    let config = Config::to([&server]).rest(&to_collector(&collector, "sample = \"20%\"")).quiet();
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    let mut ask = |path: &str, fields: &str| {
        assert_eq!(client.ask(&request("GET", path, fields, "")).status, 200);
    };
    for number in 0..20 {
        let parent =
            |flags| format!("traceparent: 00-{TRACE}-00f067aa0ba9{number:04x}-{flags}\r\n");
        ask("/yes", &parent("01"));
        ask("/no", &parent("00"));
    }
    for _ in 0..500 {
        ask("/ours", "");
    }
    // After it, everything before it has been told.
    ask("/last", &format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n"));
    let count = |path: &str| {
        let spans = spans(&collector);
        let told = requests_told(&spans).into_iter();
        told.filter(|it| attributes(&it.attributes)["url.path"] == path).count()
    };
    crate::rig::until("the last one", || count("/last") == 1 && count("/yes") == 20);
    // 500 at 20 %: less than 1 in 10^9 are outside of this.
    crate::rig::until("the sampled ones", || (45..=160).contains(&count("/ours")));
    assert_eq!(count("/no"), 0);
    let sampled = |flags: &str| {
        let heads = server.requests().into_iter().map(|it| it.head.raw);
        heads.filter(|head| head.starts_with("GET /ours") && head.contains(flags)).count()
    };
    assert_eq!(sampled("-01\r\n") + sampled("-00\r\n"), 500);
    assert_eq!(sampled("-01\r\n"), count("/ours"), "servers are told the decision");
}

#[test]
fn failures_and_slow_requests_are_told_though_they_were_not_sampled() {
    let (server, collector) = (Server::start("1"), collector());
    let gate = Gate::default();
    server.set_for("/bad", Behaviour::status(503, "bad"));
    server.set_for("/slow", Behaviour::gated(&gate));
    let keys =
        "sample = \"0%\"\nsample_always = { status = [\"500-599\"], slower_than = \"500ms\" }";
    let daemon = Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, keys)));
    get(daemon.http(), "/fine");
    get(daemon.http(), "/bad");
    let address = daemon.http();
    let slow = thread::spawn(move || get(address, "/slow"));
    server.wait_for_requests(3);
    // The time that makes it slow.
    thread::sleep(std::time::Duration::from_millis(600));
    gate.open();
    slow.join().unwrap();
    let spans = wait_for_requests_told(&collector, 2);
    let mut told: Vec<_> = requests_told(&spans)
        .into_iter()
        .map(|it| attributes(&it.attributes)["url.path"].clone())
        .collect();
    // Each worker has a buffer of its own.
    told.sort();
    assert_eq!(told, ["/bad", "/slow"]);
    for asked in requests_told(&spans) {
        assert_eq!(attempts_told(&spans, asked).len(), 1, "with the attempts");
    }
}

#[test]
fn secrets_never_leave_and_chosen_fields_do() {
    let (server, collector) = (Server::start("1"), collector());
    server.set(Behaviour::fields(200, "Set-Cookie: id=SECRET3\r\nX-Answer: yes\r\n", "ok"));
    let keys = "include = [\"request.header.*\", \"response.header.*\"]\n\
                exclude = [\"request.header.cookie\", \"request.header.authorization\", \"url.query\", \
                \"client.*\"]\n\
                attributes = { \"shop.tenant\" = \"{header.x-tenant}/{method}\", \"shop.none\" = \"{header.x-none}\" }";
    let daemon = Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, keys)));
    let fields = "Cookie: a=SECRET1\r\nAuthorization: Bearer SECRET2\r\nX-Tenant: red\r\n\
                  X-Twice: a\r\nX-Twice: b\r\nbaggage: k=v\r\n";
    ask(daemon.http(), &request("GET", "/path?token=SECRET4", fields, ""));
    let spans = wait_for_requests_told(&collector, 1);
    let told = attributes(&requests_told(&spans)[0].attributes);
    assert_eq!(told["http.request.header.x-tenant"], "red");
    assert_eq!(told["http.request.header.x-twice"], "a|b");
    assert_eq!(told["http.response.header.x-answer"], "yes");
    assert_eq!(told["shop.tenant"], "red/GET");
    assert!(!told.contains_key("client.address") && !told.contains_key("shop.none"), "{told:?}");
    for export in collector.requests() {
        let text = String::from_utf8_lossy(&export.body).into_owned();
        assert!(!text.contains("SECRET"), "{text}");
    }
    let seen = server.last_request().head.raw;
    for line in ["SECRET1", "SECRET2", "SECRET4", "baggage: k=v\r\n"] {
        assert!(seen.contains(line), "the server gets all of it: {seen}");
    }
}
