"""The checks, one after the other. See ../run."""

import argparse
import asyncio
import inspect
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import browser_checks as browser
import dashboard_checks as dashboard
import grpc_checks as rpc
import http_checks as http
import kubernetes_checks as kubernetes
import otlp_checks as otlp
import prometheus_checks as prometheus
import proxy_checks as proxy
import redis_checks as redis
import reload_checks as reload
import tls_checks as tls
import websocket_checks as ws
from scene import Scene

# What sheave can't do yet: checks that need one of these words are not run.
NOT_YET = set()

LIMIT = 60


class Check:
    """`server` is who is asked; `tls` how sheave is; `direct` whether it holds without sheave."""

    def __init__(self, name, work, server, needs=(), tls=True, direct=True, limit=LIMIT):
        self.name, self.work, self.server = name, work, server
        self.needs, self.tls, self.direct, self.limit = set(needs), tls, direct, limit

    def place(self, scene, direct):
        return scene.itself(self.server) if direct else scene.through(self.server, self.tls)


def checks(scene):
    yield from curl_checks()
    yield from tls_listener_checks()
    yield from haproxy_checks()
    yield from server_checks()
    yield from websocket_checks()
    yield from grpc_checks()
    for name, work in (
        ("two instances share", redis.one_server),
        ("a lost message", redis.lost_message),
        ("killed under load", redis.killed_under_load),
        ("a cluster", redis.cluster),
        ("a sentinel", redis.sentinel),
    ):
        yield Check(f"redis: {name}", work(scene), "node", direct=False)
    yield from otlp_checks(scene)
    yield from operations_checks(scene)
    yield Check("all at once: reloads", reload.under_way, "node", direct=False)
    for name, only, needs in (
        ("a page with an EventSource over HTTP/2", "events", []),
        ("a page with a WebSocket and an EventSource over HTTP/2", "", ["rfc8441"]),
    ):
        work = browser.page(scene.directory / "site.pem", only)
        yield Check(f"chromium: {name}", work, "node", needs, direct=False)
    work = browser.assets(scene.directory / "site.pem", scene.directory / "access.log")
    name = "a page with 50 assets, the second time from its own cache"
    yield Check(f"chromium: {name}", work, "node", direct=False)
    for name, work in (
        ("a server that is killed", dashboard.killed(scene)),
        ("a button drains a server", dashboard.drained(scene)),
        ("axe-core, light, dark, phone", dashboard.accessible(scene)),
        ("1,000 servers", dashboard.thousand(scene)),
        ("who may only read has no buttons", dashboard.reader(scene)),
    ):
        yield Check(f"dashboard: {name}", work, "node", direct=False, limit=240)
    if scene.pictures:
        work = dashboard.pictures(scene, scene.pictures)
        yield Check("dashboard: pictures", work, "node", direct=False, limit=240)


def otlp_checks(scene):
    """What a collector gets; these never hold without sheave."""
    for name, work in (
        ("the tree of a retried request", otlp.tree),
        ("a collector that is down at first", otlp.down_then_up),
        ("a collector that is slow", otlp.slow),
        ("a collector that is busy", otlp.busy),
        ("a collector that refuses", otlp.refused),
        ("a collector that takes a part", otlp.partial),
        ("more spans than the buffer has room for", otlp.overflow),
        ("sampling", otlp.sampled),
        ("secrets", otlp.redacted),
        ("metrics", otlp.metrics),
        ("a chain of Traefik, sheave and Envoy", otlp.chain(otlp.traefik, otlp.envoy)),
        ("a chain of Envoy, sheave and Traefik", otlp.chain(otlp.envoy, otlp.traefik)),
    ):
        yield Check(f"otlp: {name}", work(scene), "node", direct=False)


def operations_checks(scene):
    """What is shipped for those who run it; these never hold without sheave."""
    for name, work in (
        ("promtool: the alerts", prometheus.rules),
        ("the alerts' runbooks name commands that there are", prometheus.commands(scene)),
        ("docker/compose.yaml mounts what is asked for", prometheus.composed),
        ("grafana: the dashboard's schema", prometheus.schema),
        ("prometheus: an alert when a server is killed", prometheus.at_work(scene)),
        ("kubernetes: each manifest by its schema", kubernetes.schemas),
        ("kubernetes: manifests and config agree", kubernetes.agree(scene)),
        ("kubernetes: the config as it is mounted", kubernetes.mounted(scene)),
    ):
        yield Check(name, work, "node", direct=False)


def curl_checks():
    plain, over = {"tls": False}, {"direct": False}
    yield Check("curl: HTTP/1.1", http.curl_hello("1.1"), "node", **plain)
    yield Check("curl: HTTP/1.1 by TLS", http.curl_hello("1.1"), "node", **over)
    yield Check("curl: HTTP/2 by TLS", http.curl_hello("2"), "node", **over)
    yield Check("curl: HTTP/2 without TLS", http.curl_hello("2-prior"), "node", **plain, **over)
    for version, options in (("1.1", {}), ("2", over)):
        upload = http.curl_upload
        yield Check(f"curl: upload, HTTP/{version}", upload(version, False), "node", **options)
        yield Check(f"curl: upload of unknown length, HTTP/{version}", upload(version, True),
                    "node", **options)
        yield Check(f"curl: large download, HTTP/{version}", http.curl_large(version), "node",
                    **options)
        yield Check(f"curl: trailers, HTTP/{version}", http.curl_trailers(version), "node",
                    **options)
        hints = ["early_hints_http2"] if version == "2" else []
        yield Check(f"curl: 103, HTTP/{version}", http.curl_hints(version), "node", hints,
                    **options)
        yield Check(f"curl: server-sent events, HTTP/{version}", http.curl_events(version), "node",
                    **options)
    yield Check("curl: Expect: 100-continue", http.curl_expect, "node", **plain)
    yield Check("curl: Expect refused", http.curl_expect_refused, "node", **plain, **over)
    yield Check("h2load: HTTP/2 by TLS", http.h2load("-m", 20), "node", **over)
    yield Check("h2load: HTTP/2 without TLS", http.h2load("-m", 20), "node", **plain, **over)
    yield Check("h2load: HTTP/1.1 by TLS", http.h2load("--h1"), "node", **over)


def tls_listener_checks():
    """These never hold without sheave."""
    for name, work, listener in (
        ("curl: client certificate, HTTP/1.1", tls.certificate("1.1"), "mtls"),
        ("curl: client certificate, HTTP/2", tls.certificate("2"), "mtls"),
        ("curl: clients that are refused", tls.refused, "mtls"),
        ("openssl: OCSP staple", tls.staple, "https"),
        ("openssl: RSA and ECDSA for one name", tls.kinds_of_key, "https"),
        ("openssl: resumption by shared ticket keys", tls.resumption, "https"),
    ):
        yield Check(name, work, "node", tls=listener, direct=False)


def haproxy_checks():
    """These never hold without sheave."""
    for name, way, told in (
        ("PROXY protocol 1", "v1", r"127\.0\.0\.9  "),
        ("PROXY protocol 2, checksum and id", "v2", r"127\.0\.0\.9 ID-\d+ "),
        ("PROXY protocol 2 about TLS", "tls", r"127\.0\.0\.9  TLSv1\.3"),
        ("PROXY protocol by a Unix socket", "unix", r"127\.0\.0\.9  "),
    ):
        yield Check(f"haproxy: {name}", proxy.announced(way, told), "node", direct=False)


def server_checks():
    """Servers that are not Node's HTTP/1.1."""
    for what, needs in (("hello", []), ("upload", []), ("trailers", []), ("cancel", []),
                        ("hints", ["early_hints_http2"])):
        for server, more in (("node", []), ("node-h2", ["tls_upstream", "http2_upstream"]),
                             ("node-h2c", ["http2_upstream"])):
            # Node's own HTTP/1.1 server can't be asked by HTTP/2.
            yield Check(f"node http2: {what}, server {server}", http.node_http2(what), server,
                        [*needs, *more], direct=server != "node")
    for server, needs in (("hypercorn", []), ("hypercorn-tls", ["tls_upstream"])):
        yield Check(f"curl: server {server}", http.curl_hello("1.1"), server, needs)
        yield Check(f"curl: upload, server {server}", http.curl_upload("1.1", True), server, needs)
    for server, version in (("node", "1.1"), ("node-h2", "2.0"), ("node-h2c", "2.0"),
                            ("hypercorn", "1.1"), ("hypercorn-tls", "2")):
        # Asked by themselves, they are asked by HTTP/1.1.
        yield Check(f"curl: server {server} is asked by HTTP/{version}", http.asked_by(version),
                    server, direct=False)
        if server in ("node-h2", "node-h2c"):
            yield Check(f"curl: 103, server {server}", http.curl_hints("1.1"), server, direct=False)
            yield Check(f"curl: trailers, server {server}", http.curl_trailers("1.1"), server,
                        direct=False)
            yield Check(f"curl: server-sent events, server {server}", http.curl_events("1.1"),
                        server, direct=False)
            yield Check(f"curl: large download, server {server}", http.curl_large("2"), server,
                        direct=False)
    for server, needs in (("node-h2", ["tls_upstream"]), ("node-h2c", ["http2_upstream"])):
        yield Check(f"h2load: server {server}", http.h2load("-m", 20), server, needs)


def websocket_checks():
    for server in ("websockets", "node", "hypercorn"):
        for tls in (False, True):
            way = "wss" if tls else "ws"
            options = {"tls": tls, "direct": not tls}
            yield Check(f"python websockets: {way}, server {server}", ws.python, server, **options)
            yield Check(f"node ws: {way}, server {server}", ws.node, server, **options)
        yield Check(f"python websockets: a hundred, server {server}", ws.python_many, server)
        yield Check(f"python websockets: refused, server {server}", ws.python_refused, server)
    yield Check("python websockets: wss, server hypercorn-tls", ws.python, "hypercorn-tls")
    yield Check("python websockets: a hundred, server hypercorn-tls", ws.python_many, "hypercorn-tls")
    for server in ("websockets", "node", "hypercorn", "hypercorn-tls"):
        direct = server == "hypercorn-tls"
        needs = ["rfc8441", *(["tls_upstream", "http2_upstream"] if direct else [])]
        yield Check(f"h2 + wsproto: server {server}", ws.over_http2, server, needs, direct=direct)
        yield Check(f"h2 + wsproto: many, server {server}", ws.over_http2_many, server, needs,
                    direct=direct)
        yield Check(f"h2 + wsproto: refused, server {server}", ws.over_http2_refused, server, needs,
                    direct=direct)


def grpc_checks():
    kinds = {
        "unary": rpc.unary, "streams": rpc.streams, "both ways": rpc.both_ways,
        "statuses": rpc.statuses, "deadlines and cancellation": rpc.deadlines,
        "health": rpc.health, "many streams": rpc.many_streams,
    }
    needs = ["http2_upstream", "grpc"]
    for tls in (False, True):
        way = "TLS" if tls else "plain"
        for name, work in kinds.items():
            yield Check(f"grpcio: {name}, {way}", work, "grpc", needs, tls=tls, direct=not tls)
        yield Check(f"grpcio: connections that end, {way}", rpc.goaway, "young", needs, tls=tls,
                    direct=not tls)
        yield Check(f"grpcio: our own errors, {way}", rpc.unavailable, "grpc", needs, tls=tls,
                    direct=False)


async def run_one(check, place):
    if inspect.iscoroutinefunction(check.work):
        await asyncio.wait_for(check.work(place), check.limit)
    else:
        await asyncio.wait_for(asyncio.to_thread(check.work, place), check.limit)


async def run_all(scene, arguments):
    passed, failed, left = 0, [], 0
    missing = set() if arguments.direct else NOT_YET
    for check in checks(scene):
        if arguments.only not in check.name or (arguments.direct and not check.direct):
            continue
        if check.needs & missing:
            left += 1
            print(f"not yet  {check.name} ({', '.join(sorted(check.needs & missing))})", flush=True)
            continue
        begun = time.monotonic()
        try:
            await run_one(check, check.place(scene, arguments.direct))
        except Exception:  # noqa: BLE001, whatever it is, it is this check's
            failed.append(check.name)
            told = traceback.format_exc().splitlines()
            print("\n".join([f"FAIL     {check.name}", *told[-12:]]), flush=True)
            continue
        passed += 1
        print(f"PASS     {check.name} ({time.monotonic() - begun:.1f} s)", flush=True)
    if failed and not arguments.direct:
        print(f"-- the daemon's last words\n{scene.tail('sheave')}")
    print(f"peers: {passed} passed, {len(failed)} failed, {left} skipped", flush=True)
    return not failed and passed > 0


def main():
    root = pathlib.Path(__file__).resolve().parents[3]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or root / "target")
    parser = argparse.ArgumentParser(prog="tests/peers/run")
    parser.add_argument("--binary", default=str(target / "debug" / "sheave"))
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--pictures", type=lambda it: pathlib.Path(it).absolute())
    arguments = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="sheave-peers-")
    scene = Scene(directory, os.path.abspath(arguments.binary), NOT_YET)
    scene.pictures = arguments.pictures
    well = False
    try:
        scene.start_servers()
        if not arguments.direct:
            scene.start_daemon()
        well = asyncio.run(run_all(scene, arguments))
    finally:
        scene.stop()
        if arguments.keep:
            print(f"logs: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    # A check that hangs in a thread must not hold this up.
    sys.stdout.flush()
    os._exit(0 if well else 1)


main()
