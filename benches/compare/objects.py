"""Memory of cached responses: as many are stored as there are lines in a list of paths, and the memory
of the system's processes is compared with before."""

import dataclasses
import http.client
import re

import idle
import load
from scenarios import OBJECTS

# So many are asked for again at the end, spread over all.
ASKED_AGAIN = 200
# Of one object, so that what grows with requests and not with objects has grown: Varnish's log in
# memory is 80 MB.
WARM_UP_SECONDS = 5


def is_hit(answer):
    """By what sheave says, or by the second of Varnish's two numbers: of the request that stored it."""
    status = answer.getheader("Cache-Status", "")
    return "; hit" in status or len(answer.getheader("X-Varnish", "").split()) == 2


def ask_again(scenario, port):
    """Whether what was stored is there: else it would be no wonder that it takes little."""
    client = http.client.HTTPConnection(load.HOST, port, timeout=5)
    for number in range(0, OBJECTS, OBJECTS // ASKED_AGAIN):
        client.request("GET", f"{scenario.path}{number}")
        answer = client.getresponse()
        if not is_hit(answer) or len(answer.read()) != scenario.length:
            raise load.Wrong(f"object {number} is not stored")
    client.close()


def store(bench, scenario, port):
    """Asks for all of them, once each, and returns how many were stored a second."""
    paths = bench.directory / "paths"
    if not paths.exists():
        paths.write_text("".join(f"{scenario.path}{number}\n" for number in range(OBJECTS)))
    # One connection: h2load begins the list with each of them.
    text = load.output(
        ["h2load", "--h1", "-t1", "-c1", "-m1", f"-n{OBJECTS}", "-i", str(paths),
         "-B", f"http://{load.HOST}:{port}"],
        OBJECTS // 1000, bench.pin, bench.environ,
    )
    took = re.search(r"finished in ([\d.]+)(ms|s|m)", text)
    if not took or f"{OBJECTS} 2xx" not in text:
        raise load.Wrong(f"h2load said: {text[-200:]!r}")
    return OBJECTS / (float(took.group(1)) * {"ms": 1e-3, "s": 1, "m": 60}[took.group(2)])


def count(bench, scenario, entrant):
    """Bytes for an object: resident, and proportional."""
    system, port = entrant.system, entrant.port
    one = dataclasses.replace(scenario, path=f"{scenario.path}one", seconds=WARM_UP_SECONDS)
    load.run(one, port, 0, bench.pin, bench.environ)
    before, _ = idle.settled(system)
    rate = store(bench, scenario, port)
    after, stable = idle.settled(system)
    ask_again(scenario, port)
    return {"rss": (after[0] - before[0]) / OBJECTS, "pss": (after[1] - before[1]) / OBJECTS,
            "before": before[0], "after": after[0], "stable": stable, "objects": OBJECTS, "rate": rate}
