"""A collector made of OpenTelemetry's own messages, which does what a check tells it."""

import contextlib
import gzip
import http.server
import sys
import threading
import time

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from scene import free_port

KINDS = {
    "/v1/traces": (
        trace_service.ExportTraceServiceRequest,
        trace_service.ExportTraceServiceResponse,
    ),
    "/v1/metrics": (
        metrics_service.ExportMetricsServiceRequest,
        metrics_service.ExportMetricsServiceResponse,
    ),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one piece, or the second waits for an acknowledgement.
    wbufsize = 64 * 1024

    def do_POST(self):
        body = self.body()
        collector = self.server.collector
        with collector.lock:
            # The last answer stays.
            script = collector.script
            answer = script.pop(0) if len(script) > 1 else script[0]
            collector.seen.append(time.monotonic())
            collector.raw.append(body)
        status, fields, words, pause = answer
        time.sleep(pause)
        request, response = KINDS[self.path]
        plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        if status == 200:
            with collector.lock:
                collector.taken.append((self.path, dict(self.headers), request.FromString(plain)))
            words = words or response().SerializeToString()
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def body(self):
        """Envoy's has no length."""
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, *_):
        pass


def answer(status=200, words=b"", pause=0.0, **fields):
    """One answer of a script; `Retry_After` is a field."""
    return status, {name.replace("_", "-"): str(it) for name, it in fields.items()}, words, pause


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *whose):
        # Clients that go away are part of the checks.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*whose)


class Collector:
    """Down until `start`. Answers by its script; `taken` has what it took."""

    def __init__(self, port=None):
        self.port = port or free_port()
        self.lock = threading.Lock()
        self.script = [answer()]
        self.seen, self.raw, self.taken = [], [], []
        self.server = None

    def start(self):
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.collector = self
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()

    def exports(self, path="/v1/traces"):
        with self.lock:
            return [(fields, message) for kind, fields, message in self.taken if kind == path]

    def resource_spans(self):
        return [it for _, message in self.exports() for it in message.resource_spans]

    def spans(self, service=None):
        """What services have told, by the ids of spans: one that came twice is there once."""
        found = {}
        for resource in self.resource_spans():
            name = attributes(resource.resource)["service.name"]
            for scope in resource.scope_spans:
                if service in (None, name):
                    found.update((span.span_id, span) for span in scope.spans)
        return list(found.values())

    def metrics(self):
        """The last export of them, by name."""
        exports = self.exports("/v1/metrics")
        if not exports:
            return {}
        return {
            metric.name: metric
            for resource in exports[-1][1].resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(it) for it in value.array_value.values]
    return getattr(value, kind)


def attributes(of):
    """The attributes of a resource, a span or a point."""
    found = {it.key: plain(it.value) for it in of.attributes}
    assert len(found) == len(of.attributes), f"an attribute twice: {of.attributes}"
    return found


def wait_until(what, well, limit=20):
    until = time.monotonic() + limit
    while True:
        with contextlib.suppress(OSError):
            found = well()
            if found:
                return found
        assert time.monotonic() < until, f"not within {limit} s: {what}"
        time.sleep(0.02)
