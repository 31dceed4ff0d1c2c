"""The systems under test and the servers behind them: started, found out about, stopped."""

import os
import socket
import subprocess
import time
from pathlib import Path

CONF = Path(__file__).parent / "conf"
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def pinned(core):
    """For a new process: on this core alone. `None` pins nothing."""
    return None if core is None else (lambda: os.sched_setaffinity(0, {core}))


def fill(template, values):
    """A config from `conf/`, every @NAME@ replaced."""
    text = (CONF / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


class System:
    """One running program, with its children."""

    def __init__(self, name, arguments, ports, directory, core):
        self.name, self.ports = name, ports
        self.log = (directory / f"{name}.out").open("w")
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


class Noise:
    """How much of the machine's CPU time went to programs that are not ours."""

    def __init__(self, everyone):
        self.everyone = everyone
        self.began = self.now()

    def now(self):
        """Busy seconds of all cores, busy seconds of ours, seconds of all cores."""
        ticks = [int(it) for it in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        idle = ticks[3] + ticks[4]
        ours = sum(system.cpu()[2] for system in self.everyone)
        times = os.times()
        ours += times.user + times.system + times.children_user + times.children_system
        return (sum(ticks) - idle) / TICK, ours, sum(ticks) / TICK

    def share(self):
        busy, ours, all_time = (b - a for a, b in zip(self.began, self.now()))
        return max(busy - ours, 0) / all_time if all_time else 0.0


def user_line():
    # As root, nginx's workers would be `nobody`, who may not read the temporary directory.
    return "user root;" if os.geteuid() == 0 else ""


def origin(directory, core, small):
    """Three servers in one process."""
    ports = {f"server{i}": free_port() for i in range(3)}
    config = directory / "origin.conf"
    listen = " ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports.values())
    names = {"DIR": directory, "USER": user_line(), "LISTEN": listen, "SMALL": "x" * small}
    config.write_text(fill("origin.nginx.conf", names))
    arguments = ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(config)]
    return System("origin", arguments, ports, directory, core)


def names(directory, servers):
    """What every proxy's config is filled with, and its ports."""
    ports = {"plain": free_port(), "tls": free_port()}
    filled = {"DIR": directory, "PORT": ports["plain"], "TLS_PORT": ports["tls"]}
    return ports, filled, [f"127.0.0.1:{port}" for port in servers.values()]


def nginx(directory, servers, log, core, _binary):
    ports, filled, servers = names(directory, servers)
    filled["USER"] = user_line()
    filled["SERVERS"] = " ".join(f"server {server};" for server in servers)
    filled["LOG"] = f"{directory}/nginx.access json buffer=64k flush=1s" if log else "off"
    config = directory / "nginx.conf"
    config.write_text(fill("nginx.conf", filled))
    arguments = ["nginx", "-p", str(directory), "-e", "stderr", "-c", str(config)]
    return System("nginx", arguments, ports, directory, core)


def haproxy(directory, servers, _log, core, _binary):
    ports, filled, servers = names(directory, servers)
    lines = [f"server s{i} {server} pool-max-conn 192" for i, server in enumerate(servers)]
    filled["SERVERS"] = "\n    ".join(lines)
    config = directory / "haproxy.cfg"
    config.write_text(fill("haproxy.cfg", filled))
    return System("haproxy", ["haproxy", "-db", "-f", str(config)], ports, directory, core)


def sheave(directory, servers, log, core, binary):
    ports, filled, servers = names(directory, servers)
    filled["SERVERS"] = ", ".join(f'{{ address = "{server}" }}' for server in servers)
    filled["ADMIN_PORT"] = free_port()
    access = f'\n[access_log]\npath = "{directory}/sheave.access"\nformat = "json"\n'
    filled["LOG"] = access if log else ""
    config = directory / "sheave.toml"
    config.write_text(fill("sheave.toml", filled))
    arguments = [str(binary), "run", "--config", str(config)]
    return System("sheave", arguments, ports, directory, core)


STARTS = {"sheave": sheave, "nginx": nginx, "haproxy": haproxy}
