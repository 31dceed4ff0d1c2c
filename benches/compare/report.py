"""Makes tables of the results: medians, ratios, targets, and what machine they are from."""

import os
import platform
import re
from math import comb, inf
from pathlib import Path
from statistics import median

from programs import said, tls_library, version
from scenarios import BUILD_TARGET, P99_TARGET, SCENARIOS

PEERS = {"nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy", "varnish": "Varnish"}
# With fewer rounds than this, even their whole range says too little.
FEWEST = 5
TARGETS = {scenario.name: scenario.target for scenario in SCENARIOS}

# Decides much of what large bodies cost.
CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def facts(binaries, root, proxy_core, load_core):
    """The machine and the programs. `root` is where this run has built sheave, if it has."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = "unknown: the binary was given"
    if root:
        commit = said("git", "-C", str(root), "rev-parse", "--short", "HEAD").strip() or "unknown"
        changed = said("git", "-C", str(root), "status", "--porcelain", "--", "src", "Cargo.toml")
        commit += " with changes" if changed.strip() else ""
    found = {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "proxy on core": proxy_core,
        "load and servers on core": load_core,
        "kernel": platform.release(),
        "congestion control": CONGESTION.read_text().strip(),
        "sheave": version(said(str(binaries["sheave"]), "--version")),
        "commit": commit,
    }
    if "envoy" in binaries:
        found["envoy"] = re.sub(".*?/(?=1)", "", said(str(binaries["envoy"]), "--version").strip())
    for name, flags in (("nginx", ("-v", "-V")), ("haproxy", ("-v", "-vv"))):
        if name in binaries:
            binary = str(binaries[name])
            found[name] = f"{version(said(binary, flags[0]))} with {tls_library(binary, flags[1])}"
    if "varnish" in binaries:
        found["varnish"] = version(said(str(binaries["varnish"]), "-V"))
    return found | {
        "servers": f"nginx {version(said(str(binaries['origin']), '-v'))}",
        "wrk": version(said("wrk", "-v")),
        "h2load": version(said("h2load", "--version")),
        "oha": version(said("oha", "--version")),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def summary(rounds):
    """Medians of one system's rounds."""
    return {key: median(it[key] for it in rounds) for key in rounds[0]}


def ratio(ours, theirs, key):
    """The median of the per-round ratios, and where the true median is likely to be."""
    ratios = [a[key] / b[key] for a, b in zip(ours or [], theirs or []) if b[key]]
    return (median(ratios), *likely(ratios)) if ratios else None


def likely(values):
    """Bounds of the true median: of 20 runs, 19 have it above the lower one, and 19 below the upper
    one. By order alone (the sign test), for nobody knows how such values are spread. Of fewer than
    eight values these are the lowest and the highest."""
    ordered, count = sorted(values), len(values)
    outside, below = 0, 0.5**count
    while below + comb(count, outside + 1) * 0.5**count <= 0.05:
        outside += 1
        below += comb(count, outside) * 0.5**count
    return ordered[outside], ordered[-1 - outside]


def ratio_text(ours, theirs, key, target=None):
    """A ratio and its target."""
    found = ratio(ours, theirs, key)
    if not found:
        return "–"
    text = "{:.2f} ({:.2f}–{:.2f})".format(*found)
    if target is None:
        return text
    return f"{text} {verdict(target, *(found[1:] if len(ours) >= FEWEST else (0, inf)))}"


def verdict(target, low, high=None):
    """Whether the target is reached, as far as the rounds can tell."""
    high = low if high is None else high
    word = "" if high <= target else "**not** " if low > target else "**?** "
    return f"{word}≤ {target:.2f}"


def table(rows):
    """Markdown, with aligned columns so that it reads in a terminal, too."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def ratios_table(results):
    """sheave against the others: what matters."""
    def cells(rounds, key, targets):
        ours = rounds.get("sheave")
        return [ratio_text(ours, rounds.get(peer), key, targets[peer]) for peer in peers]

    # Envoy and Varnish are in few scenarios.
    peers = [it for it in PEERS if any(it in result["rounds"] for result in results)]
    rows = [["scenario", *(f"CPU to {PEERS[it]}" for it in peers),
             *(f"p99 to {PEERS[it]}" for it in peers), "other programs"]]
    for result in results:
        rows.append([
            result["scenario"],
            *cells(result["rounds"], "cpu", TARGETS[result["scenario"]]),
            *cells(result["steady"], "p99", dict.fromkeys(PEERS, P99_TARGET)),
            f"{result['others']:.0%}",
        ])
    return table(rows)


def both_table(results):
    """What is got through with both cores: more is better."""
    rows = [["scenario", "system", "req/s", "req/s to nginx", "both cores busy", "CPU µs/req",
             "other programs"]]
    for result in results:
        theirs = result["rounds"].get("nginx")
        for name, rounds in result["rounds"].items():
            mid, found = summary(rounds), ratio(rounds, theirs, "rate")
            text = "{:.2f} ({:.2f}–{:.2f})".format(*found) if found else "–"
            if found and name == "sheave":
                least = TARGETS[result["scenario"]]["rate"]
                missed, sure = found[2] < least, found[1] >= least and len(rounds) >= FEWEST
                text += f" {'' if sure else '**not** ' if missed else '**?** '}≥ {least:.2f}"
            rows.append([result["scenario"], name, f"{mid['rate']:.0f}", text, f"{mid['used']:.0%}",
                         f"{mid['cpu']:.1f}", f"{result['others']:.0%}"])
    return table(rows)


def base_of(result, kind):
    """The rounds of what the others are compared with."""
    if result["kind"] == "growth":
        return next(iter(result[kind].values()), None)
    return result[kind].get("nginx")


def systems_table(results):
    """Every system by itself, when it is as busy as the load can make it."""
    rows = [["scenario", "system", "CPU µs/req", "user", "system", "req/s", "core busy",
             "p99 µs at saturation", "CPU to nginx, or to the base", "p99 to the same"]]
    for result in results:
        base = base_of(result, "rounds")
        for name, rounds in result["rounds"].items():
            mid = summary(rounds)
            rows.append([
                result["scenario"], name, f"{mid['cpu']:.1f}", f"{mid['user']:.1f}",
                f"{mid['system']:.1f}", f"{mid['rate']:.0f}", f"{mid['busy']:.0%}",
                f"{mid['p99']:.0f}", ratio_text(rounds, base, "cpu"), ratio_text(rounds, base, "p99"),
            ])
    return table(rows)


def steady_table(results):
    """Every system by itself, at the same rate."""
    rows = [["scenario", "system", "req/s", "p50 µs", "p99 µs", "p99, lowest–highest", "CPU µs/req",
             "CPU to nginx, or to the base"]]
    for result in results:
        for name, rounds in result["steady"].items():
            mid = summary(rounds)
            waits = [it["p99"] for it in rounds]
            rows.append([result["scenario"], name, f"{result['rate']}", f"{mid['p50']:.0f}",
                         f"{mid['p99']:.0f}", f"{min(waits):.0f}–{max(waits):.0f}", f"{mid['cpu']:.1f}",
                         ratio_text(rounds, base_of(result, "steady"), "cpu")])
    return table(rows)


def memory_table(results):
    """What an idle connection keeps."""
    rows = [["scenario", "system", "RSS, KiB/connection", "PSS, KiB/connection", "before, MiB",
             "after, MiB", "settled", "target of sheave"]]
    for result in results:
        for name, it in result["memory"].items():
            kib = it["rss"] / 1024
            target = verdict(TARGETS[result["scenario"]]["KiB"], kib) if name == "sheave" else ""
            rows.append([result["scenario"], name, f"{kib:.2f}", f"{it['pss'] / 1024:.2f}",
                         f"{it['before'] / 2**20:.1f}", f"{it['after'] / 2**20:.1f}",
                         "yes" if it["stable"] else "no", target])
    return table(rows)


def objects_table(results):
    """What a cached response keeps."""
    rows = [["system", "objects", "RSS, bytes/object", "before, MiB", "after, MiB", "stored a second",
             "to Varnish"]]
    for result in results:
        theirs = result["memory"].get("varnish")
        for name, it in result["memory"].items():
            to = it["rss"] / theirs["rss"] if theirs else None
            target = verdict(TARGETS[result["scenario"]]["varnish"], to) if name == "sheave" and to else ""
            rows.append([name, f"{it['objects']:,}", f"{it['rss']:.0f}", f"{it['before'] / 2**20:.0f}",
                         f"{it['after'] / 2**20:.0f}", f"{it['rate']:.0f}",
                         f"{to:.2f} {target}".strip() if to else "–"])
    return table(rows)


def growth_table(results):
    """sheave against itself."""
    rows = [["scenario", "the larger", "to", "CPU", "p99 at a fixed rate", "other programs"]]
    for result in results:
        rounds, steady = result["rounds"], result["steady"]
        base, *larger = rounds
        for name in larger:
            rows.append([
                result["scenario"], name, base,
                ratio_text(rounds[name], rounds[base], "cpu", TARGETS[result["scenario"]]["base"]),
                ratio_text(steady.get(name), steady.get(base), "p99"),
                f"{result['others']:.0%}",
            ])
    return table(rows)


def reload_lines(found):
    """The large config: reading it, starting with it, swapping it in."""
    lines = []
    for name, what in (("check", "`sheave check`"), ("startup", "start until it listens")):
        if name in found:
            took = median(found[name])
            lines.append(f"- {what}: {took:.2f} s, {verdict(BUILD_TARGET, took)} s")
    if found["load"]:
        took = median(it["reload"] for it in found["load"])
        lines.append(f"- `POST /reload` under load: {took:.2f} s, {verdict(BUILD_TARGET, took)} s")
        rows = [["p99 of every 0.1 s, ms", "windows", "median", "highest"]]
        for heap in ("before", "during", "after"):
            values = [value for it in found["load"] for value in it[heap]]
            if values:
                rows.append([heap, f"{len(values)}", f"{median(values):.2f}", f"{max(values):.2f}"])
        lines += ["", table(rows)]
    return lines


def document(date, command, machine, results, missing):
    """The result file."""
    kinds = {kind: [it for it in results if it["kind"] == kind and it.get("rounds") != {}]
             for kind in ("load", "both", "idle", "objects", "growth", "reload")}
    loaded = kinds["load"] + kinds["growth"]
    lines = [f"# {date}", "", f"Made by `{command}`.", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += [f"- {it['scenario']}: {it['agreed']}" for it in loaded if it.get("agreed")]
    for it in loaded:
        if it.get("sent"):
            sent = ", ".join(f"{size:,} by {name}" for name, size in it["sent"].items())
            lines.append(f"- {it['scenario']}: bytes of a response: {sent}")
    if kinds["load"]:
        lines += ["", "## sheave beside the others", "",
                  "Medians of the per-round ratios (where the true median is likely to be), and the",
                  "target; below 1 sheave is ahead. `**?**`: the target is within that range, so that",
                  "the rounds do not tell. CPU is of rounds at saturation, p99 of rounds at a fixed rate.",
                  "`other programs`: their share of the machine's CPU time meanwhile; more than some",
                  "per cent makes p99 worthless and widens the ratios.", "", ratios_table(kinds["load"])]
    if kinds["both"]:
        lines += ["", "## Both cores", "", "Nothing is pinned: two workers, the load and the servers share",
                  "both cores. `both cores busy`: by anything at all.", "", both_table(kinds["both"])]
    if kinds["growth"]:
        lines += ["", "## As the work grows", "", growth_table(kinds["growth"])]
    for result in kinds["reload"]:
        lines += ["", f"## {result['about']}", "", *reload_lines(result["reload"])]
    if kinds["idle"]:
        lines += ["", "## Memory of an idle connection", "", memory_table(kinds["idle"])]
    for result in kinds["objects"]:
        lines += ["", "## Memory of a cached response", "", objects_table([result])]
    if loaded:
        lines += ["", "## At saturation", "", systems_table(loaded)]
    if any(it["steady"] for it in loaded):
        lines += ["", "## At a fixed rate", "", steady_table(loaded)]
    lines.append("")
    if missing:
        lines += ["## Not measured", "", *(f"- {it}" for it in missing), ""]
    return "\n".join(lines)
