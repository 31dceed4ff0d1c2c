"""The systems under test and the servers behind them: starts them, reads their use, stops them."""

import os
import resource
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import lines
import programs
import sites
from scenarios import OBJECT

HERE = Path(__file__).parent
CONF = HERE / "conf"
TICK = os.sysconf("SC_CLK_TCK")


PORTS_GIVEN = set()


def free_port():
    """A free port that was not given before: the kernel may name the same one twice."""
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        if port not in PORTS_GIVEN:
            PORTS_GIVEN.add(port)
            return port


def pinned(core):
    """Pins a new process to this core; `None` pins nothing."""
    return None if core is None else (lambda: os.sched_setaffinity(0, {core}))


def allow_files():
    """As many descriptors as allowed, for us and all that we start: thousands of connections."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def fill(template, values):
    """A config from `conf/`, every @NAME@ replaced."""
    text = (CONF / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


class System:
    """One running program, with its children."""

    def __init__(self, name, arguments, ports, directory, core, access=None):
        self.name, self.ports = name, ports
        self.access = access  # its access log, if it writes one
        self.log = (directory / f"{name}.out").open("w")
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            preexec_fn=pinned(core), cwd=directory,
        )

    def await_ports(self):
        """Returns when it accepts connections; an early end is an error with what it said."""
        deadline = time.monotonic() + 10
        for port in self.ports.values():
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        said = Path(self.log.name).read_text()[-500:]
                        raise RuntimeError(f"{self.name} does not listen: {said}") from None
                    time.sleep(0.02)

    def pids(self):
        """The process and its children."""
        root = self.process.pid
        found = [root]
        for task in Path(f"/proc/{root}/task").iterdir():
            found += [int(pid) for pid in (task / "children").read_text().split()]
        return found

    def memory(self):
        """Resident bytes of all its processes, and the same with shared pages divided (PSS)."""
        resident = divided = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    resident += int(line.split()[1]) * 1024
                elif line.startswith("Pss:"):
                    divided += int(line.split()[1]) * 1024
        return resident, divided

    def cpu(self):
        """CPU time so far in seconds: user, system, and their sum, which is finer-grained.

        user and system come in ticks of 10 ms; the scheduler counts the sum in nanoseconds.
        """
        user = system = 0
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
            for task in Path(f"/proc/{pid}/task").iterdir():
                try:
                    total += int((task / "schedstat").read_text().split()[0])
                except (OSError, IndexError):
                    return user / TICK, system / TICK, (user + system) / TICK
        return user / TICK, system / TICK, total / 1e9

    def stop(self):
        """SIGTERM, and SIGKILL where that is not enough."""
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def machine_times():
    """Busy seconds of all cores, and seconds of all cores."""
    ticks = [int(it) for it in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / TICK, sum(ticks) / TICK


class Noise:
    """How much of the machine's CPU time went to programs that are not ours."""

    def __init__(self, everyone):
        self.everyone = everyone
        self.began = self.now()

    def now(self):
        """Busy seconds of all cores, busy seconds of ours, seconds of all cores."""
        busy, all_time = machine_times()
        ours = sum(system.cpu()[2] for system in self.everyone)
        times = os.times()
        ours += times.user + times.system + times.children_user + times.children_system
        return busy, ours, all_time

    def share(self):
        busy, ours, all_time = (b - a for a, b in zip(self.began, self.now()))
        return max(busy - ours, 0) / all_time if all_time else 0.0


def user_line():
    # As root, nginx's workers would be `nobody`, who may not read the temporary directory.
    return "user root;" if os.geteuid() == 0 else ""


@dataclass
class Plan:
    """How a system is to be started."""

    directory: Path
    servers: list  # addresses of what is behind it
    core: int | None
    binary: Path
    log: bool = False
    trace: str = ""
    workers: int = 1
    sites: int = 0  # beside the default one
    upstream: str = "plain"


# What servers are listened for with, by how they are asked.
LISTENS = {"plain": "", "tls": " ssl http2", "h2": " ssl http2", "h2c": " http2"}


def origin(directory, core, small, binary, servers=3, upstream="plain", workers=1):
    """The servers, all in one program, and their addresses."""
    port = free_port()
    # Enough addresses for any number of servers, all on one port: 127.0.0.1, .2, … 127.0.1.0, …
    addresses = [f"127.0.{i // 250}.{i % 250 + 1}:{port}" for i in range(servers)]
    if upstream == "echo":
        arguments = [sys.executable, str(HERE / "websocket.py"), "serve", *addresses]
        return System("origin", arguments, {"plain": port}, directory, core), addresses
    how = LISTENS[upstream]
    listen = "\n        ".join(f"listen {address}{how} backlog=4096;" for address in addresses)
    config = directory / "origin.conf"
    filled = {"DIR": directory, "USER": user_line(), "LISTEN": listen, "SMALL": "x" * small,
              "OBJECT": "x" * OBJECT, "WORKERS": workers}
    config.write_text(fill("origin.nginx.conf", filled))
    arguments = [str(binary), "-p", str(directory), "-e", "stderr", "-c", str(config)]
    return System("origin", arguments, {"plain": port}, directory, core), addresses


def fields(plan):
    """What every proxy's config is filled with, and its ports."""
    ports = {"plain": free_port(), "tls": free_port()}
    return ports, {"DIR": plan.directory, "PORT": ports["plain"], "TLS_PORT": ports["tls"],
                   "SMALL": "x" * 120, "WORKERS": plan.workers}


def nginx(plan):
    ports, filled = fields(plan)
    filled["USER"] = user_line()
    filled["SERVERS"] = " ".join(f"server {server};" for server in plan.servers)
    filled["PASS"] = {"tls": "proxy_pass https", "h2c": "grpc_pass grpc"}.get(
        plan.upstream, "proxy_pass http")
    echoes = plan.upstream == "echo"
    filled["UPGRADE"] = 'proxy_set_header Upgrade $http_upgrade;' if echoes else ""
    filled["CONNECTION"] = "upgrade" if echoes else ""
    access = lines.AccessLog(plan.directory / "nginx.access") if plan.log else None
    filled["LOG"] = f"{access.path} json buffer=64k flush=1s" if access else "off"
    # HTTP/2 became a directive of its own, and its parameter a warning.
    new = programs.at_least(plan.binary, 1, 25, 1)
    filled["HTTP2_PARAMETER"], filled["HTTP2"] = ("", "http2 on;") if new else (" http2", "")
    config = plan.directory / "nginx.conf"
    config.write_text(fill("nginx.conf", filled))
    arguments = [str(plan.binary), "-p", str(plan.directory), "-e", "stderr", "-c", str(config)]
    return System("nginx", arguments, ports, plan.directory, plan.core, access)


def haproxy(plan):
    ports, filled = fields(plan)
    how = {"tls": " ssl verify none", "h2": " ssl verify none alpn h2", "h2c": " proto h2"}
    how = how.get(plan.upstream, "")
    lines = [f"server s{i} {server} pool-max-conn 192{how}" for i, server in enumerate(plan.servers)]
    filled["SERVERS"] = "\n    ".join(lines)
    # A connection takes two descriptors, and splicing half a one; HAProxy does not start with fewer
    # than it may need.
    filled["MAXCONN"] = min(8192, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500) * 2 // 5)
    config = plan.directory / "haproxy.cfg"
    config.write_text(fill("haproxy.cfg", filled))
    return System("haproxy", [str(plan.binary), "-db", "-f", str(config)], ports, plan.directory,
                  plan.core)


def sheave(plan):
    ports, filled = fields(plan)
    filled["SERVERS"] = ", ".join(f'{{ address = "{server}" }}' for server in plan.servers)
    filled["ADMIN_PORT"] = ports["admin"] = free_port()
    filled["HOW"] = {
        "tls": 'protocol = "http1"\ntls.insecure = true', "h2c": 'protocol = "http2"',
        "h2": 'protocol = "http2"\ntls.insecure = true',
    }.get(plan.upstream, "")
    access = lines.AccessLog(plan.directory / "sheave.access") if plan.log else None
    filled["LOG"] = f'\n[access_log]\npath = "{access.path}"\nformat = "json"\n' if access else ""
    if plan.trace:
        # The first of the servers is the collector, too.
        filled["LOG"] += (f'\n[otlp]\nendpoint = "http://{plan.servers[0]}"\nsample = "{plan.trace}"\n'
                          "metrics = false\n")
    config = plan.directory / "sheave.toml"
    config.write_text(fill("sheave.toml", filled) + sites.many(plan.sites))
    arguments = [str(plan.binary), "run", "--config", str(config)]
    return System("sheave", arguments, ports, plan.directory, plan.core, access)


def envoy(plan):
    ports, filled = fields(plan)
    hosts = [server.rsplit(":", 1) for server in plan.servers]
    filled["SERVERS"] = "".join(
        "\n        - endpoint: {address: {socket_address: "
        f"{{address: {host}, port_value: {port}}}}}}}" for host, port in hosts)
    h2 = plan.upstream in ("h2", "h2c")
    filled["PROTOCOL"] = "http2_protocol_options: {}" if h2 else "http_protocol_options: {}"
    filled["TLS"] = fill("envoy-tls.yaml", {"ALPN": "h2" if h2 else "http/1.1"}) if (
        plan.upstream in ("tls", "h2")) else ""
    host, port = plan.servers[0].rsplit(":", 1)
    collector = {"SHARE": plan.trace.rstrip("%"), "HOST": host, "COLLECTOR_PORT": port}
    filled["TRACING"] = fill("envoy-tracing.yaml", collector) if plan.trace else ""
    filled["COLLECTOR"] = fill("envoy-collector.yaml", collector) if plan.trace else ""
    config = plan.directory / "envoy.yaml"
    config.write_text(fill("envoy.yaml", filled))
    arguments = [str(plan.binary), "-c", str(config), "--concurrency", str(plan.workers),
                 "--disable-hot-restart", "-l", "error"]
    return System("envoy", arguments, ports, plan.directory, plan.core)


def varnish(plan):
    # It has no TLS.
    ports = {"plain": free_port()}
    host, port = plan.servers[0].rsplit(":", 1)
    config = plan.directory / "varnish.vcl"
    config.write_text(fill("varnish.vcl", {"HOST": host, "SERVER_PORT": port}))
    arguments = [str(plan.binary), "-F", "-j", "none", "-n", str(plan.directory / "varnish"), "-T", "none",
                 "-a", f"127.0.0.1:{ports['plain']}", "-f", str(config), "-s", "malloc,4g",
                 "-t", "86400", "-p", "thread_pools=1"]
    return System("varnish", arguments, ports, plan.directory, plan.core)


STARTS = {"sheave": sheave, "nginx": nginx, "haproxy": haproxy, "envoy": envoy, "varnish": varnish}
