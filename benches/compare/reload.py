"""A large config: how long it takes to read and to start with, and whether a request notices that
it is swapped in.

The load has a fixed rate, and every request's start and waiting are known, so p99 can be told for
every tenth of a second: before, while it is built and swapped in, and after.
"""

import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from statistics import median

import load
import rounds
import sites
import steady
import systems
from scenarios import SMALL

RATE, SECONDS, WINDOW = 2000, 9, 0.1
# When the reload begins, in seconds after the load. What is left must be enough for an "after".
RELOAD_AT = 2.0
# So long after a reload's answer still belongs to the reload: old state is dropped late.
TAIL = 0.3


def reload(system, config, number):
    """Changes the config a little and reloads it; returns when that began and ended."""
    config.write_text(config.read_text() + sites.one(1_000_000 + number))
    request = urllib.request.Request(f"http://127.0.0.1:{system.ports['admin']}/reload", method="POST")
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            answer.read()
    except (OSError, urllib.error.URLError) as error:
        raise load.Wrong(f"the reload failed: {error!r}") from error
    return began, time.monotonic()


def windows(requests, began, ended):
    """p99 (ms) of every window, in three heaps: before the reload, in it, after it."""
    heaps = {"before": [], "during": [], "after": []}
    last = max(it.start for it in requests)
    for number in range(int(steady.WARM_UP / WINDOW) + 1, int(last / WINDOW)):
        start, end = number * WINDOW, (number + 1) * WINDOW
        waits = [it.wait for it in requests if start <= it.start < end]
        if not waits:
            continue
        heap = "before" if end <= began else "after" if start >= ended + TAIL else "during"
        heaps[heap].append(steady.percentile(waits, 0.99) * 1e3)
    return heaps


def under_load(bench, scenario, entrant, config, number):
    """One load of some seconds with a reload in it."""
    command = steady.arguments(scenario, entrant.port, RATE, RATE * SECONDS, bench.directory)
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, preexec_fn=bench.pin)
    try:
        # oha writes when it has ended, so nothing needs to be read until then.
        time.sleep(RELOAD_AT)
        began, ended = (it - start for it in reload(entrant.system, config, number))
        text, _ = process.communicate(timeout=30 + SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    requests = steady.parse(scenario, RATE * SECONDS, text)
    return {"reload": ended - began, **windows(requests, began, ended)}


def timed(arguments):
    began = time.monotonic()
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, text=True, check=False)
    if done.returncode:
        raise load.Wrong(f"the check failed: {done.stdout[-300:]}")
    return time.monotonic() - began


def startup(plan):
    """From the process's start until it listens."""
    system = systems.sheave(plan)
    try:
        system.await_ports()
        # The config's text was written before, and is not sheave's time.
        return time.monotonic() - system.started
    finally:
        system.stop()


def measure(bench, scenario, _wanted):
    found = {"load": []}
    with ExitStack() as stack:
        servers, addresses = systems.origin(bench.directory, bench.load_core, SMALL,
                                            bench.binaries["origin"])
        stack.callback(servers.stop)
        servers.await_ports()
        place = bench.place(scenario.name)
        plan = systems.Plan(place, addresses, None, bench.binaries["sheave"], sites=scenario.hosts)
        try:
            found["startup"] = [startup(plan) for _ in range(3)]
            entrant = rounds.start(bench, stack, scenario, "sheave", plan)
            config = place / "sheave.toml"
            check = [str(plan.binary), "check", "--config", str(config)]
            found["check"] = [timed(check) for _ in range(3)]
            for number in range(max(bench.rounds // 3, 1)):
                bench.progress(f"{scenario.name}: load {number + 1}")
                found["load"].append(under_load(bench, scenario, entrant, config, number))
        except (load.Wrong, RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            bench.missing.append(f"{scenario.name}: {error!r}")
    return {"scenario": scenario.name, "about": scenario.about, "kind": scenario.kind,
            "reload": found}
