#!/usr/bin/env python3
"""Draws what a request costs as bars, and prints a small table of it for the README.

`run` calls it after it has written its results. Alone it reads the newest ones:

    benches/compare/chart.py              # writes ../results/cost.svg
    benches/compare/chart.py --out FILE
"""

import argparse
import json
import sys
from html import escape
from pathlib import Path

sys.dont_write_bytecode = True

from report import FEWEST, ratio, table

RESULTS = Path(__file__).resolve().parent.parent / "results"
CHART = RESULTS / "cost.svg"

# What is drawn, in this order, in words that need no other page.
ROWS = {
    "small": "120 bytes",
    "browser": "120 bytes, a browser's header",
    "10k": "10 KB",
    "100k": "100 KB",
    "1m": "1 MB",
    "post-10k": "POST 10 KB",
    "post-1m": "POST 1 MB",
    "close": "one connection per request",
    "log": "120 bytes, JSON access log",
    "tls": "TLS, 120 bytes",
    "tls-full": "TLS, full handshake",
    "tls-resumed": "TLS, resumed handshake",
    "h2": "HTTP/2, 120 bytes",
    "static-10k": "file of 10 KB",
    "static-1m": "file of 1 MB",
    "cache-hit-10k": "10 KB from the cache",
    "cache-hit-tls": "TLS, 10 KB from the cache",
    "cache-hit-h2": "HTTP/2, 10 KB from the cache",
    "gzip-json-100k": "100 KB of JSON by gzip",
}
# What the README has in figures, too.
IN_FIGURES = {
    "small": "120 B", "10k": "10 KB", "1m": "1 MB", "post-1m": "POST 1 MB",
    "close": "connection per request", "log": "JSON log", "tls": "TLS",
    "tls-full": "TLS handshake", "h2": "HTTP/2", "static-10k": "10 KB file",
    "static-1m": "1 MB file",
}
# Runs before this day did not look whether the access log had lost lines.
SINCE = {"log": "2026-11-28"}

SYSTEMS = {"sheave": "sheave", "haproxy": "HAProxy"}

# Pixels. The largest ratio is `LONGEST` wide, and at least 2.0 is.
WIDTH, LEFT, LONGEST, TOP = 760, 220, 460, 86
BAR, GAP, BETWEEN, BOTTOM = 11, 2, 12, 40

# The page behind may be light or dark, so the chart has a ground of its own.
STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de }
  text { fill: #1f2328; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .title { font-size: 16px; font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  .value { font-size: 11px; stroke: #ffffff; stroke-width: 3px; paint-order: stroke }
  .sheave { fill: #0969da }
  .haproxy { fill: #afb8c1 }
  .grid { stroke: #d8dee4 }
  .nginx { stroke: #cf222e; stroke-width: 1.5 }
  .range { stroke: #1f2328; stroke-opacity: 0.55 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #30363d }
    text { fill: #e6edf3 }
    .quiet { fill: #9198a1 }
    .value { stroke: #0d1117 }
    .sheave { fill: #4493f8 }
    .haproxy { fill: #656c76 }
    .grid { stroke: #262c36 }
    .nginx { stroke: #f85149 }
    .range { stroke: #e6edf3 }
  }
"""


def newest(directory):
    """Of every scenario the newest result that has nginx beside it, and its day."""
    found = {}
    for path in sorted(directory.glob("*.json")):
        run = json.loads(path.read_text())
        day = run["date"][:10]
        for result in run["results"]:
            name, rounds = result["scenario"], result.get("rounds") or {}
            if len(rounds.get("nginx", [])) >= FEWEST and day >= SINCE.get(name, ""):
                found[name] = (day, run["machine"], rounds)
    return found


def rows(found):
    """What is drawn: a label, and the ratio to nginx of each system that has one."""
    made = []
    for name, label in ROWS.items():
        if name in found:
            rounds = found[name][2]
            ratios = {it: ratio(rounds.get(it), rounds["nginx"], "cpu") for it in SYSTEMS}
            made.append((label, {it: value for it, value in ratios.items() if value}))
    return made


def versions(found, system):
    """Of all rows that have the system, most rows' first."""
    seen = [str(machine.get(system, "")).split(" ")[0].split("-")[0]
            for name, (_, machine, rounds) in found.items() if name in ROWS and rounds.get(system)]
    return " and ".join(sorted(set(seen), key=seen.count, reverse=True))


def subtitle(found):
    days = sorted({found[name][0] for name in ROWS if name in found})
    machine = found[max(found, key=lambda name: found[name][0])][1]
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    nginx, haproxy = versions(found, "nginx"), versions(found, "haproxy")
    beside = f"nginx {nginx}" + (f", HAProxy {haproxy}" if haproxy else "")
    return f"{beside}; {machine['cpu']}, one core for the proxy; {when}"


def line(style, x1, y1, x2, y2):
    return f'<line class="{style}" x1="{x1:.0f}" y1="{y1:.1f}" x2="{x2:.0f}" y2="{y2:.1f}"/>'


def words(x, y, text, style="", anchor="start"):
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'


def bar(y, scale, system, measured):
    """One bar, the range in which the true median is likely to be, and the figure."""
    middle, low, high = (LEFT + value * scale for value in measured)
    centre = y + BAR / 2
    return [
        f'<rect class="{system}" x="{LEFT}" y="{y}" width="{middle - LEFT:.0f}" height="{BAR}"/>',
        line("range", low, centre, high, centre),
        words(max(middle, high) + 5, y + BAR - 1, f"{measured[0]:.2f}", "value"),
    ]


def legend():
    made, x = [], LEFT
    for system, name in SYSTEMS.items():
        made.append(f'<rect class="{system}" x="{x}" y="59" width="{BAR}" height="{BAR}"/>')
        made.append(words(x + BAR + 5, 69, name))
        x += 90
    made.append(line("nginx", x, 57, x, 72))
    made.append(words(x + 7, 69, "nginx"))
    made.append(line("range", x + 70, 64.5, x + 92, 64.5))
    made.append(words(x + 98, 69, "where the true median is likely to be", "quiet"))
    return made


def svg(found):
    """The picture."""
    drawn = rows(found)
    group = 2 * BAR + GAP + BETWEEN
    most = max(2.0, *(high for _, ratios in drawn for _, _, high in ratios.values()))
    scale = LONGEST / most
    bottom = TOP + group * len(drawn)
    height = bottom + BOTTOM
    title = "CPU time per request (nginx = 1; shorter is better)"
    body = [words(20, 28, title, "title"), words(20, 47, subtitle(found), "quiet"), *legend()]
    for half in range(int(most * 2) + 1):
        x = LEFT + half / 2 * scale
        body.append(line("nginx" if half == 2 else "grid", x, TOP - 4, x, bottom))
        body.append(words(x, bottom + 17, f"{half / 2:.1f}", "quiet", "middle"))
    y = TOP + 2
    for label, ratios in drawn:
        body.append(words(LEFT - 10, y + BAR + 5, label, anchor="end"))
        for place, system in enumerate(SYSTEMS):
            if system in ratios:
                # Where there is no HAProxy, sheave's bar is in the middle of the row.
                shift = (BAR + GAP) * place if "haproxy" in ratios else (BAR + GAP) // 2
                body += bar(y + shift, scale, system, ratios[system])
        if "sheave" not in ratios:
            body.append(words(LEFT + 5, y + BAR - 1, "no result", "quiet"))
        y += group
    told = "; ".join(f"{label}: " + ", ".join(f"{SYSTEMS[it]} {value[0]:.2f}"
                                             for it, value in ratios.items())
                     for label, ratios in drawn)
    inside = "\n".join(f"  {it}" for it in body)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-labelledby="t d">\n'
            f'  <title id="t">{escape(title)}</title>\n  <desc id="d">{escape(told)}</desc>\n'
            f"  <style>{STYLE}  </style>\n"
            f'  <rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" '
            f'rx="6"/>\n{inside}\n</svg>\n')


def markdown(found):
    """Some of it in figures, as small as the README wants it."""
    drawn = dict(rows({name: it for name, it in found.items() if name in IN_FIGURES}))
    made = [["to nginx", *(IN_FIGURES[name] for name in IN_FIGURES if ROWS[name] in drawn)]]
    for system, title in SYSTEMS.items():
        made.append([title, *(f"{ratios[system][0]:.2f}" if system in ratios else "–"
                              for ratios in drawn.values())])
    return table(made)


def draw(out=CHART, directory=RESULTS):
    """Writes the chart, or nothing where there is no result to draw."""
    found = newest(directory)
    if rows(found):
        out.write_text(svg(found))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draws benches/results/cost.svg.")
    parser.add_argument("--out", type=Path, default=CHART, metavar="FILE")
    print(markdown(draw(parser.parse_args().out)))
