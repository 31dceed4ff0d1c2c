//! Exports to a collector: what is sent, and what happens while the collector misbehaves.

use crate::rig::{
    Behaviour, Client, Config, Daemon, Gate, Server, Step, certs,
    client::{get, request},
    collector::{
        attributes, metric, metric_exports, requests_told, spans, trace_exports,
        wait_for_requests_told,
    },
    eventually,
    front::Front,
    until,
};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    metrics::v1::{
        AggregationTemporality, ResourceMetrics, metric::Data, number_data_point::Value,
    },
};
use prost::Message;
use std::{collections::BTreeSet, io::Read, time::Instant};

/// A collector that takes everything.
fn collector() -> Server {
    let collector = Server::start("collector");
    collector.set(taking());
    collector
}

fn taking() -> Behaviour {
    Behaviour::fields(200, "Content-Type: application/x-protobuf\r\n", "")
}

/// `[otlp]` with these keys.
fn to_collector(collector: &Server, keys: &str) -> String {
    format!("[otlp]\nendpoint = \"http://{collector}\"\n{keys}")
}

fn exports(daemon: &Daemon, signal: &str, result: &str) -> u64 {
    daemon.count("sheave_otlp_exports_total", &[("signal", signal), ("result", result)])
}

fn dropped(daemon: &Daemon) -> u64 {
    daemon.count("sheave_otlp_dropped_spans_total", &[])
}

#[test]
fn an_export_says_who_it_is_from_and_has_the_users_fields() {
    let (server, collector) = (Server::start("1"), collector());
    let keys = "service = \"edge\"\nmetrics = false\n\
                resource = { \"deployment.environment.name\" = \"test\", \"service.version\" = \"7\" }\n\
                headers = { api-key = \"${KEY:-secret}\", X-Other = \"b\" }";
    let daemon = Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, keys)));
    assert_eq!(get(daemon.http(), "/a?b").status, 200);
    let spans = wait_for_requests_told(&collector, 1);
    let [server_span] = requests_told(&spans)[..] else { panic!("one request: {spans:?}") };
    assert_eq!(server_span.name, "GET /*");
    let export = &trace_exports(&collector)[0];
    let resource = attributes(&export.resource.as_ref().expect("a resource").attributes);
    for (name, value) in [
        ("service.name", "edge"),
        ("service.version", "7"),
        ("deployment.environment.name", "test"),
        ("telemetry.sdk.name", "sheave"),
    ] {
        assert_eq!(resource[name], value, "{resource:?}");
    }
    assert_eq!(resource["service.instance.id"].len(), 36);
    assert_eq!(
        resource["host.name"],
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim()
    );
    let scope = export.scope_spans[0].scope.as_ref().expect("a scope");
    assert_eq!((&*scope.name, &*scope.version), ("sheave", env!("CARGO_PKG_VERSION")));
    let head = collector.last_request().head.raw;
    for line in [
        "POST /v1/traces HTTP/1.1\r\n",
        &format!("\r\nhost: {collector}\r\n"),
        "\r\ncontent-type: application/x-protobuf\r\n",
        "\r\napi-key: secret\r\n",
        "\r\nx-other: b\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!daemon.log.lines().iter().any(|it| it.contains("secret")), "keys are not logged");
    daemon.wait_for_metric("sheave_otlp_exported_spans_total", &[], 2);
}

#[test]
fn a_base_path_and_gzip_and_one_connection_for_all() {
    let (server, collector) = (Server::start("1"), collector());
    let rest = format!(
        "[otlp]\nendpoint = \"http://{collector}/in/otlp/\"\ncompression = \"gzip\"\nmetrics = false"
    );
    let daemon = Daemon::start(&Config::to([&server]).rest(&rest));
    for round in 1..=3 {
        get(daemon.http(), "/");
        until("an export", || exports(&daemon, "traces", "success") == round);
    }
    for export in collector.requests() {
        assert!(export.head.raw.starts_with("POST /in/otlp/v1/traces "), "{}", export.head.raw);
        assert!(export.head.raw.contains("\r\ncontent-encoding: gzip\r\n"));
        let mut plain = Vec::new();
        GzDecoder::new(&*export.body).read_to_end(&mut plain).expect("gzip");
        let request = ExportTraceServiceRequest::decode(&*plain).expect("spans");
        assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 2);
    }
    assert_eq!(collector.accepted(), 1);
}

#[test]
fn nothing_is_lost_while_the_collector_is_down_and_the_log_says_so_once() {
    let (server, collector) = (Server::start("1"), collector());
    collector.kill();
    let daemon =
        Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, "metrics = false")));
    let mut client = Client::connect(daemon.http());
    for _ in 0..200 {
        client.get("/");
    }
    until("two failures", || exports(&daemon, "traces", "failed") >= 2);
    let (status, health) = daemon.admin_json("/health");
    assert_eq!((status, &health["status"]), (200, &"ok".into()), "requests are served");
    assert_eq!(health["checks"]["otlp"]["traces"], "degraded", "{health}");
    assert_eq!(daemon.count("sheave_otlp_up", &[("signal", "traces")]), 0);
    collector.come_back();
    let spans = wait_for_requests_told(&collector, 200);
    let ids: BTreeSet<_> = spans.iter().map(|it| it.span_id.clone()).collect();
    assert_eq!((ids.len(), dropped(&daemon)), (400, 0));
    until("it to be up", || daemon.count("sheave_otlp_up", &[("signal", "traces")]) == 1);
    daemon.log.wait_for("it is back", |line| line.contains("takes exports again"));
    let told = |what: &str| daemon.log.lines().iter().filter(|it| it.contains(what)).count();
    assert_eq!((told("does not take exports now"), told("takes exports again")), (1, 1));
}

#[test]
fn what_the_buffer_has_no_room_for_is_counted() {
    let (server, collector) = (Server::start("1"), collector());
    let gate = Gate::default();
    collector.set(Behaviour::new([
        Step::Wait(gate.clone()),
        Step::Body,
        Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
    ]));
    let keys = "buffer = \"64KiB\"\nmetrics = false";
    let config = Config::to([&server]).rest(&to_collector(&collector, keys)).quiet().workers(1);
    let daemon = Daemon::start(&config);
    let mut client = Client::connect(daemon.http());
    let mut sent = 0;
    until("spans to be dropped", || {
        for _ in 0..50 {
            client.get("/");
            sent += 1;
        }
        dropped(&daemon) > 0
    });
    let begun = Instant::now();
    assert_eq!(client.get("/").status, 200);
    assert!(begun.elapsed().as_secs() < 5, "requests do not wait for the collector");
    sent += 1;
    let (_, health) = daemon.admin_json("/health");
    let queue = &health["checks"]["otlp"]["queue"];
    assert_eq!(queue["limit"], 65536, "{health}");
    assert!(queue["used"].as_u64().expect("a number") > 32_768, "{health}");
    gate.open();
    until("what was kept to be there", || {
        spans(&collector).len() as u64 + dropped(&daemon) == 2 * sent
    });
}

#[test]
fn a_collector_that_is_busy_is_asked_again_when_it_says() {
    let (server, collector) = (Server::start("1"), collector());
    collector.set(Behaviour::fields(429, "Retry-After: 2\r\n", "too many"));
    let daemon =
        Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, "metrics = false")));
    get(daemon.http(), "/");
    collector.wait_for_requests(1);
    let first = Instant::now();
    collector.set(taking());
    collector.wait_for_requests(2);
    assert!(first.elapsed().as_millis() >= 1900, "{:?}", first.elapsed());
    let bodies: Vec<_> = collector.requests().into_iter().map(|it| it.body).collect();
    assert_eq!(bodies[0], bodies[1], "the same batch");
    until("it to be taken", || exports(&daemon, "traces", "success") == 1);
    assert_eq!((exports(&daemon, "traces", "failed"), dropped(&daemon)), (1, 0));
    daemon.log.wait_for("why", |line| line.contains("it answered 429: too many"));
}

#[test]
fn what_is_refused_is_not_sent_again() {
    let (server, collector) = (Server::start("1"), collector());
    collector.set(Behaviour::fields(400, "Content-Type: text/plain\r\n", "no such tenant"));
    let daemon =
        Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, "metrics = false")));
    get(daemon.http(), "/");
    until("the refusal", || exports(&daemon, "traces", "refused") == 1);
    daemon.log.wait_for("why", |line| line.contains("it answered 400: no such tenant"));
    assert_eq!(dropped(&daemon), 2);
    assert_eq!(daemon.count("sheave_otlp_up", &[("signal", "traces")]), 1, "it can be reached");
    collector.set(taking());
    collector.forget_requests();
    get(daemon.http(), "/next");
    let spans = wait_for_requests_told(&collector, 1);
    assert_eq!(spans.len(), 2, "only the next one's: {spans:?}");
}

#[test]
fn what_is_taken_in_part_is_counted_in_part() {
    let (server, collector) = (Server::start("1"), collector());
    let answer = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "too old".into(),
        }),
    };
    let answer = String::from_utf8(answer.encode_to_vec()).unwrap();
    collector.set(Behaviour::fields(200, "", &answer));
    let daemon =
        Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, "metrics = false")));
    get(daemon.http(), "/");
    until("the export", || exports(&daemon, "traces", "partial") == 1);
    assert_eq!(dropped(&daemon), 1);
    assert_eq!(daemon.count("sheave_otlp_exported_spans_total", &[]), 1);
    daemon.log.wait_for("why", |line| line.contains("too old"));
}

#[test]
fn a_collector_that_never_answers_is_given_up_and_holds_up_nothing() {
    let (server, collector) = (Server::start("1"), collector());
    collector.set(Behaviour::hang());
    let mut daemon = Daemon::start(
        &Config::to([&server])
            .rest(&to_collector(&collector, "metrics = false\ntimeout = \"300ms\"")),
    );
    get(daemon.http(), "/");
    daemon.log.wait_for("why", |line| line.contains("no answer within 300ms"));
    assert_eq!(get(daemon.http(), "/").status, 200);
    assert_eq!(daemon.admin_json("/live").0, 200);
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn at_a_stop_what_waits_is_sent() {
    let (server, collector) = (Server::start("1"), collector());
    let keys = "metrics_interval = \"1h\"";
    let mut daemon = Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, keys)));
    let mut client = Client::connect(daemon.http());
    for _ in 0..20 {
        client.get("/");
    }
    drop(client);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), Some(0));
    assert_eq!(requests_told(&spans(&collector)).len(), 20);
    assert_eq!(metric_exports(&collector).len(), 1, "and all metrics once more");
}

#[test]
fn a_reload_changes_the_collector_and_loses_nothing() {
    let (server, first, second) = (Server::start("1"), collector(), collector());
    first.kill();
    let config = Config::to([&server]);
    let with = |collector| config.clone().rest(&to_collector(collector, "metrics = false"));
    let daemon = Daemon::start(&with(&first));
    get(daemon.http(), "/1");
    until("a failure", || exports(&daemon, "traces", "failed") >= 1);
    daemon.reconfigure(&with(&second));
    get(daemon.http(), "/2");
    wait_for_requests_told(&second, 2);
    // What waits for a collector that is taken out of the config is given up, and counted.
    second.kill();
    get(daemon.http(), "/lost");
    let failed = exports(&daemon, "traces", "failed");
    until("another failure", || exports(&daemon, "traces", "failed") > failed);
    let before = dropped(&daemon);
    daemon.reconfigure(&config);
    until("its two spans to be counted", || dropped(&daemon) == before + 2);
    second.come_back();
    daemon.reconfigure(&with(&second));
    // Without `[otlp]` nothing is sent, and servers get the client's traceparent as it was.
    daemon.reconfigure(&config);
    second.forget_requests();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let asked = request("GET", "/3", &format!("traceparent: {parent}\r\n"), "");
    Client::connect(daemon.http()).ask(&asked);
    assert!(server.last_request().head.raw.contains(parent));
    daemon.reconfigure(&with(&second));
    get(daemon.http(), "/4");
    let spans = wait_for_requests_told(&second, 1);
    assert_eq!(spans.len(), 2, "{spans:?}");
}

/// The first export of metrics that comes from now on.
fn next_metrics(collector: &Server) -> ResourceMetrics {
    collector.forget_requests();
    let whole = |it: &ResourceMetrics| !it.scope_metrics.is_empty();
    eventually("an export of metrics", || metric_exports(collector).into_iter().find(whole))
}

#[test]
fn metrics_have_the_values_that_prometheus_gets() {
    let (server, collector) = (Server::start("1"), collector());
    let keys = "traces = false\nmetrics_interval = \"1s\"\nservice = \"edge\"";
    let daemon = Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, keys)));
    for _ in 0..3 {
        get(daemon.http(), "/");
    }
    let labels = [("upstream", "app"), ("outcome", "success")];
    daemon.wait_for_metric("sheave_upstream_attempts_total", &labels, 3);
    let export = next_metrics(&collector);
    let resource = attributes(&export.resource.as_ref().expect("a resource").attributes);
    assert_eq!(resource["service.name"], "edge");

    let attempts = metric(&export, "sheave_upstream_attempts_total").expect("attempts");
    let Some(Data::Sum(sum)) = &attempts.data else { panic!("{attempts:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality, AggregationTemporality::Cumulative as i32);
    let point =
        sum.data_points.iter().find(|it| attributes(&it.attributes)["outcome"] == "success");
    let point = point.expect("successes");
    assert_eq!(attributes(&point.attributes)["server"], server.to_string());
    assert_eq!(point.value, Some(Value::AsDouble(3.0)));
    assert!(point.start_time_unix_nano > 0 && point.start_time_unix_nano < point.time_unix_nano);

    let up = metric(&export, "sheave_upstream_up").expect("set when the metrics are read");
    let Some(Data::Gauge(up)) = &up.data else { panic!("{up:?}") };
    assert_eq!(up.data_points[0].value, Some(Value::AsDouble(1.0)));

    let durations = metric(&export, "http_request_duration_seconds").expect("durations");
    assert_eq!(durations.unit, "s");
    let Some(Data::Histogram(histogram)) = &durations.data else { panic!("{durations:?}") };
    assert_eq!(histogram.aggregation_temporality, AggregationTemporality::Cumulative as i32);
    let mut points = histogram.data_points.iter();
    let point = points.find(|it| attributes(&it.attributes)["route"] == "all");
    let point = point.expect("the route's");
    assert_eq!(point.count, 3);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 3);
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert!(
        point.explicit_bounds.is_sorted() && point.explicit_bounds.iter().all(|it| it.is_finite())
    );
    assert!(point.sum.is_some_and(|sum| sum > 0.0));

    assert!(spans(&collector).is_empty());
}

#[test]
fn metrics_are_the_same_families_as_for_prometheus() {
    let (server, collector) = (Server::start("1"), collector());
    let keys = "metrics_interval = \"1s\"";
    let daemon = Daemon::start(&Config::to([&server]).rest(&to_collector(&collector, keys)));
    get(daemon.http(), "/");
    // The first export is a family of its own.
    until("an export", || exports(&daemon, "metrics", "success") > 0);
    let text = daemon.metrics();
    let export = next_metrics(&collector);
    let declared = text.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for line in declared {
        let (name, kind) = line.split_once(' ').expect("a type");
        let metric = metric(&export, name).unwrap_or_else(|| panic!("no {name}"));
        let same = match &metric.data {
            Some(Data::Sum(_)) => kind == "counter",
            Some(Data::Gauge(_)) => kind == "gauge",
            Some(Data::Histogram(_)) => kind == "histogram",
            _ => false,
        };
        assert!(same, "{name} is a {kind}: {metric:?}");
    }
}

#[test]
fn a_collector_behind_tls_is_verified() {
    let (server, collector) = (Server::start("1"), collector());
    let dir = tempfile::tempdir().unwrap();
    certs::write_authority(dir.path(), "ca");
    certs::write(dir.path(), "server", certs::Kind::Ecdsa, &["collector.test"]);
    let tls = certs::server_config(dir.path(), "server", false);
    let front = Front::start(&collector, Some(tls), false);
    let otlp = |tls: &str| {
        format!("[otlp]\nendpoint = \"https://{}\"\nmetrics = false\ntls = {tls}", front.address)
    };
    let config = Config::to([&server]);
    let wrong = config.clone().rest(&otlp("{ ca = \"ca.pem\", name = \"other.test\" }"));
    let daemon = Daemon::start_in(dir, &wrong.text());
    get(daemon.http(), "/");
    until("a failure", || exports(&daemon, "traces", "failed") > 0);
    assert_eq!(collector.request_count(), 0);
    daemon.reconfigure(&config.rest(&otlp("{ ca = \"ca.pem\", name = \"collector.test\" }")));
    assert_eq!(wait_for_requests_told(&collector, 1).len(), 2);
}

/// The contract's file; only its ports are others.
#[test]
fn the_contracts_file_runs_as_it_is() {
    let (one, two, collector) = (Server::start("1"), Server::start("2"), collector());
    let text = include_str!("../contract/see.toml")
        .replace("127.0.0.1:3001", &one.to_string())
        .replace("127.0.0.1:3002", &two.to_string())
        .replace("127.0.0.1:4318", &collector.to_string())
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0");
    let text = format!("{text}\n[log]\nlevel = \"debug\"\nformat = \"json\"\n");
    let daemon = Daemon::start_text(&text);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let fields = format!("traceparent: {parent}\r\nX-Tenant: red\r\nCookie: SECRET\r\n");
    let answer = Client::connect(daemon.http()).ask(&request("GET", "/a?b", &fields, ""));
    assert_eq!(answer.status, 200);
    let spans = wait_for_requests_told(&collector, 1);
    let asked = attributes(&requests_told(&spans)[0].attributes);
    assert_eq!(asked["http.request.header.x-tenant"], "red");
    assert!(!asked.values().any(|it| it.contains("SECRET")), "{asked:?}");
    let line = daemon.wait_for_access("the request", |line| line["uri"] == "/a?b");
    assert_eq!(line["trace_id"], parent[3..35]);
    let names: Vec<_> = line.as_object().expect("an object").keys().cloned().collect();
    for field in ["time", "method", "uri", "status", "duration_ms", "connect_ms", "first_byte_ms"] {
        assert!(names.contains(&field.to_owned()), "{field} in {line}");
    }
    let export = next_metrics(&collector);
    assert!(metric(&export, "http_request_duration_seconds").is_some());
}
