"""Makes tables of the rounds: medians, ratios, and what machine they are from."""

import os
import platform
import re
import subprocess
from pathlib import Path
from statistics import median


def said(*arguments):
    """What a command printed, or nothing."""
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def version(text):
    found = re.search(r"\d+\.\d+[\w.+-]*", text)
    return found.group(0) if found else "unknown"


def facts(binary, root, proxy_core, load_core):
    """The machine and the programs. `root` is where `binary` was built, if it was now."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    tls = re.search(r"running with (OpenSSL [\d.]+)", said("nginx", "-V"))
    commit = "unknown: the binary was given"
    if root:
        commit = said("git", "-C", str(root), "rev-parse", "--short", "HEAD").strip() or "unknown"
        changed = said("git", "-C", str(root), "status", "--porcelain", "--", "src", "Cargo.toml")
        commit += " with changes" if changed.strip() else ""
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "proxy on core": proxy_core,
        "load and servers on core": load_core,
        "kernel": platform.release(),
        "sheave": version(said(str(binary), "--version")),
        "commit": commit,
        "nginx": version(said("nginx", "-v")),
        "nginx's TLS": tls.group(1) if tls else "unknown",
        "haproxy": version(said("haproxy", "-v")),
        "wrk": version(said("wrk", "-v")),
        "h2load": version(said("h2load", "--version")),
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
    }


def summary(rounds):
    """Medians of one system's rounds."""
    return {key: median(it[key] for it in rounds) for key in rounds[0]}


def ratio(ours, theirs, key):
    """The median, lowest and highest of the per-round ratios."""
    ratios = [a[key] / b[key] for a, b in zip(ours, theirs) if b[key]]
    return (median(ratios), min(ratios), max(ratios)) if ratios else None


def ratio_text(ours, theirs, key):
    found = ratio(ours, theirs, key) if ours and theirs else None
    return "–" if not found else "{:.2f} ({:.2f}–{:.2f})".format(*found)


def table(rows):
    """Markdown, with aligned columns so that it reads in a terminal, too."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def ratios_table(results):
    """sheave against the others: what matters."""
    rows = [["scenario", "CPU to nginx", "CPU to HAProxy", "p99 to nginx", "p99 to HAProxy",
             "other programs"]]
    for result in results:
        rounds = result["rounds"]
        ours = rounds.get("sheave")
        cells = [
            ratio_text(ours, rounds.get(peer), key)
            for key in ("cpu", "p99") for peer in ("nginx", "haproxy")
        ]
        rows.append([result["scenario"], *cells, f"{result['others']:.0%}"])
    return table(rows)


def systems_table(results):
    """Every system by itself."""
    rows = [["scenario", "system", "CPU µs/req", "user", "system", "req/s", "p50 µs", "p99 µs",
             "core busy", "CPU to nginx"]]
    for result in results:
        for name, rounds in result["rounds"].items():
            mid = summary(rounds)
            rows.append([
                result["scenario"], name, f"{mid['cpu']:.1f}", f"{mid['user']:.1f}",
                f"{mid['system']:.1f}", f"{mid['rate']:.0f}", f"{mid['p50']:.0f}",
                f"{mid['p99']:.0f}", f"{mid['busy']:.0%}",
                ratio_text(rounds, result["rounds"].get("nginx"), "cpu"),
            ])
    return table(rows)


def document(date, command, machine, results, missing):
    """The result file."""
    lines = [f"# {date}", "", f"Made by `{command}`.", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += ["", "Ratios are medians of the per-round ratios (lowest–highest); below 1 sheave is ahead.",
              "`other programs`: their share of the machine's CPU time meanwhile; more than some per cent",
              "makes p99 worthless and widens the ratios.",
              "", ratios_table(results), "", systems_table(results), ""]
    if missing:
        lines += ["Not measured:", "", *(f"- {it}" for it in missing), ""]
    return "\n".join(lines)
