#!/usr/bin/env python3
"""TLS handshakes: a loader that makes one kind only, at a fixed rate, and how the kind is seen.

As a program: `handshakes.py full|resumed PORT PATH LENGTH RATE SECONDS` prints what each
connection took, from when it was due to the end of its response, in seconds.
"""

import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

# One connection at a time, so not more than Python can do; the handshakes do not wait in a queue.
RATE = 150


def counted(admin_port):
    """How many handshakes of each kind sheave says that it has made."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin_port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = re.findall(r'sheave_tls_handshakes_total\{[^}]*result="(\w+)"\} (\d+)', text)
    return {kind: int(number) for kind, number in found}


def wrong_kind(scenario, before, after):
    """What is wrong with the handshakes of a round, by sheave's count; or nothing."""
    made = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in ("full", "resumed")}
    other = made["resumed" if scenario.handshake == "full" else "full"]
    # A connection's first handshake has nothing to resume.
    allowed = 0 if scenario.handshake == "full" else scenario.connections
    if other > allowed or not made[scenario.handshake]:
        return f"{made['full']} full and {made['resumed']} resumed handshakes"
    return None


def agreed(port, environ):
    """Version, cipher and group that a server takes from what the loads offer."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-brief"], input="", timeout=10,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environ,
    )
    wanted = ("Protocol version", "Ciphersuite", "(?:Server|Peer) Temp Key")
    found = [re.search(rf"{name}: (.*)", done.stdout) for name in wanted]
    return ", ".join(it.group(1) if it else "?" for it in found)


def connection(context, port, request, length, session, resumed):
    """One connection with one request; the session to resume the next one from."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(plain, session=session) as tls:
            tls.sendall(request)
            answer = b""
            while part := tls.recv(65536):
                answer += part
            head, _, body = answer.partition(b"\r\n\r\n")
            if tls.session_reused != resumed or len(body) != length or b" 200" not in head[:14]:
                sys.exit(f"wrong: reused {tls.session_reused}, {len(body)} bytes, {head[:40]}")
            return tls.session


def main():
    kind, port, path, length, rate, seconds = sys.argv[1:]
    port, length, rate = int(port), int(length), float(rate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    session = None
    if kind == "resumed":
        # This one's answer is that it is of the wrong kind, so another path is asked.
        full = request.replace(path.encode(), b"/full", 1)
        session = connection(context, port, full, length, None, False)
    began = time.monotonic()
    for number in range(int(rate * float(seconds))):
        due = began + number / rate
        time.sleep(max(due - time.monotonic(), 0))
        # A ticket may be used but once, so each resumption takes the ticket of the one before.
        new = connection(context, port, request, length, session, kind == "resumed")
        session = new if kind == "resumed" else None
        print(time.monotonic() - due)


if __name__ == "__main__":
    main()
