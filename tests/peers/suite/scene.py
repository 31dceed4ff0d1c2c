"""What runs: certificates, servers of several kinds, and the daemon in front of them."""

import dataclasses
import os
import pathlib
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 20


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a client finds something: through sheave, or at the server itself."""

    port: int
    tls: bool = False
    prefix: str = ""
    ca: str = ""
    # Ports of other listeners, by name.
    others: dict = dataclasses.field(default_factory=dict, hash=False)

    def url(self, path="", scheme="http"):
        """`scheme` is http or ws; with TLS it gets its s."""
        return f"{scheme}{'s' if self.tls else ''}://localhost:{self.port}{self.prefix}{path}"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# What the config has for a server that speaks more than HTTP/1.1, or TLS.
HTTP2 = 'protocol = "http2"\n'
TLS = 'tls = { ca = "ca.pem", name = "localhost" }\n'

TELL = 'request_headers.set = { "X-Client" = "{tls.client.subject} {tls.version}" }\n'

# Tells who the client is, as HAProxy says it.
WHO = """
[[site.route]]
path = "/who"
respond.body = "{client_ip} {proxy_protocol.unique_id} {proxy_protocol.ssl_version}"
"""

# HAProxy in front of sheave: how it is asked, and how it announces its clients.
HAPROXY = {
    "v1": ("", "send-proxy"),
    "v2": ("", "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    "tls": ("ssl crt both.pem", "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,authority,crc32c"),
    "unix": ("", "send-proxy-v2"),
}

# What browsers and sheave may keep.
ASSETS = """
[[site.route]]
path = "/node/assets/*"
strip_prefix = "/node"
upstream = "node"
cache = "main"
compress = true
"""

# Servers whose paths are theirs, and not below a prefix.
GRPC = ("grpc", "young")

HEALTH = 'health_check = { grpc = "t.Echo", interval = "200ms" }\n'

SITE = """
[[site]]
hosts = ["localhost", "127.0.0.1"]
"""


class Scene:
    """Every server has a port and, through sheave, a prefix of its name."""

    def __init__(self, directory, binary, not_yet):
        self.directory, self.binary, self.not_yet = pathlib.Path(directory), binary, not_yet
        self.processes = {}
        self.ports = {}
        self.http, self.https, self.mtls, self.admin = (free_port() for _ in range(4))
        self.announced = free_port()
        self.haproxy = {name: free_port() for name in HAPROXY}
        self.make_certificates()

    def make_certificates(self):
        def openssl(*arguments):
            command = ["openssl", *arguments]
            subprocess.run(command, cwd=self.directory, check=True, capture_output=True)

        def issue(name, subject, kind, extensions):
            openssl("req", *kind, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
            (self.directory / "extensions").write_text(extensions)
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "30", "-extfile", "extensions",
                    "-out", f"{name}.pem")

        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
                "-subj", "/CN=peers")
        here = "subjectAltName=DNS:localhost,IP:127.0.0.1\n"
        issue("site", "/CN=site", curve, here)
        issue("server", "/CN=server", curve, here)
        issue("rsa", "/CN=site", ["-newkey", "rsa:2048", "-nodes"], here)
        # With an extension: without one, OpenSSL makes version 1.
        issue("ann", "/O=Peers, and others/CN=ann", curve, "basicConstraints=CA:FALSE\n")
        issue("old", "/CN=old", curve, "")
        issue("bob", "/CN=bob", curve, "basicConstraints=CA:FALSE\n")
        # What OpenSSL's own authority remembers: who is valid, and who is revoked.
        (self.directory / "index.txt").write_text("")
        (self.directory / "crlnumber").write_text("01\n")
        (self.directory / "ca.conf").write_text(
            "[ca]\ndefault_ca=peers\n[peers]\ndatabase=index.txt\ncrlnumber=crlnumber\n"
            "default_md=sha256\ndefault_crl_days=30\ncrl_extensions=extensions\n"
            "[extensions]\nauthorityKeyIdentifier=keyid\n"
        )
        authority = ["-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key"]
        openssl("ca", *authority, "-valid", "site.pem")
        openssl("ca", *authority, "-revoke", "bob.pem")
        openssl("ca", *authority, "-gencrl", "-out", "revoked.pem")
        openssl("ocsp", "-index", "index.txt", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem",
                "-issuer", "ca.pem", "-cert", "site.pem", "-ndays", "3", "-respout", "site.ocsp")
        keys = self.directory / "ticket.keys"
        keys.write_text(os.urandom(32).hex() + "\n")
        keys.chmod(0o600)

    def start(self, name, *command):
        """Starts a server whose command has PORT in it, and waits until it listens."""
        port = self.ports[name] = free_port()
        self.spawn(name, [str(port) if part == "PORT" else part for part in command])
        self.wait(name, port)

    def spawn(self, name, command):
        log = open(self.directory / f"{name}.log", "wb")
        self.processes[name] = subprocess.Popen(
            command, cwd=self.directory, stdout=log, stderr=subprocess.STDOUT
        )

    def wait(self, name, port):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                ended = self.processes[name].poll() is not None
                if ended or time.monotonic() > until:
                    print((self.directory / f"{name}.log").read_text(errors="replace"))
                    sys.exit(f"{name} does not listen")
                time.sleep(0.05)

    def start_servers(self):
        node = ["node", str(HERE / "servers/web.mjs")]
        pair = [str(self.directory / "server.pem"), str(self.directory / "server.key")]
        hypercorn = [sys.executable, "-m", "hypercorn", "--log-level", "warning", "--bind"]
        hypercorn_tls = ["--certfile", pair[0], "--keyfile", pair[1]]
        os.environ["PYTHONPATH"] = str(HERE / "servers")
        self.start("node", *node, "http1", "PORT")
        self.start("node-h2", *node, "http2", "PORT", *pair)
        self.start("node-h2c", *node, "h2c", "PORT")
        self.start("websockets", sys.executable, str(HERE / "servers/ws.py"), "PORT")
        self.start("grpc", sys.executable, str(HERE / "servers/rpc.py"), "PORT")
        self.start("young", sys.executable, str(HERE / "servers/rpc.py"), "PORT", "300")
        for name, options in (("hypercorn", []), ("hypercorn-tls", hypercorn_tls)):
            port = self.ports[name] = free_port()
            self.spawn(name, [*hypercorn, f"127.0.0.1:{port}", *options, "asgi:app"])
            self.wait(name, port)

    def start_daemon(self):
        (self.directory / "sheave.toml").write_text(self.config())
        self.spawn("sheave", [self.binary, "--config", "sheave.toml"])
        self.wait("sheave", self.http)
        self.wait("sheave", self.https)
        self.start_haproxy()

    def start_haproxy(self):
        """Its own checks of sheave are announced as local connections."""
        pair = [(self.directory / f"site.{end}").read_text() for end in ("pem", "key")]
        (self.directory / "both.pem").write_text("".join(pair))
        text = "defaults\n  mode tcp\n" + "".join(
            f"  timeout {what} 10s\n" for what in ("connect", "client", "server")
        )
        for name, (bind, send) in HAPROXY.items():
            server = f"127.0.0.1:{self.announced}"
            if name == "unix":
                server = f"unix@{self.directory}/sheave.sock"
            text += (
                f"listen {name}\n  bind 127.0.0.1:{self.haproxy[name]} {bind}\n"
                f"  unique-id-format ID-%pid\n  server sheave {server} {send} check inter 1s\n"
            )
        (self.directory / "haproxy.cfg").write_text(text)
        self.spawn("haproxy", ["haproxy", "-db", "-f", "haproxy.cfg"])
        self.wait("haproxy", self.haproxy["v1"])

    def config(self):
        upstreams = {
            "node": (set(), ""),
            "websockets": (set(), ""),
            "hypercorn": (set(), ""),
            "node-h2c": ({"http2_upstream"}, HTTP2),
            "grpc": ({"http2_upstream"}, HTTP2 + HEALTH),
            "young": ({"http2_upstream"}, HTTP2),
            "node-h2": ({"tls_upstream"}, TLS),
            "hypercorn-tls": ({"tls_upstream"}, TLS),
        }
        text = (
            f'workers = 2\n[listener.http]\naddress = "127.0.0.1:{self.http}"\n'
            f'[listener.https]\naddress = "127.0.0.1:{self.https}"\n'
            'tls.certificates = [{ cert = "rsa.pem", key = "rsa.key" },\n'
            '  { cert = "site.pem", key = "site.key", ocsp = "site.ocsp" }]\n'
            'tls.ticket_keys = "ticket.keys"\n'
            f'[listener.mtls]\naddress = "127.0.0.1:{self.mtls}"\n'
            'tls.certificates = [{ cert = "site.pem", key = "site.key" }]\n'
            'tls.client = { ca = "ca.pem", crl = "revoked.pem" }\ntls.ticket_keys = "ticket.keys"\n'
            f'[listener.announced]\naddress = "127.0.0.1:{self.announced}"\n'
            'proxy_protocol.from = ["127.0.0.1"]\n'
            '[listener.local]\naddress = "unix:sheave.sock"\nproxy_protocol.from = ["unix:"]\n'
            f'[admin]\naddress = "127.0.0.1:{self.admin}"\n[access_log]\npath = "access.log"\n'
            '[cache.main]\nmemory = "64MiB"\n'
        )
        routes = []
        for name, (needs, options) in upstreams.items():
            if needs & self.not_yet:
                continue
            server = f'servers = [{{ address = "127.0.0.1:{self.ports[name]}" }}]\n'
            text += f"[upstream.{name}]\n{options}{server}"
            paths = ["/t.Echo/*", "/grpc.health.v1.Health/*"] if name == "grpc" else [f"/{name}/*"]
            if name == "young":
                paths = ["/t.Young/*"]
            strip = "" if name in GRPC else f'strip_prefix = "/{name}"\n'
            for path in paths:
                routes.append(f'[[site.route]]\npath = "{path}"\n{strip}upstream = "{name}"\n{TELL}')
        dead = f'servers = [{{ address = "127.0.0.1:{free_port()}" }}]\n'
        text += f"[upstream.dead]\n{dead}"
        routes.append('[[site.route]]\npath = "/t.Dead/*"\nupstream = "dead"\n')
        return text + SITE + WHO + ASSETS + "".join(routes)

    def through(self, name, tls=True):
        """The server by way of sheave; `tls` may also be the listener `mtls`."""
        port = {False: self.http, "mtls": self.mtls}.get(tls, self.https)
        tls = bool(tls)
        prefix = "" if name in GRPC else f"/{name}"
        ca = str(self.directory / "ca.pem") if tls else ""
        return Place(port, tls, prefix, ca, {"mtls": self.mtls, "admin": self.admin, **self.haproxy})

    def itself(self, name):
        tls = name in ("node-h2", "hypercorn-tls")
        return Place(self.ports[name], tls, "", str(self.directory / "ca.pem") if tls else "")

    def stop(self):
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def tail(self, name):
        lines = (self.directory / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])
