"""What is measured, and the targets: data only. A new scenario is a new entry here."""

from dataclasses import dataclass, field, replace

KIB, MIB = 1024, 1024 * 1024
SMALL = 120


@dataclass(frozen=True)
class Scenario:
    """One kind of load, the same for every system."""

    name: str
    about: str
    # "load" compares systems, and "both" what they get through with both cores; "growth" compares
    # sheave with itself; "idle" and "objects" count memory; "reload" swaps a config under load.
    kind: str = "load"
    path: str = "/small"
    length: int = SMALL  # of the response's body: anything else is a wrong response
    tool: str = "wrk"  # or "h2load", or "websockets" (this directory's)
    upstream: str = "plain"  # how servers are asked: or "tls", "h2" (over TLS), "h2c", "echo"
    connections: int = 64
    streams: int = 1  # per connection, HTTP/2 only
    seconds: int = 1  # of one round
    tls: bool = False
    post: int = 0  # bytes of the request's body; 0 is a GET
    close: bool = False  # a new connection for every request
    handshake: str = ""  # "full" or "resumed": for every request one of this kind
    hosts: int = 0  # requests spread over so many sites
    fields: tuple = ()  # of the request, beside `Host`
    codings: tuple = ()  # that the response must have one of, so that its length differs
    log: bool = False  # a JSON access log to a file
    trace: str = ""  # the share of requests whose spans go to a collector, as "100%"
    peers: tuple = ("nginx", "haproxy")
    unable: str = ""  # which peer is left out, and why
    steady: bool = True  # whether it is measured at a fixed rate, too
    workers: int = 1
    # In growth, what is compared: the name in the table → how sheave is started. First is the base.
    variants: dict = field(default_factory=dict)
    pinned: bool = True  # the proxy has a core of its own
    # At most this ratio to the peer (or to the base), or this many KiB.
    target: dict = field(default_factory=dict)


def at_most(nginx, haproxy=None, envoy=None, varnish=None):
    return {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "varnish": varnish}


ALL = ("nginx", "haproxy", "envoy")


BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Connection: keep-alive",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: none",
    "Sec-Fetch-User: ?1",
    "Priority: u=0, i",
)
SITES, ROUTES = 10_000, 10
IDLE_CONNECTIONS = 4_000
OBJECTS, OBJECT = 200_000, 200
# p99 of every system in every scenario, as a ratio; a check; a build in seconds.
P99_TARGET, BUILD_TARGET = 1.00, 2.0

SCENARIOS = [
    Scenario("small", "proxied, 120 B, 64 keep-alive connections", target=at_most(0.90, 0.80)),
    # Without this, wrk's requests have a single field, unlike any real client's.
    Scenario("browser", "as small, with the 12 fields that a browser sends", fields=BROWSER,
             target=at_most(None)),
    Scenario("10k", "proxied, 10 KB", path="/data/10k", length=10 * KIB, target=at_most(0.90, 0.85)),
    Scenario("100k", "proxied, 100 KB", path="/data/100k", length=100 * KIB,
             target=at_most(0.75, 0.85)),
    # Fewer connections, or a round would end in the middle of most of its responses.
    Scenario("1m", "proxied, 1 MB", path="/data/1m", length=MIB, connections=16, seconds=2,
             target=at_most(0.65, 0.65)),
    Scenario("post-10k", "POST of 10 KB", path="/post", post=10 * KIB, target=at_most(0.90)),
    Scenario("post-1m", "POST of 1 MB", path="/post", post=MIB, connections=16, seconds=2,
             target=at_most(0.75)),
    Scenario("close", "a new connection for every request", close=True, target=at_most(1.00, 1.00)),
    # Longer, so that the 64 handshakes at its beginning hardly count.
    Scenario("tls", "TLS 1.3, ECDSA P-256, 120 B, 64 keep-alive connections", tls=True, seconds=2,
             target=at_most(0.90, 0.85)),
    # The proxy answers these itself, so that the handshake is what is measured.
    Scenario("tls-full", "a full handshake for every request", tool="h2load", path="/full", tls=True,
             close=True, handshake="full", target=at_most(0.60, 0.60)),
    Scenario("tls-resumed", "a resumed handshake for every request", path="/resumed", tls=True,
             close=True, handshake="resumed", connections=16, target=at_most(0.90, 0.90)),
    Scenario(
        "h2",
        "HTTP/2 over TLS, 10 connections of 10 streams, 120 B",
        tool="h2load", tls=True, connections=10, streams=10, target=at_most(0.90, 0.90),
    ),
    Scenario("https-upstream", "120 B, servers asked by HTTPS", upstream="tls", peers=ALL,
             target=at_most(0.90, 0.90, 0.90)),
    Scenario("h2-upstream", "120 B, servers asked by HTTP/2 over TLS", upstream="h2",
             peers=("haproxy", "envoy"), target=at_most(None, 0.90, 0.90),
             unable="nginx asks servers by HTTP/2 only for gRPC (`grpc_pass`)"),
    Scenario("grpc-unary", "calls of 120 B by HTTP/2 over TLS, answered with trailers", tool="h2load",
             path="/grpc", tls=True, connections=10, streams=10, post=SMALL, upstream="h2c", peers=ALL,
             fields=("content-type: application/grpc", "te: trailers"), steady=False,
             target=at_most(0.90, 0.90, 0.90)),
    Scenario("wss-echo", "a WebSocket message of 120 B through TLS, and its echo", tool="websockets",
             path="/echo", tls=True, upstream="echo", seconds=2, peers=ALL, steady=False,
             target=at_most(0.90, 0.90, 0.90)),
    # The proxies themselves are asked for files, so the paths avoid what goes to the servers.
    Scenario("static-10k", "a static file of 10 KB", path="/files/10k", length=10 * KIB,
             peers=("nginx",), target=at_most(0.60)),
    Scenario("static-1m", "a static file of 1 MB", path="/files/1m", length=MIB, connections=16,
             seconds=2, peers=("nginx",), target=at_most(1.00)),
    Scenario("cache-hit-10k", "10 KB from the cache", path="/cached/10k", length=10 * KIB,
             peers=("nginx", "varnish"), target=at_most(0.70, varnish=0.30)),
    Scenario("cache-hit-tls", "10 KB from the cache, TLS 1.3", path="/cached/10k", length=10 * KIB,
             tls=True, seconds=2, peers=("nginx",), target=at_most(0.70),
             unable="Varnish has no TLS"),
    Scenario("cache-hit-h2", "10 KB from the cache, HTTP/2 over TLS, 10 connections of 10 streams",
             path="/cached/10k", length=10 * KIB, tool="h2load", tls=True, connections=10, streams=10,
             peers=("nginx",), target=at_most(0.70), unable="Varnish has no TLS"),
    # Few connections, for a response takes milliseconds, and a round ends in the middle of some.
    Scenario("gzip-json-100k", "100 KB of JSON, compressed by gzip at level 5", path="/json/100k.json",
             length=100 * KIB, connections=16, seconds=2, fields=("Accept-Encoding: gzip",),
             codings=("gzip",), peers=("nginx",), steady=False, target=at_most(1.00)),
    Scenario("brotli-json-100k", "the same by brotli at level 4, beside nginx's gzip at 5",
             path="/json/100k.json", length=100 * KIB, connections=16, seconds=2,
             fields=("Accept-Encoding: br, gzip",), codings=("br", "gzip"), peers=("nginx",),
             steady=False, target=at_most(1.00)),
    Scenario("log", "as small, with a JSON access log to a file", log=True, peers=("nginx",),
             target=at_most(0.90)),
    Scenario("traced", "as small, the spans of every request to a collector by OTLP", trace="100%",
             peers=("envoy",), target=at_most(None, envoy=0.50),
             unable="nginx has OpenTelemetry as a module that Debian lacks, HAProxy as a filter that "
                    "its packages are built without"),
    Scenario("idle", "memory of an idle keep-alive connection", kind="idle",
             connections=IDLE_CONNECTIONS, target={"KiB": 4}),
    Scenario("idle-tls", "memory of an idle keep-alive connection with TLS", kind="idle", tls=True,
             connections=IDLE_CONNECTIONS, target={"KiB": 14}),
    Scenario("objects", f"memory of a cached response of {OBJECT} B, by {OBJECTS:,}", kind="objects",
             path="/objects/", length=OBJECT, peers=("varnish",), target={"varnish": 1.00}),
    Scenario(
        "growth-sites", f"{SITES:,} sites with {ROUTES} routes each", kind="growth",
        path="/r0/small", hosts=SITES, peers=(), target={"base": 1.10},
        variants={"one site": {}, f"{SITES:,} sites": {"sites": SITES}},
    ),
    Scenario(
        "growth-servers", "an upstream of 1,000 servers", kind="growth", peers=(),
        target={"base": 1.10},
        variants={"3 servers": {"servers": 3}, "1,000 servers": {"servers": 1000}},
    ),
    Scenario(
        "growth-traces", "spans to a collector by OTLP", kind="growth", peers=(),
        target={"base": 1.30},
        variants={"no traces": {}, "1 % of requests": {"trace": "1%"},
                  "every request": {"trace": "100%"}},
    ),
    # Two workers cannot have one core: here both systems share both cores with the load.
    Scenario(
        "growth-workers", "two workers", kind="growth", peers=(), pinned=False,
        target={"base": 1.10},
        variants={"1 worker": {"workers": 1}, "2 workers": {"workers": 2}},
    ),
    # The control thread, which builds, must not share the worker's only core.
    Scenario("reload", f"{SITES:,} sites swapped in under load", kind="reload", path="/r0/small",
             hosts=SITES, peers=(), pinned=False),
]

# What is got through when nothing is pinned: two workers, load and servers share both cores.
SHARED = ("small", "10k", "100k", "1m", "post-10k", "post-1m", "tls", "h2", "static-10k", "static-1m")
SCENARIOS += [
    replace(it, name=f"both-{it.name}", kind="both", pinned=False, workers=2, peers=("nginx",),
            steady=False, target={"rate": 1.00})
    for it in SCENARIOS if it.name in SHARED
]
