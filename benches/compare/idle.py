"""Memory of idle connections: thousands are opened, each asks once and stays, and the memory of
the system's processes is compared with before."""

import socket
import ssl
import time
from contextlib import ExitStack

import load
import rounds
import systems
from scenarios import SMALL

# Of the connections, so many are asked again at the end. More would change nothing.
ASKED_AGAIN = 200
# The memory is settled when it has changed by less than this share from one second to the next.
SETTLED, SHORTEST, LONGEST = 0.002, 3, 10


def client(port, context):
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain) if context else plain


def ask(connection, scenario):
    """One small request, and its whole response."""
    connection.sendall(f"GET {scenario.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < scenario.length:
        part = connection.recv(65536)
        if not part:
            raise load.Wrong("a connection that should stay open was closed")
        answer += part
    if not answer.startswith(b"HTTP/1.1 200"):
        raise load.Wrong(f"an answer was {answer[:40]!r}")


def settled(system):
    """Memory, when it has stopped changing or after `LONGEST` seconds; and whether it had."""
    last = system.memory()
    for second in range(1, LONGEST + 1):
        time.sleep(1)
        now = system.memory()
        if second >= SHORTEST and abs(now[0] - last[0]) <= SETTLED * now[0]:
            return now, True
        last = now
    return last, False


def count(_, scenario, entrant):
    """Bytes per connection: resident, and proportional."""
    system, port = entrant.system, entrant.port
    context = None
    if scenario.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ExitStack() as stack:
        # What is made for the first connection only does not count for the others.
        ask(stack.enter_context(client(port, context)), scenario)
        before, _ = settled(system)
        connections = []
        for _ in range(scenario.connections):
            connections.append(stack.enter_context(client(port, context)))
            ask(connections[-1], scenario)
        after, stable = settled(system)
        for connection in connections[:: max(len(connections) // ASKED_AGAIN, 1)]:
            ask(connection, scenario)
    number = scenario.connections
    return {"rss": (after[0] - before[0]) / number, "pss": (after[1] - before[1]) / number,
            "before": before[0], "after": after[0], "stable": stable, "connections": number}


def measure(bench, scenario, wanted, count=count):
    """Every system on a fresh process, one after another: memory has no noise to average out."""
    found = {}
    with ExitStack() as outer:
        servers, addresses = systems.origin(bench.directory, bench.load_core, SMALL,
                                            bench.binaries["origin"])
        outer.callback(servers.stop)
        servers.await_ports()
        for name, plan in rounds.plans(bench, scenario, wanted, addresses).items():
            bench.progress(f"{scenario.name}: {name}")
            with ExitStack() as stack:
                try:
                    entrant = rounds.start(bench, stack, scenario, name, plan)
                    found[name] = count(bench, scenario, entrant)
                except (load.Wrong, RuntimeError, OSError) as error:
                    bench.missing.append(f"{scenario.name}, {name}: {error!r}")
    return {"scenario": scenario.name, "about": scenario.about, "kind": scenario.kind,
            "memory": found}
