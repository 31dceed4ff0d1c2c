"""Traces and metrics at a collector made of OpenTelemetry's own messages, and traces that begin before
sheave and go on behind it, at Traefik and Envoy."""

import contextlib
import http.server
import os
import pathlib
import shutil
import threading
import time
import urllib.error
import urllib.request

from collector import Collector, answer, attributes, wait_until
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from scene import free_port

SERVER, CLIENT = trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

CONFIG = """
workers = 2
[listener.http]
address = "127.0.0.1:{http}"
[admin]
address = "127.0.0.1:{admin}"
[upstream.app]
servers = [{servers}]
[[site]]
[[site.route]]
name = "all"
path = "/*"
upstream = "app"
[otlp]
endpoint = "http://127.0.0.1:{collector}"
service = "sheave"
{keys}
"""


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with its status in the path, and keeps the fields of requests."""

    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024

    def do_GET(self):
        with self.server.lock:
            fields = {name.lower(): value for name, value in self.headers.items()}
            self.server.asked.append((self.path, fields))
        words = self.path.strip("/").split("/")
        if words[0] == "slow":
            time.sleep(0.7)
        status = int(words[0]) if words[0].isdigit() else 200
        self.send_response(status)
        self.send_header("Set-Cookie", "id=SECRET-ANSWER")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def web():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    server.lock, server.asked = threading.Lock(), []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Instance:
    """A daemon of its own, with what it sends to and what it asks."""

    def __init__(self, scene, stack, name, keys="", servers=None, up=True):
        self.collector = Collector()
        stack.callback(self.collector.stop)
        if up:
            self.collector.start()
        self.web = stack.enter_context(web())
        self.http, self.admin = free_port(), free_port()
        ports = servers or [self.web.server_port]
        tables = ", ".join(f'{{ address = "127.0.0.1:{port}" }}' for port in ports)
        file = scene.directory / f"otlp-{name}.toml"
        file.write_text(CONFIG.format(
            http=self.http, admin=self.admin, servers=tables, collector=self.collector.port, keys=keys,
        ))
        self.log = scene.directory / f"otlp-{name}.log"
        scene.spawn(f"otlp-{name}", [scene.binary, "--config", str(file)])
        self.process = scene.processes[f"otlp-{name}"]
        stack.callback(self.end)
        scene.wait(f"otlp-{name}", self.http)

    def end(self):
        self.process.terminate()
        self.process.wait(20)

    def get(self, path, port=None, **fields):
        url = f"http://127.0.0.1:{port or self.http}{path}"
        asked = urllib.request.Request(url, headers={k.replace("_", "-"): v for k, v in fields.items()})
        try:
            with urllib.request.urlopen(asked, timeout=10) as reply:
                reply.read()
                return reply.status
        except urllib.error.HTTPError as error:
            error.read()
            return error.code

    def metric(self, name):
        url = f"http://127.0.0.1:{self.admin}/metrics"
        with urllib.request.urlopen(url, timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def dropped(self):
        return self.metric("sheave_otlp_dropped_spans_total")

    def requests(self):
        return [span for span in self.collector.spans() if span.kind == SERVER]

    def paths(self):
        return [attributes(span)["url.path"] for span in self.requests()]


def check(work):
    """Each gets an instance's maker, and what it made ends with it."""

    def given(scene):
        def run(_place):
            with contextlib.ExitStack() as stack:
                name = work.__name__
                work(lambda **how: Instance(scene, stack, name, **how))
        return run

    return given


@check
def tree(make):
    dead = free_port()
    with web() as other:
        us = make(servers=[dead, other.server_port], keys='resource = { "team" = "edge" }\n'
                  'headers = { api-key = "k" }\ncompression = "gzip"\nmetrics = false')
        for _ in range(4):
            assert us.get("/a?b=c", traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="v=1",
                          baggage="k=v") == 200
        wait_until("four requests", lambda: len(us.requests()) == 4)
        spans, retried = us.collector.spans(), 0
        for asked in us.requests():
            assert (asked.trace_id.hex(), asked.parent_span_id.hex()) == (TRACE, PARENT), asked
            assert asked.name == "GET /*" and asked.trace_state == "v=1", asked
            told = attributes(asked)
            assert told["http.response.status_code"] == 200 and told["url.query"] == "b=c", told
            attempts = [it for it in spans if it.parent_span_id == asked.span_id]
            attempts.sort(key=lambda it: it.start_time_unix_nano)
            assert all(it.kind == CLIENT and it.trace_id == asked.trace_id for it in attempts)
            last = attempts[-1]
            assert attributes(last)["http.response.status_code"] == 200
            heads = [fields for _, fields in other.asked]
            parents = [fields["traceparent"] for fields in heads]
            assert f"00-{TRACE}-{last.span_id.hex()}-01" in parents, parents
            assert all((it["tracestate"], it["baggage"]) == ("v=1", "k=v") for it in heads), heads
            if len(attempts) == 2:
                retried += 1
                first = attempts[0]
                assert first.status.code == trace_pb2.Status.STATUS_CODE_ERROR, first
                assert attributes(first)["server.port"] == dead
                assert attributes(first)["error.type"], first
                assert attributes(last)["http.request.resend_count"] == 1
                assert last.status.code != trace_pb2.Status.STATUS_CODE_ERROR, last
        assert retried > 0, "one of the first two begins with the server that is not there"
        fields, message = us.collector.exports()[0]
        assert fields["api-key"] == "k" and fields["content-encoding"] == "gzip", fields
        resource = attributes(message.resource_spans[0].resource)
        assert (resource["service.name"], resource["team"]) == ("sheave", "edge"), resource


@check
def down_then_up(make):
    us = make(up=False, keys="metrics = false")
    for number in range(300):
        assert us.get(f"/{number}x") == 200
    wait_until("two failures", lambda: us.metric("sheave_otlp_exports_total") >= 2)
    us.collector.start()
    wait_until("all of them", lambda: len(us.requests()) == 300, 40)
    assert us.dropped() == 0
    assert len(us.collector.spans()) == 600


@check
def slow(make):
    us = make(keys='metrics = false\ntimeout = "1s"')
    us.collector.script = [answer(pause=3.0), answer()]
    begun = time.monotonic()
    assert us.get("/") == 200
    wait_until("the second export", lambda: len(us.collector.seen) >= 2)
    assert us.get("/") == 200 and time.monotonic() - begun < 10
    wait_until("both", lambda: len(us.requests()) == 2)
    assert "no answer within 1s" in us.log.read_text()


@check
def busy(make):
    us = make(keys="metrics = false")
    us.collector.script = [answer(429, b"too many", Retry_After=2), answer()]
    us.get("/")
    wait_until("the span", lambda: us.requests())
    first, second = us.collector.seen[:2]
    assert 1.9 <= second - first < 8, second - first
    assert us.collector.raw[0] == us.collector.raw[1], "the same batch"
    assert us.dropped() == 0


@check
def refused(make):
    us = make(keys="metrics = false")
    us.collector.script = [answer(400, b"no such tenant"), answer()]
    us.get("/first")
    wait_until("it is dropped", lambda: us.dropped() == 2)
    us.get("/second")
    wait_until("the second", us.requests)
    assert us.paths() == ["/second"] and len(us.collector.seen) == 2
    assert "no such tenant" in us.log.read_text()


@check
def partial(make):
    us = make(keys="metrics = false")
    words = trace_service.ExportTraceServiceResponse()
    words.partial_success.rejected_spans = 1
    words.partial_success.error_message = "one is too old"
    us.collector.script = [answer(words=words.SerializeToString())]
    us.get("/")
    wait_until("it is counted", lambda: us.dropped() == 1)
    assert us.metric("sheave_otlp_exported_spans_total") == 1
    assert "one is too old" in us.log.read_text()


@check
def overflow(make):
    us = make(up=False, keys='metrics = false\nbuffer = "64KiB"')
    sent = 0
    while us.dropped() == 0:
        assert sent < 5000, "nothing is dropped"
        for _ in range(100):
            assert us.get("/") == 200
        sent += 100
    us.collector.start()
    wait_until(
        "what fitted", lambda: len(us.collector.spans()) + us.dropped() == 2 * sent, 40
    )
    assert len(us.collector.spans()) > 100


@check
def sampled(make):
    us = make(keys='metrics = false\nsample = "25%"\n'
              'sample_always = { status = ["500-599"], slower_than = "500ms" }')
    parent = {flags: f"00-{TRACE}-{PARENT}-{flags}" for flags in ("00", "01")}
    for _ in range(20):
        us.get("/yes", traceparent=parent["01"])
        us.get("/no", traceparent=parent["00"])
    for _ in range(200):
        us.get("/ours")
    us.get("/503/failed", traceparent=parent["00"])
    us.get("/slow", traceparent=parent["00"])
    wait_until("the slow one", lambda: "/slow" in us.paths() and us.paths().count("/yes") == 20)
    paths = wait_until("the failed one", lambda: "/503/failed" in us.paths() and us.paths())
    assert paths.count("/no") == 0, paths
    # 200 at 25 %: less than 1 in 10^7 are outside of this.
    assert 18 <= paths.count("/ours") <= 90, paths.count("/ours")
    told = [it["traceparent"] for path, it in us.web.asked if path == "/ours"]
    assert len(told) == 200
    assert sum(it.endswith("-01") for it in told) == paths.count("/ours"), "servers are told"


@check
def redacted(make):
    us = make(keys='metrics = false\ninclude = ["request.header.*", "response.header.*"]')
    us.get("/", Cookie="a=SECRET-COOKIE", Authorization="Bearer SECRET-TOKEN", X_Tenant="red",
           baggage="k=v")
    [asked] = wait_until("the request", us.requests)
    assert attributes(asked)["http.request.header.x-tenant"] == ["red"]
    assert not any(b"SECRET" in raw for raw in us.collector.raw)
    [(_, fields)] = us.web.asked
    assert fields["cookie"] == "a=SECRET-COOKIE" and fields["baggage"] == "k=v", fields


@check
def metrics(make):
    us = make(keys='traces = false\nmetrics_interval = "1s"')
    for _ in range(5):
        us.get("/")
    us.get("/503/x")

    def counted():
        durations = us.collector.metrics().get("http_request_duration_seconds")
        points = durations.histogram.data_points if durations else []
        return sum(it.count for it in points if attributes(it)["route"] == "all") == 6

    wait_until("six requests", counted)
    metrics = us.collector.metrics()
    durations, cumulative = metrics["http_request_duration_seconds"], (
        metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE)
    assert durations.unit == "s"
    assert durations.histogram.aggregation_temporality == cumulative
    for point in durations.histogram.data_points:
        assert sum(point.bucket_counts) == point.count
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        assert 0 < point.start_time_unix_nano < point.time_unix_nano
    attempts = metrics["sheave_upstream_attempts_total"].sum
    assert attempts.is_monotonic and attempts.aggregation_temporality == cumulative
    success = [it for it in attempts.data_points if attributes(it)["outcome"] == "success"]
    assert sum(it.as_double for it in success) == 6.0, success
    assert attributes(success[0])["server"] == f"127.0.0.1:{us.web.server_port}"
    assert metrics["sheave_upstream_up"].gauge.data_points[0].as_double == 1.0
    resident = metrics["process_resident_memory_bytes"]
    assert resident.unit == "By" and resident.gauge.data_points[0].as_double > 1 << 20
    url = f"http://127.0.0.1:{us.admin}/metrics"
    with urllib.request.urlopen(url, timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    kinds = {"counter": "sum", "gauge": "gauge", "histogram": "histogram"}
    later = wait_until("all families", lambda: "sheave_otlp_exports_total" in us.collector.metrics()
                       and us.collector.metrics())
    for line in lines:
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert later[name].WhichOneof("data") == kinds[kind], line


TRAEFIK = """
http:
  routers:
    all: {{ rule: "PathPrefix(`/`)", service: next, entryPoints: [web] }}
  services:
    next: {{ loadBalancer: {{ servers: [{{ url: "http://127.0.0.1:{next}" }}] }} }}
"""

ENVOY = """
static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: all
          tracing:
            provider:
              name: envoy.tracers.opentelemetry
              typed_config:
                "@type": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig
                service_name: envoy
                http_service:
                  http_uri: {{ uri: "http://127.0.0.1:{collector}/v1/traces", cluster: collector, timeout: 5s }}
          route_config:
            virtual_hosts:
            - {{ name: all, domains: ["*"], routes: [{{ match: {{ prefix: "/" }}, route: {{ cluster: next }} }}] }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: next
    type: STATIC
    load_assignment: {{ cluster_name: next, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {next} }} }} }} }}] }}] }}
  - name: collector
    type: STATIC
    load_assignment: {{ cluster_name: collector, endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {collector} }} }} }} }}] }}] }}
layered_runtime:
  layers:
  - {{ name: now, static_layer: {{ tracing.opentelemetry.flush_interval_ms: 200 }} }}
"""


def traefik(scene, port, onwards, collector):
    # Not by the name of Traefik's own config, which it would find.
    (scene.directory / "chain.yml").write_text(TRAEFIK.format(next=onwards))
    binary = shutil.which("traefik", path=f"{os.environ['PEERS']}/bin")
    return [
        binary, f"--entryPoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={scene.directory}/chain.yml",
        "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false",
        "--tracing.otlp=true", "--tracing.otlp.http=true",
        f"--tracing.otlp.http.endpoint=http://127.0.0.1:{collector}/v1/traces",
    ]


def envoy(scene, port, onwards, collector):
    file = scene.directory / "envoy.yaml"
    file.write_text(ENVOY.format(port=port, next=onwards, collector=collector))
    binary = next(pathlib.Path(os.environ["PEERS"]).glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return [str(binary), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


def chain(first, last):
    """Three that know each other only by `traceparent`."""

    def given(scene):
        def run(_place):
            with contextlib.ExitStack() as stack:
                front, back = free_port(), free_port()
                us = Instance(scene, stack, f"chain-{first.__name__}", "metrics = false", [back])
                collector = us.collector.port
                for proxy, port, onwards in (
                    (last, back, us.web.server_port), (first, front, us.http),
                ):
                    name = f"chain-{first.__name__}-{proxy.__name__}"
                    scene.spawn(name, proxy(scene, port, onwards, collector))
                    stack.callback(scene.processes[name].terminate)
                    scene.wait(name, port)
                # Traefik reads its routes a moment after it listens.
                wait_until("the chain", lambda: us.get("/", port=front) == 200)
                assert us.get("/told", port=front) == 200
                judge(us.collector, first.__name__, last.__name__)
        return run

    return given


def judge(collector, first, last):
    """One trace: each one's parent is the span before it."""

    def told():
        ours = [it for it in collector.spans("sheave") if it.kind == SERVER]
        ours = [it for it in ours if attributes(it)["url.path"] == "/told"]
        if not ours:
            return None
        [asked] = ours
        by_id = {it.span_id: it for it in collector.spans()}
        [attempt] = [it for it in by_id.values()
                     if it.parent_span_id == asked.span_id and it.kind == CLIENT]
        before = by_id.get(asked.parent_span_id)
        after = [it for it in collector.spans(last) if it.parent_span_id == attempt.span_id]
        return (before, asked, attempt, after[0]) if before and after else None

    try:
        before, asked, attempt, after = wait_until("the whole trace", told, 30)
    except AssertionError as error:
        seen = [
            (name, span.name, span.kind, span.span_id.hex(), span.parent_span_id.hex())
            for name in (first, "sheave", last) for span in collector.spans(name)
        ]
        raise AssertionError(f"no whole trace among {seen}") from error
    assert before.span_id in {it.span_id for it in collector.spans(first)}, before
    traces = {it.trace_id for it in (before, asked, attempt, after)}
    assert len(traces) == 1 and len(traces.pop()) == 16
    # The trace begins at the first.
    by_id = {it.span_id: it for it in collector.spans(first)}
    root = before
    while root.parent_span_id:
        root = by_id[root.parent_span_id]
    times = [it.start_time_unix_nano for it in (root, before, asked, attempt, after)]
    assert times == sorted(times), times
