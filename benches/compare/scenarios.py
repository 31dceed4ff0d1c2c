"""What is measured: data only. A new scenario is a new entry here."""

from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024
SMALL = 120


@dataclass(frozen=True)
class Scenario:
    """One kind of load, the same for every system."""

    name: str
    about: str
    path: str = "/small"
    length: int = SMALL  # of the response's body: anything else is a wrong response
    tool: str = "wrk"  # or "h2load"
    connections: int = 64
    streams: int = 1  # per connection, HTTP/2 only
    seconds: int = 1  # of one round
    tls: bool = False
    post: int = 0  # bytes of the request's body; 0 is a GET
    close: bool = False  # a new connection for every request
    log: bool = False  # a JSON access log to a file
    peers: tuple = ("nginx", "haproxy")


SCENARIOS = [
    Scenario("small", "proxied, 120 B, 64 keep-alive connections"),
    Scenario("10k", "proxied, 10 KB", path="/data/10k", length=10 * KIB),
    Scenario("100k", "proxied, 100 KB", path="/data/100k", length=100 * KIB),
    # Fewer connections, or a round would end in the middle of most of its responses.
    Scenario("1m", "proxied, 1 MB", path="/data/1m", length=MIB, connections=16, seconds=2),
    Scenario("post-10k", "POST of 10 KB", path="/post", post=10 * KIB),
    Scenario("post-1m", "POST of 1 MB", path="/post", post=MIB, connections=16, seconds=2),
    Scenario("close", "a new connection for every request", close=True),
    # Longer, so that the 64 handshakes at its beginning hardly count.
    Scenario("tls", "TLS 1.3, ECDSA P-256, 120 B, 64 keep-alive connections", tls=True, seconds=2),
    Scenario(
        "h2",
        "HTTP/2 over TLS, 10 connections of 10 streams, 120 B",
        tool="h2load", tls=True, connections=10, streams=10,
    ),
    # The proxies themselves are asked for files, so the paths avoid what goes to the servers.
    Scenario("static-10k", "a static file of 10 KB", path="/files/10k", length=10 * KIB,
             peers=("nginx",)),
    Scenario("static-1m", "a static file of 1 MB", path="/files/1m", length=MIB, connections=16,
             seconds=2, peers=("nginx",)),
    Scenario("log", "as small, with a JSON access log to a file", log=True, peers=("nginx",)),
]
