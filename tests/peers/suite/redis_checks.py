"""Two instances with one cache in Redis: what one has the other finds, and a purge holds on both."""

import contextlib
import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.request

from scene import free_port

CONFIG = """
workers = 2
[listener.http]
address = "127.0.0.1:{http}"
[admin]
address = "127.0.0.1:{admin}"
[cache.main]
memory = "32MiB"
max_object = "1MiB"
redis = {redis}
[upstream.app]
servers = [{{ address = "127.0.0.1:{server}" }}]
[[site]]
[[site.route]]
upstream = "app"
cache = "main"
"""


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with how often it was asked, and counts."""

    protocol_version = "HTTP/1.1"
    # Head and body in one piece, or the second waits for an acknowledgement.
    wbufsize = 64 * 1024

    def do_GET(self):
        with self.server.lock:
            self.server.asked[self.path] = self.server.asked.get(self.path, 0) + 1
            body = f"{self.path} {self.server.asked[self.path]}".encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=600")
        self.send_header("Surrogate-Key", f"all {self.path.split('/')[1]}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Instance:
    def __init__(self, place, number):
        self.http, self.admin = free_port(), free_port()
        self.file = place.directory / f"{number}.toml"
        redis = place.redis
        self.file.write_text(
            CONFIG.format(http=self.http, admin=self.admin, server=place.server.server_port, redis=redis)
        )
        self.log = open(place.directory / f"{number}.log", "wb")
        self.process = subprocess.Popen(
            [place.binary, "--config", self.file], stdout=self.log, stderr=self.log
        )

    def get(self, path):
        """The body, and our member of Cache-Status."""
        # The host is part of the key.
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", headers={"Host": "site.test"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read().decode(), answer.headers["Cache-Status"]

    def purge(self, **what):
        data = json.dumps(what).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}/purge", data, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def tier(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/cache", timeout=10) as answer:
            return json.load(answer)["caches"][0]["tiers"][0]

    def wait_for(self, **what):
        """Until the tier says this: a number means at least so many."""

        def well():
            tier = self.tier()
            return all(
                tier[key] == wanted if isinstance(wanted, str) else tier[key] >= wanted
                for key, wanted in what.items()
            )

        wait_until(what, well)


def wait_until(what, well, limit=20):
    until = time.monotonic() + limit
    while True:
        with contextlib.suppress(OSError):
            if well():
                return
        assert time.monotonic() < until, f"not within {limit} s: {what}"
        time.sleep(0.01)


class Place:
    """One server, the servers of Redis, and instances; all end with it."""

    def __init__(self, scene, name):
        self.binary, self.directory = scene.binary, scene.directory / name
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        self.processes, self.instances = [], []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        self.server.asked, self.server.lock = {}, threading.Lock()
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def start_redis(self, port, *options, program="redis-server"):
        directory = self.directory / f"redis-{port}"
        directory.mkdir(exist_ok=True)
        log = open(directory / "log", "ab")
        process = subprocess.Popen(
            [program, *options, "--port", str(port), "--save", "", "--dir", str(directory)],
            stdout=log, stderr=log,
        )
        self.processes.append(process)
        wait_until("Redis answers", lambda: cli(port, "PING") == "PONG")
        return process

    def start_instances(self, redis):
        self.redis = redis
        self.instances = [Instance(self, number) for number in (1, 2)]
        for instance in self.instances:
            instance.wait_for(state="ready")
        return self.instances

    def start_all(self):
        """One Redis, with its port, and two instances."""
        port = free_port()
        redis = self.start_redis(port)
        return port, redis, *self.start_instances(f'"redis://127.0.0.1:{port}"')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        for process in [it.process for it in self.instances] + self.processes:
            process.terminate()
        for process in [it.process for it in self.instances] + self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cli(port, *command):
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *command], capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip()


def is_shared(one, other):
    """What one has fetched is a hit on the other, and a purge on one holds on both."""
    body, _ = one.get("/a/x")
    one.wait_for(write=1)
    again, told = other.get("/a/x")
    assert again == body and "detail=redis" in told, (again, body, told)
    assert other.get("/a/x")[1].startswith("sheave; hit"), "now in memory"
    other.purge(tag="a")
    begun = time.monotonic()
    wait_until("the purge on the other", lambda: one.get("/a/x")[0] != body, 2)
    took = time.monotonic() - begun
    assert other.get("/a/x")[0] != body
    return took


def one_server(scene):
    def work(_):
        with Place(scene, "redis-one") as place:
            port, _, one, other = place.start_all()
            took = is_shared(one, other)
            assert took < 0.1, f"a purge took {took * 1000:.0f} ms"
            for path, what in (
                ("/b/x", {"url": "http://site.test/b/x"}),
                ("/c/x", {"tag": "c", "soft": True}),
                ("/d/x", {"tag": "all"}),
            ):
                one.get(path)
                before, _ = other.get(path)
                one.purge(**what)
                wait_until(what, lambda: other.get(path)[0] != before, 2)

    return work


def lost_message(scene):
    def work(_):
        with Place(scene, "redis-lost") as place:
            port, _, one, other = place.start_all()
            for path in ("/a/memory", "/a/redis"):
                one.get(path)
            one.wait_for(write=2)
            other.get("/a/memory")
            # Nobody hears the purge that follows.
            killed = int(cli(port, "CLIENT", "KILL", "TYPE", "pubsub"))
            assert killed == 2, killed
            one.purge(tag="a")
            # What it has not in memory it reads from Redis, which knows.
            assert other.get("/a/redis")[0] == "/a/redis 2"
            wait_until("memory, too", lambda: other.get("/a/memory")[0] == "/a/memory 2", 5)

    return work


def killed_under_load(scene):
    def work(_):
        with Place(scene, "redis-killed") as place:
            port, redis, one, other = place.start_all()
            over, failed, answered = threading.Event(), [], [0]

            def load(instance, number):
                at = 0
                while not over.is_set():
                    at += 1
                    path = f"/l/{number}-{at % 50 if at % 3 else at}"
                    try:
                        body, _ = instance.get(path)
                        assert body.startswith(path + " "), body
                        answered[0] += 1
                    except Exception as error:
                        failed.append(f"{path}: {error!r}")

            threads = [
                threading.Thread(target=load, args=(instance, number))
                for number, instance in enumerate((one, other, one, other))
            ]
            for thread in threads:
                thread.start()
            try:
                for _ in range(3):
                    time.sleep(0.5)
                    redis.kill()
                    redis.wait()
                    one.wait_for(state="gone")
                    told = one.purge(tag="l")
                    assert told["redis_is_gone"] == ["main"], told
                    redis = place.start_redis(port)
                    for instance in (one, other):
                        instance.wait_for(state="ready")
            finally:
                over.set()
                for thread in threads:
                    thread.join()
            assert not failed, failed[:3]
            assert answered[0] > 500, answered
            # What was purged while Redis was gone is purged on the other, too.
            before, _ = other.get("/m/x")
            one.get("/m/x")
            redis.kill()
            redis.wait()
            one.wait_for(state="gone")
            one.purge(tag="m")
            place.start_redis(port)
            wait_until("the purge is told", lambda: other.get("/m/x")[0] != before, 10)

    return work


def cluster(scene):
    def work(_):
        with Place(scene, "redis-cluster") as place:
            ports = [free_port() for _ in range(3)]
            for port in ports:
                bus = free_port()
                place.start_redis(port, "--cluster-enabled", "yes", "--cluster-port", str(bus))
            nodes = [f"127.0.0.1:{port}" for port in ports]
            subprocess.run(
                ["redis-cli", "--cluster", "create", *nodes, "--cluster-yes"],
                check=True, capture_output=True, timeout=30,
            )
            wait_until(
                "the cluster", lambda: all("cluster_state:ok" in cli(it, "CLUSTER", "INFO") for it in ports)
            )
            urls = ", ".join(f'"redis://{node}"' for node in nodes)
            is_shared(*place.start_instances(f"{{ cluster = [{urls}] }}"))

    return work


def sentinel(scene):
    def work(_):
        with Place(scene, "redis-sentinel") as place:
            first, second, watcher = (free_port() for _ in range(3))
            place.start_redis(first)
            place.start_redis(second, "--replicaof", "127.0.0.1", str(first))
            file = place.directory / "sentinel.conf"
            file.write_text(
                f"port {watcher}\nsentinel monitor m 127.0.0.1 {first} 1\n"
                "sentinel down-after-milliseconds m 500\nsentinel failover-timeout m 2000\n"
            )
            log = open(place.directory / "sentinel.log", "wb")
            place.processes.append(
                subprocess.Popen(["redis-server", file, "--sentinel"], stdout=log, stderr=log)
            )
            wait_until("the sentinel", lambda: cli(watcher, "PING") == "PONG")
            wait_until("the replica is known", lambda: str(second) in cli(watcher, "SENTINEL", "REPLICAS", "m"))
            url = f'{{ sentinels = ["redis://127.0.0.1:{watcher}"], master = "m" }}'
            one, other = place.start_instances(url)
            is_shared(one, other)
            # The master dies, the replica takes its place.
            place.processes[0].kill()
            wait_until(
                "the other master",
                lambda: str(second) in cli(watcher, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"), 30,
            )
            for instance in (one, other):
                instance.wait_for(state="ready")
            body, _ = one.get("/n/x")
            wait_until("it is shared again", lambda: "redis" in other.get("/n/x")[1] or other.get("/n/x")[0] == body)

    return work
