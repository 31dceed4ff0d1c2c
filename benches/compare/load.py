"""Makes the load: wrk, h2load and our WebSockets, what they say, and whether every response was right.

They send when an answer has come, so a round says what a request costs when the proxy is busy.
What it makes a client wait is `steady.py`'s question.
"""

import gzip
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import http.client
from dataclasses import dataclass
from pathlib import Path

import sites
from scenarios import ROUTES

HERE = Path(__file__).parent
HOST = "127.0.0.1"
# New connections a second with a full handshake: well below what any of the systems can do.
FULL_HANDSHAKES = 500


class Wrong(Exception):
    """A run with wrong responses is no result."""


class Missed(Wrong):
    """The responses were right, but the rate was not reached: there is no latency, the rest counts."""


@dataclass
class Load:
    """What one round of load saw."""

    requests: int
    seconds: float
    p50: float  # microseconds
    p99: float


def environment(directory):
    """For the tools that use OpenSSL: they offer one group, so that all systems take the same."""
    config = directory / "openssl.cnf"
    config.write_text("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n"
                      "[tls]\nMinProtocol = TLSv1.3\nGroups = X25519\n")
    return {**os.environ, "OPENSSL_CONF": str(config)}


def probe(scenario, port, directory):
    """One request by hand; the bytes of its content as they were sent. A wrong answer is `Wrong`."""
    if scenario.tool == "websockets":
        return scenario.length  # its load looks at every message
    if scenario.tls:
        trust = ssl.create_default_context(cafile=directory / "cert.pem")
        trust.check_hostname = False
        connection = http.client.HTTPSConnection(HOST, port, timeout=5, context=trust)
    else:
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
    method, body = ("POST", b"x" * scenario.post) if scenario.post else ("GET", None)
    headers = dict(field.split(": ", 1) for field in scenario.fields)
    if scenario.hosts:
        headers["Host"] = sites.host(0)
    try:
        connection.request(method, scenario.path, body, headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Wrong(f"the probe failed: {error!r}") from error
    finally:
        connection.close()
    # The first handshake is always a full one, so "the wrong kind" is the right answer here.
    if scenario.handshake == "resumed" and response.status == 409:
        return scenario.length
    expected = b"x" * scenario.length
    coding, sent = response.getheader("Content-Encoding"), len(content)
    if scenario.codings:
        if coding not in scenario.codings:
            raise Wrong(f"the probe got the coding {coding}")
        content = decoded(coding, content)
        expected = (directory / "www" / scenario.path[1:]).read_bytes()
    if response.status != 200 or content != expected:
        raise Wrong(f"the probe got {response.status} with {len(content)} bytes, {content[:20]}…")
    return sent


def decoded(coding, content):
    """What was compressed."""
    if coding == "gzip":
        return gzip.decompress(content)
    done = subprocess.run(["brotli", "-dc"], input=content, stdout=subprocess.PIPE, check=False)
    return done.stdout


def run(scenario, port, count, pin, environ, sent=None):
    """One round. `count` is for h2load, which is given a number of requests, not a time. `sent` is the
    length of the content where it is compressed."""
    if scenario.tool == "h2load":
        return run_h2load(scenario, port, count, pin, environ)
    if scenario.tool == "websockets":
        return run_websockets(scenario, port, pin, environ)
    return run_wrk(scenario, port, pin, environ, sent)


def run_websockets(scenario, port, pin, environ):
    text = output(
        [sys.executable, str(HERE / "websocket.py"), "load", str(port), scenario.path,
         str(scenario.connections), str(scenario.seconds), str(scenario.length)],
        scenario.seconds, pin, environ,
    )
    said = json.loads(text)
    return Load(said["messages"], said["seconds"], said["p50"], said["p99"])


def run_wrk(scenario, port, pin, environ, sent):
    scheme = "https" if scenario.tls else "http"
    method = "POST" if scenario.post else "GET"
    text = output([
        "wrk", "-t1" if scenario.pinned else "-t2", f"-c{scenario.connections}", f"-d{scenario.seconds}s", "--timeout", "5s",
        *(part for field in scenario.fields for part in ("-H", field)),
        "-s", str(HERE / "wrk.lua"), f"{scheme}://{HOST}:{port}{scenario.path}",
        "--", method, str(scenario.post), "close" if scenario.close else "keep",
        str(scenario.hosts), str(ROUTES),
    ], scenario.seconds, pin, environ)
    line = next((it for it in text.splitlines() if it.startswith("SUMMARY ")), None)
    if line is None:
        raise Wrong(f"wrk gave no summary: {text[-200:]!r}")
    said = json.loads(line.removeprefix("SUMMARY "))
    errors = {name: number for name, number in said["errors"].items() if number}
    # Each connection's first handshake has no session to resume.
    if scenario.handshake == "resumed" and errors.get("status", 0) <= scenario.connections:
        errors.pop("status", None)
    requests = said["requests"]
    if errors or not requests:
        raise Wrong(f"{requests} responses, errors: {errors}")
    # The head is some hundred bytes; requests under way at the end have sent a part.
    least = (requests - (scenario.connections if scenario.handshake else 0)) * scenario.length
    most = (requests + scenario.connections) * (scenario.length + 1024)
    if scenario.codings:
        # Where compressed content is cut depends on how the server's comes.
        least, most = requests * sent * 0.95, (requests + scenario.connections) * (sent * 1.05 + 1024)
    if not least <= said["bytes"] <= most:
        raise Wrong(f"{said['bytes']} bytes read, not {least} to {most}")
    # A response cut by the round's end has cost, too: large ones count by their bytes.
    if scenario.length >= 100 * 1024 and not scenario.codings:
        requests = max(requests, said["bytes"] // scenario.length)
    return Load(requests, said["micros"] / 1e6, said["p50"], said["p99"])


def run_h2load(scenario, port, count, pin, environ):
    shape = [f"-c{scenario.connections}", f"-m{scenario.streams}"]
    if scenario.handshake:
        # A connection for every request, some every 10 ms. h2load keeps no sessions.
        shape = [f"-c{count}", "--h1", f"-r{FULL_HANDSHAKES // 100}", "--rate-period=10ms"]
    shape += [part for field in scenario.fields for part in ("-H", field)]
    with tempfile.NamedTemporaryFile("r") as log, tempfile.NamedTemporaryFile() as body:
        if scenario.post:
            body.write(b"x" * scenario.post)
            body.flush()
            shape += ["-d", body.name]
        text = output(
            ["h2load", "-t1" if scenario.pinned else "-t2", f"-n{count}", *shape,
             f"--log-file={log.name}",
             f"https://{HOST}:{port}{scenario.path}"],
            scenario.seconds, pin, environ,
        )
        # Start, status, duration in microseconds.
        rows = [line.split("\t") for line in log]
    took = re.search(r"finished in ([\d.]+)(us|ms|s|m)", text)
    data = re.search(r"headers.*, \S+ \((\d+)\) data", text)
    protocol = "http/1.1" if scenario.handshake else "h2"
    if not took or not data or f"Application protocol: {protocol}" not in text:
        raise Wrong(f"h2load said: {text[-200:]!r}")
    if len(rows) != count or any(row[1] != "200" for row in rows):
        raise Wrong(f"{sum(row[1] == '200' for row in rows)} of {count} responses were 200")
    if int(data.group(1)) != count * scenario.length:
        raise Wrong(f"{data.group(1)} bytes of data, not {count * scenario.length}")
    seconds = float(took.group(1)) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[took.group(2)]
    waits = sorted(int(row[2]) for row in rows)
    return Load(count, seconds, waits[count // 2], waits[count * 99 // 100])


def output(arguments, seconds, pin, environ=None):
    """What a load tool printed; it is stopped if it does not end."""
    try:
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=30 + 5 * seconds, preexec_fn=pin, check=False, env=environ,
        )
    except subprocess.TimeoutExpired as late:
        raise Wrong(f"{arguments[0]} did not end") from late
    if done.returncode != 0:
        raise Wrong(f"{arguments[0]} failed: {done.stdout[-200:]!r}")
    return done.stdout
