"""What a client waits: requests at a fixed rate, the same for all systems, made by oha.

The waiting is counted from when a request was due, not from when it could be sent, so a stall
counts for every request that it delays.
"""

import csv
import io
import sys
from dataclasses import dataclass

import load
import sites

SECONDS = 1
# There are few handshakes a second: the p99 of one second would be its second slowest.
HANDSHAKE_SECONDS = 4
# The time in which connections are opened and TLS is agreed on, which is not a request's waiting.
WARM_UP = 0.25
# Above this the core with the load on it is busy, and its own queue is what would be measured.
MOST = 5000
# Below this share of what was asked for, a system (or the load) could not keep the rate.
KEPT = 0.95


@dataclass
class Request:
    """One answered request."""

    start: float  # seconds since oha's start
    wait: float  # seconds
    status: int
    size: int


def rate(capacities):
    """Half of what the slowest system can, and no more than the load tool can without a queue."""
    return max(min(min(capacities) // 2, MOST), 20)


def arguments(scenario, port, rate, count, directory):
    scheme = "https" if scenario.tls else "http"
    wanted = [
        "oha", "--no-tui", "--output-format", "csv", "--insecure", "-r", "0", "-t", "10s",
        "-n", str(count), "-q", str(rate), "--latency-correction", "-c", str(scenario.connections),
    ]
    if scenario.streams > 1:
        wanted += ["--http2", "-p", str(scenario.streams)]
    if scenario.close:
        wanted.append("--disable-keepalive")
    if scenario.post:
        body = directory / f"body-{scenario.post}"
        body.write_bytes(b"x" * scenario.post)
        wanted += ["-m", "POST", "-T", "application/octet-stream", "-D", str(body)]
    for field in scenario.fields:
        wanted += ["-H", field]
    if scenario.hosts:
        wanted += ["-H", f"Host: {sites.host(scenario.hosts // 2)}"]
    return [*wanted, f"{scheme}://{load.HOST}:{port}{scenario.path}"]


def parse(scenario, count, text):
    """Every request of oha's output; `Wrong` where one is missing or its response was."""
    requests = []
    for row in csv.DictReader(io.StringIO(text)):
        requests.append(Request(float(row["request-start"]), float(row["request-duration"]),
                                int(row["status"]), int(row["bytes"])))
    right = sum(it.status == 200 and it.size == scenario.length for it in requests)
    if right != count:
        raise load.Wrong(f"at a fixed rate {right} of {count} responses were right")
    return requests


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def run(scenario, port, rate, pin, directory, environ):
    """One round."""
    count = int(rate * (SECONDS + WARM_UP))
    if scenario.handshake:
        return run_handshakes(scenario, port, rate, pin, environ)
    text = load.output(arguments(scenario, port, rate, count, directory), SECONDS, pin)
    requests = parse(scenario, count, text)
    took = max(it.start + it.wait for it in requests) - min(it.start for it in requests)
    if count / took < KEPT * rate:
        raise load.Missed(f"{count / took:.0f} requests a second, not the {rate} that were asked for")
    waits = [it.wait for it in requests if it.start >= WARM_UP]
    return load.Load(count, took, percentile(waits, 0.5) * 1e6, percentile(waits, 0.99) * 1e6)


def run_handshakes(scenario, port, rate, pin, environ):
    """oha resumes when it can; `handshakes.py` makes one kind only and looks which it was."""
    text = load.output(
        [sys.executable, str(load.HERE / "handshakes.py"), scenario.handshake, str(port),
         scenario.path, str(scenario.length), str(rate), str(HANDSHAKE_SECONDS)],
        HANDSHAKE_SECONDS, pin, environ,
    )
    waits = [float(it) for it in text.split()]
    if len(waits) != int(rate * HANDSHAKE_SECONDS):
        raise load.Wrong(f"{len(waits)} handshakes, not {int(rate * HANDSHAKE_SECONDS)}")
    return load.Load(len(waits), HANDSHAKE_SECONDS, percentile(waits, 0.5) * 1e6,
                     percentile(waits, 0.99) * 1e6)
