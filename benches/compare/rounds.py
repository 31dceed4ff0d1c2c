"""Rounds of load on all systems of one scenario, interleaved: A B C A B C …"""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import handshakes
import lines
import load
import steady
import systems
from scenarios import SMALL


# Waiting times differ from round to round ten times as much as CPU time does. Handshakes have longer
# rounds instead.
MORE_AT_A_FIXED_RATE = 3


@dataclass
class Bench:
    """What all scenarios of a run share."""

    directory: Path
    binaries: dict  # of every system, by its name in the tables; "origin" is the servers'
    rounds: int
    proxy_core: int | None
    load_core: int | None
    missing: list  # what could not be measured, and why
    progress: object

    def __post_init__(self):
        self.pin = systems.pinned(self.load_core)
        self.environ = load.environment(self.directory)

    def pin_of(self, scenario):
        """Where the load runs: with both cores it is pinned nowhere."""
        return None if scenario.kind == "both" else self.pin

    def place(self, name):
        """A directory for one system, with the files and certificates that all have."""
        place = self.directory / name.replace(" ", "-").replace(",", "")
        place.mkdir()
        for shared in ("www", "cert.pem", "key.pem", "both.pem"):
            (place / shared).symlink_to(self.directory / shared)
        return place


@dataclass
class Entrant:
    """One system in one scenario."""

    system: systems.System
    port: int
    count: int = 0  # requests of a round, for the tool that is given a number
    capacity: int = 0  # requests a second when it was warmed up
    sent: int = 0  # bytes of a response's content on its way


def start(bench, stack, scenario, name, plan):
    """Starts one system and checks its first answer."""
    kind = name if name in systems.STARTS else "sheave"
    system = systems.STARTS[kind](plan)
    stack.callback(system.stop)
    system.await_ports()
    port = system.ports["tls" if scenario.tls else "plain"]
    return Entrant(system, port, sent=load.probe(scenario, port, bench.directory))


def calibrate(bench, scenario, entrant):
    """How many requests make a round; at the same time the warm-up, which fills pools and caches."""
    if scenario.handshake == "full":
        entrant.count, entrant.capacity = load.FULL_HANDSHAKES * scenario.seconds, handshakes.RATE * 2
        load.run(scenario, entrant.port, 50, bench.pin_of(scenario), bench.environ)
        return
    seen = load.run(scenario, entrant.port, 4000, bench.pin_of(scenario), bench.environ, entrant.sent)
    entrant.capacity = int(seen.requests / seen.seconds)
    entrant.count = max(entrant.capacity * scenario.seconds, 1000)
    if scenario.handshake:
        entrant.capacity = handshakes.RATE * 2


def costed(entrant, scenario, work):
    """What a round saw, and what CPU time it took of the system."""
    times, busy = [], []

    def timed():
        times.append(entrant.system.cpu())
        busy.append(systems.machine_times())
        seen = work()
        busy.append(systems.machine_times())
        # The ends of the connections are part of the work, and so are the last lines of a log.
        time.sleep(0.1 if entrant.system.access else 0.05)
        times.append(entrant.system.cpu())
        return seen

    log = entrant.system.access
    seen = lines.checked(log, scenario.connections, timed) if log else timed()
    user, kernel, total = (after - start for start, after in zip(*times))
    ticks = user + kernel
    per_request = total / seen.requests * 1e6
    return {
        "cpu": per_request,
        "user": per_request * user / ticks if ticks else 0.0,
        "system": per_request * kernel / ticks if ticks else 0.0,
        "rate": seen.requests / seen.seconds,
        "p50": seen.p50,
        "p99": seen.p99,
        "busy": total / seen.seconds,
        "used": (busy[1][0] - busy[0][0]) / max(busy[1][1] - busy[0][1], 1e-9),
        "requests": seen.requests,
    }


def one_round(bench, scenario, entrant):
    """Load that waits for answers. Of handshakes, the peers see for themselves which kind it was
    (their answer is an error then); sheave counts them."""
    counts = scenario.handshake and "admin" in entrant.system.ports
    before = handshakes.counted(entrant.system.ports["admin"]) if counts else {}
    found = costed(entrant, scenario, lambda: load.run(scenario, entrant.port, entrant.count,
                                                       bench.pin_of(scenario), bench.environ,
                                                       entrant.sent))
    if counts:
        after = handshakes.counted(entrant.system.ports["admin"])
        wrong = handshakes.wrong_kind(scenario, before, after)
        if wrong:
            raise load.Wrong(wrong)
    return found


def repeat(bench, scenario, running, rounds, label, work):
    """`work` for every system in turn, `rounds` times. One with a wrong answer is out: no result."""
    found = {name: [] for name in running}
    for number in range(rounds):
        # There and back, so that a machine that gets slower or faster meanwhile favours nobody.
        for name in list(found)[:: 1 if number % 2 == 0 else -1]:
            bench.progress(f"{scenario.name}: {label} {number + 1} of {rounds}, {name}")
            try:
                found[name].append(work(running[name]))
            except (load.Wrong, OSError) as error:
                bench.missing.append(f"{scenario.name}, {name}, {label} {number + 1}: {error}")
                del found[name]
                if not isinstance(error, load.Missed):
                    del running[name]
    return found


def plans(bench, scenario, wanted, addresses):
    """How each system is started, by its name in the tables."""
    core = bench.proxy_core if scenario.pinned else None
    if scenario.variants:
        made = {}
        for name, options in scenario.variants.items():
            servers = addresses[: options.get("servers", 3)]
            rest = {key: value for key, value in options.items() if key != "servers"}
            made[name] = systems.Plan(bench.place(f"{scenario.name}-{name}"), servers, core,
                                      bench.binaries["sheave"], **rest)
        return made
    return {
        name: systems.Plan(bench.place(f"{scenario.name}-{name}"), addresses, core,
                           bench.binaries[name], log=scenario.log,
                           trace=scenario.trace, workers=scenario.workers,
                           upstream=scenario.upstream)
        for name in wanted
    }


def measure(bench, scenario, wanted):
    """All rounds of one scenario."""
    with ExitStack() as stack:
        most = max((it.get("servers", 3) for it in scenario.variants.values()), default=3)
        servers, addresses = systems.origin(
            bench.directory, bench.load_core if scenario.kind != "both" else None, SMALL,
            bench.binaries["origin"], most, scenario.upstream, scenario.workers)
        stack.callback(servers.stop)
        servers.await_ports()
        running, agreed = {}, {}
        for name, plan in plans(bench, scenario, wanted, addresses).items():
            try:
                entrant = start(bench, stack, scenario, name, plan)
                if scenario.handshake:
                    agreed[name] = handshakes.agreed(entrant.port, bench.environ)
                calibrate(bench, scenario, entrant)
            except (load.Wrong, RuntimeError) as error:
                bench.missing.append(f"{scenario.name}, {name}: {error}")
                continue
            running[name] = entrant
        if len(set(agreed.values())) > 1:
            bench.missing.append(f"{scenario.name}: the handshakes are not of the same kind: {agreed}")
            running.clear()
        noise = systems.Noise([servers, *(it.system for it in running.values())])
        found = repeat(bench, scenario, running, bench.rounds, "round",
                       lambda entrant: one_round(bench, scenario, entrant))
        result = {"scenario": scenario.name, "about": scenario.about, "kind": scenario.kind,
                  "rounds": found, "steady": {}, "rate": 0}
        if scenario.steady and "oha" in bench.binaries and running:
            result["rate"] = rate = steady.rate([it.capacity for it in running.values()])
            result["steady"] = repeat(
                bench, scenario, running,
                bench.rounds * (1 if scenario.handshake else MORE_AT_A_FIXED_RATE),
                "fixed rate, round",
                lambda entrant: costed(entrant, scenario, lambda: steady.run(
                    scenario, entrant.port, rate, bench.pin_of(scenario), bench.directory, bench.environ)),
            )
        # A system with a wrong answer at the fixed rate has no result at all.
        for name in list(found):
            if name not in running:
                del found[name]
        if scenario.codings:
            result["sent"] = {name: it.sent for name, it in running.items()}
        result["others"] = noise.share()
        result["agreed"] = next(iter(agreed.values()), "")
    return result
