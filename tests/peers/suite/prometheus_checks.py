"""Prometheus' own tools and a real Prometheus on what is shipped for it, and Grafana's schema on the
dashboard."""

import asyncio
import contextlib
import json
import pathlib
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request

import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from run_it import run
from scene import free_port

ROOT = pathlib.Path(__file__).resolve().parents[3]
RULES = ROOT / "docker/prometheus"
DASHBOARD = ROOT / "docker/grafana/sheave.json"

# Everything that has metrics of its own: TLS, a cache on disk, compression, the PROXY protocol.
CONFIG = """
workers = 2
[listener.http]
address = "127.0.0.1:{http}"
[listener.https]
address = "127.0.0.1:{https}"
tls.certificates = [{{ cert = "site.pem", key = "site.key" }}]
[listener.announced]
address = "127.0.0.1:{announced}"
proxy_protocol.from = ["127.0.0.1"]
[admin]
address = "127.0.0.1:{admin}"
[access_log]
path = "prometheus-access.log"
[cache.main]
memory = "64MiB"
disk = {{ path = "prometheus-cache", max_size = "64MiB" }}
[upstream.app]
servers = [
  {{ address = "127.0.0.1:{one}" }},
  {{ address = "127.0.0.1:{two}", max_fails = 1, fail_timeout = "60s" }},
]
[upstream.node]
servers = [{{ address = "127.0.0.1:{node}" }}]
[[site]]
[[site.route]]
name = "assets"
path = "/assets/*"
upstream = "node"
cache = "main"
compress = true
[[site.route]]
name = "files"
path = "/files/*"
strip_prefix = "/files"
files.root = "public"
[[site.route]]
name = "app"
path = "/app/*"
upstream = "app"
"""

SCRAPES = """
global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [rules.yml]
scrape_configs:
  - job_name: sheave
    static_configs: [{{ targets: ["127.0.0.1:{admin}"] }}]
"""


def alerts():
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


async def rules(_):
    await run("promtool", "check", "rules", RULES / "alerts.yml")
    await run("promtool", "test", "rules", RULES / "alerts.test.yml")
    # Each alert is tested where it fires and where it does not, and says what to do.
    tests = yaml.safe_load((RULES / "alerts.test.yml").read_text())["tests"]
    asked = [it for test in tests for it in test["promql_expr_test"]]
    fires = {re.search('alertname="(.*?)"', sample["labels"])[1]
             for it in asked for sample in it.get("exp_samples", [])}
    names = {it["alert"] for it in alerts()}
    assert fires == names, fires ^ names
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning"), alert
        for key in ("summary", "description", "runbook"):
            assert alert["annotations"][key].strip(), (alert["alert"], key)


def commands(scene):
    """What runbooks tell to run is there."""

    async def work(_):
        told = {word for alert in alerts()
                for word in re.findall(r"`sheave (\w+)", alert["annotations"]["runbook"])}
        assert {"check", "health"} <= told, told
        for word in told:
            # Whatever else it may say here.
            _, messages = await run(scene.binary, word, "--admin", "unix:none", fails=True)
            assert "unknown command" not in messages, messages

    return work


async def composed(_):
    """compose.yaml mounts each file where prometheus.yml and Grafana look for it."""
    compose = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    mounts = {}
    for service in ("prometheus", "grafana"):
        for volume in compose[service]["volumes"]:
            ours, theirs, _ = volume.split(":")
            assert (ROOT / "docker" / ours).is_file(), ours
            mounts[theirs] = ours
    config = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())
    for name in config["rule_files"]:
        assert f"/etc/prometheus/{name}" in mounts, name
    (scrape,) = config["scrape_configs"]
    assert scrape["job_name"] == "sheave"
    (provider,) = yaml.safe_load((ROOT / "docker/grafana/dashboards.yml").read_text())["providers"]
    assert f"{provider['options']['path']}/sheave.json" in mounts
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounts


async def schema(_):
    """Grafana's own types keep every key of the dashboard: none is misspelt or out of place."""
    plugins.register_default_plugins()
    ours = json.loads(DASHBOARD.read_text())
    theirs = json.loads(JSONEncoder().encode(Dashboard.from_json(ours)))
    # Keys of annotations by Prometheus belong to the data source and are not in the schema.
    for annotation in ours["annotations"]["list"]:
        for key in ("step", "textFormat", "titleFormat"):
            annotation.pop(key)
    lost = list(differences(ours, theirs, ""))
    assert not lost, lost
    ids = [panel["id"] for panel in ours["panels"]]
    assert len(set(ids)) == len(ids) > 30
    taken = set()
    for panel in ours["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def differences(ours, theirs, place):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from differences(value, theirs.get(key), f"{place}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for at, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{place}[{at}]")
    elif ours != theirs:
        yield f"{place}: {ours!r} became {theirs!r}"


class Watched:
    """A daemon, two servers of which one is killed, and a Prometheus that looks at it."""

    def __init__(self, scene):
        self.scene, self.directory = scene, scene.directory
        self.ports = {name: free_port() for name in ("http", "https", "announced", "admin", "one",
                                                     "two", "prometheus")}
        self.running = []

    def spawn(self, name, command):
        log = (self.directory / f"{name}.log").open("w")
        process = subprocess.Popen([str(it) for it in command], cwd=self.directory, stdout=log,
                                   stderr=log)
        self.running.append(process)
        return process

    def server(self, which):
        port = self.ports[which]
        return self.spawn(f"server-{which}", [sys.executable, "-m", "http.server", "--bind",
                                              "127.0.0.1", port, "--directory", "served"])

    def start(self):
        for name in ("served/app", "public"):
            (self.directory / name).mkdir(parents=True)
            (self.directory / name / "a.txt").write_text("hello " * 1000)
        self.server("one")
        killed = self.server("two")
        text = CONFIG.format(**self.ports, node=self.scene.ports["node"])
        (self.directory / "prometheus.toml").write_text(text)
        check = [self.scene.binary, "check", "-c", self.directory / "prometheus.toml"]
        subprocess.run(check, check=True)
        self.spawn("watched", [self.scene.binary, "run", "--config", "prometheus.toml"])
        self.start_prometheus()
        return killed

    def start_prometheus(self):
        # The same rules, but nothing waits.
        rules = (RULES / "alerts.yml").read_text()
        rules = re.sub(r"^( +for:) .*", r"\1 1s", rules, flags=re.MULTILINE)
        rules = rules.replace("interval: 30s", "interval: 1s")
        (self.directory / "rules.yml").write_text(rules)
        (self.directory / "prometheus.yml").write_text(SCRAPES.format(**self.ports))
        self.spawn("prometheus", [
            "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}", "--log.level=warn"])

    def api(self, path, **query):
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}"
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
            return json.load(answer)["data"]

    def firing(self):
        return {it["labels"]["alertname"]: it["labels"] for it in self.api("alerts")["alerts"]
                if it["state"] == "firing"}

    def metrics(self):
        url = f"http://127.0.0.1:{self.ports['admin']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read()

    def load(self):
        """A few requests of every kind."""
        ask = f"http://127.0.0.1:{self.ports['http']}"
        paths = ["/app/a.txt", "/app/a.txt", "/assets/page.html", "/files/a.txt", "/files/none", "/none"]
        for path in paths:
            request = urllib.request.Request(ask + path, headers={"Accept-Encoding": "gzip"})
            with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def eventually(what, holds, patience=60):
    """The last value of `holds`, once it is true."""
    error = None
    for _ in range(patience * 4):
        try:
            if value := await asyncio.to_thread(holds):
                return value
        except (OSError, KeyError) as problem:
            error = problem
        await asyncio.sleep(0.25)
    raise AssertionError(f"it never happened: {what} ({error})")


def at_work(scene):
    async def work(_):
        watched = Watched(scene)
        over = asyncio.Event()

        async def keep_loading():
            while not over.is_set():
                await asyncio.to_thread(watched.load)
                await asyncio.sleep(0.2)

        try:
            killed = watched.start()
            await eventually("metrics", watched.metrics)
            loading = asyncio.create_task(keep_loading())
            try:
                await look(watched, killed)
            finally:
                over.set()
                await loading
        finally:
            await asyncio.to_thread(watched.stop)

    return work


async def look(watched, killed):
    def is_up():
        targets = watched.api("targets")["activeTargets"]
        assert all(it["scrapeUrl"].endswith("/metrics") for it in targets)
        return [it["health"] for it in targets] == ["up"]

    await eventually("the target is up", is_up)
    # A minute is too long for a check: some scrapes are enough for each `rate`.
    await eventually("ten scrapes", lambda: count(watched, "count_over_time(up[1m])") >= 10)
    before = watched.firing()
    # The certificate of this test lasts 30 days.
    assert not before.keys() & {"SheaveServerDown", "SheaveDown", "SheaveCertificateEnds"}, before
    killed.send_signal(signal.SIGKILL)
    alert = await eventually("an alert", lambda: watched.firing().get("SheaveServerDown"))
    assert alert["server"] == f"127.0.0.1:{watched.ports['two']}", alert
    groups = watched.api("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 25
    wrong = [(it["name"], it["health"], it.get("lastError")) for it in rules if it["health"] != "ok"]
    assert not wrong, wrong
    # Every panel's expression is one for Prometheus; most have something to show here.
    empty = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            expression = re.sub(r"\$__rate_interval", "10s", target["expr"])
            expression = re.sub(r"\$\w+", ".*", expression)
            if not watched.api("query", query=expression)["result"]:
                empty.append(f"{panel['title']}: {expression}")
    shown = json.dumps(empty, indent=1)
    assert len(empty) < 15, shown
    print(f"         without data here: {len(empty)} expressions", flush=True)
    text = watched.metrics()
    out, messages = await run("promtool", "check", "metrics", data=text)
    assert not out and not messages, (out, messages)
    # The list has all that there is.
    page = (ROOT / "docs/metrics.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    told = set(re.findall(r"^# TYPE (\w+) (\w+)$", text.decode(), re.MULTILINE))
    assert len(told) > 30 and told <= listed, told - listed


def count(watched, query):
    result = watched.api("query", query=query)["result"]
    return float(result[0]["value"][1]) if result else 0
