#!/usr/bin/env python3
"""WebSockets (RFC 6455): servers that echo, and the load on them. `run` calls both by itself.

    websocket.py serve ADDRESS…
    websocket.py load PORT PATH CONNECTIONS SECONDS SIZE

A connection sends its next message when the echo of the one before has come. Messages are masked with
zeros, so that neither side here has to work on them; proxies only pass them on.
"""

import base64
import hashlib
import json
import select
import socket
import ssl
import sys
import time

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ACCEPT = base64.b64encode(hashlib.sha1(KEY + MAGIC).digest())
MASKED = 0x80


def listen(address):
    host, port = address.rsplit(":", 1)
    listener = socket.create_server((host, int(port)), backlog=4096)
    listener.setblocking(False)
    return listener


class Echo:
    """The server's end of one connection."""

    def __init__(self, sock):
        self.sock, self.unread, self.open = sock, b"", False

    def ready(self):
        """Answers what has come; false at the end."""
        came = self.sock.recv(65536)
        self.unread += came
        if not self.open and b"\r\n\r\n" in self.unread:
            self.unread = self.unread.split(b"\r\n\r\n", 1)[1]
            self.sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n")
            self.open = True
        answers = b""
        while self.open and len(self.unread) >= 6:
            size = self.unread[1] & 0x7F
            if len(self.unread) < 6 + size:
                break
            answers += bytes((self.unread[0], size)) + self.unread[6 : 6 + size]
            self.unread = self.unread[6 + size :]
        if answers:
            self.sock.sendall(answers)
        return bool(came)


def serve(addresses):
    poll = select.epoll()
    listeners = {it.fileno(): it for it in map(listen, addresses)}
    for number in listeners:
        poll.register(number, select.EPOLLIN)
    echoes = {}
    while True:
        for number, _ in poll.poll():
            if number in listeners:
                sock, _ = listeners[number].accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                echoes[sock.fileno()] = Echo(sock)
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            try:
                goes_on = echoes[number].ready()
            except OSError:
                goes_on = False
            if not goes_on:
                poll.unregister(number)
                echoes.pop(number).sock.close()


def opened(port, path, trust):
    """A connection that has changed to WebSocket."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock = trust.wrap_socket(sock)
    sock.sendall(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                 b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY +
                 b"\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        came = sock.recv(1)
        if not came:
            break
        head += came
    if not head.startswith(b"HTTP/1.1 101 ") or ACCEPT not in head:
        sys.exit(f"no WebSocket: {head[:60]!r}")
    sock.setblocking(False)
    return sock


def load(port, path, connections, seconds, size):
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    payload = b"x" * size
    message, echo = bytes((0x82, MASKED | size)) + bytes(4) + payload, bytes((0x82, size)) + payload
    poll = select.epoll()
    socks = {it.fileno(): it for it in (opened(port, path, trust) for _ in range(connections))}
    begun = time.monotonic()
    end, waits = begun + seconds, []
    sent, came = dict.fromkeys(socks, begun), dict.fromkeys(socks, b"")
    for number, sock in socks.items():
        poll.register(number, select.EPOLLIN)
        sock.send(message)
    waiting = len(socks)
    while waiting:
        for number, _ in poll.poll(5) or sys.exit("no echo within 5 s"):
            try:
                part = socks[number].recv(4096)
            except ssl.SSLWantReadError:
                continue
            came[number] += part
            if not part or not echo.startswith(came[number]):
                sys.exit(f"a wrong echo: {came[number][:20]!r}")
            if came[number] != echo:
                continue
            now = time.monotonic()
            waits.append(now - sent[number])
            if now >= end:
                waiting -= 1
                continue
            sent[number], came[number] = now, b""
            socks[number].send(message)
    took = time.monotonic() - begun
    waits.sort()
    print(json.dumps({"messages": len(waits), "seconds": took, "p50": waits[len(waits) // 2] * 1e6,
                      "p99": waits[len(waits) * 99 // 100] * 1e6}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2:])
    else:
        load(int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
