"""Makes the load: wrk and h2load, what they say, and whether every response was right."""

import json
import re
import ssl
import subprocess
import tempfile
import http.client
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
HOST = "127.0.0.1"


class Wrong(Exception):
    """A run with wrong responses is no result."""


@dataclass
class Load:
    """What one round of load saw."""

    requests: int
    seconds: float
    p50: float  # microseconds
    p99: float


def probe(scenario, port, certificate):
    """One request by hand; how many bytes its response has, head and body. Else `Wrong`."""
    if scenario.tls:
        trust = ssl.create_default_context(cafile=certificate)
        trust.check_hostname = False
        connection = http.client.HTTPSConnection(HOST, port, timeout=5, context=trust)
    else:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
    method, body = ("POST", b"x" * scenario.post) if scenario.post else ("GET", None)
    try:
        connection.request(method, scenario.path, body)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Wrong(f"the probe failed: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200 or len(content) != scenario.length:
        raise Wrong(f"the probe got {response.status} with {len(content)} bytes")
    return len(content)


def command(scenario, port):
    """The URL and the load's shape as wrk wants them."""
    scheme = "https" if scenario.tls else "http"
    method = "POST" if scenario.post else "GET"
    return [
        "wrk", "-t1", f"-c{scenario.connections}", f"-d{scenario.seconds}s", "--timeout", "5s",
        "-s", str(HERE / "wrk.lua"), f"{scheme}://{HOST}:{port}{scenario.path}",
        "--", method, str(scenario.post), "close" if scenario.close else "keep",
    ]


def run(scenario, port, count, pin):
    """One round. `count` is for h2load, which is given a number of requests, not a time."""
    if scenario.tool == "h2load":
        return run_h2load(scenario, port, count, pin)
    text = output(command(scenario, port), scenario.seconds, pin)
    line = next((it for it in text.splitlines() if it.startswith("SUMMARY ")), None)
    if line is None:
        raise Wrong(f"wrk gave no summary: {text[-200:]!r}")
    said = json.loads(line.removeprefix("SUMMARY "))
    errors = {name: number for name, number in said["errors"].items() if number}
    requests = said["requests"]
    if errors or not requests:
        raise Wrong(f"{requests} responses, errors: {errors}")
    # The head is some hundred bytes; requests under way at the end have sent a part.
    least = requests * scenario.length
    most = (requests + scenario.connections) * (scenario.length + 1024)
    if not least <= said["bytes"] <= most:
        raise Wrong(f"{said['bytes']} bytes read, not {least} to {most}")
    # A response cut by the round's end has cost, too: large ones count by their bytes.
    if scenario.length >= 100 * 1024:
        requests = max(requests, said["bytes"] // scenario.length)
    return Load(requests, said["micros"] / 1e6, said["p50"], said["p99"])


def run_h2load(scenario, port, count, pin):
    with tempfile.NamedTemporaryFile("r") as log:
        text = output(
            ["h2load", "-t1", f"-n{count}", f"-c{scenario.connections}", f"-m{scenario.streams}",
             f"--log-file={log.name}", f"https://{HOST}:{port}{scenario.path}"],
            scenario.seconds, pin,
        )
        # Start, status, duration in microseconds.
        rows = [line.split("\t") for line in log]
    took = re.search(r"finished in ([\d.]+)(us|ms|s|m)", text)
    data = re.search(r"headers.*, \S+ \((\d+)\) data", text)
    if not took or not data or "ALPN" in text and "h2" not in text:
        raise Wrong(f"h2load said: {text[-200:]!r}")
    if len(rows) != count or any(row[1] != "200" for row in rows):
        raise Wrong(f"{sum(row[1] == '200' for row in rows)} of {count} responses were 200")
    if int(data.group(1)) != count * scenario.length:
        raise Wrong(f"{data.group(1)} bytes of data, not {count * scenario.length}")
    seconds = float(took.group(1)) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[took.group(2)]
    waits = sorted(int(row[2]) for row in rows)
    return Load(count, seconds, waits[count // 2], waits[count * 99 // 100])


def output(arguments, seconds, pin):
    """What a load tool printed; it may not run for ever."""
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=30 + 5 * seconds, preexec_fn=pin, check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Wrong(f"{arguments[0]} did not end") from late
    if done.returncode != 0:
        raise Wrong(f"{arguments[0]} failed: {done.stdout[-200:]!r}")
    return done.stdout
