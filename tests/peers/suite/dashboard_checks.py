"""The dashboard in Chromium, at a daemon of its own under load."""

import asyncio
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

from chromium import browser
from scene import HERE, free_port

VIEWS = ("overview", "servers", "routes", "errors", "caches", "certificates", "reloads", "process")
LOOKS = {"light": ("light", 1280, 900), "dark": ("dark", 1280, 900), "phone": ("dark", 360, 760)}

SITES = """
[cache.main]
memory = "16MiB"

[[site]]
name = "shop"
hosts = ["shop.test", "www.shop.test"]

[[site.route]]
name = "old"
path = "/old/*"
redirect = {{ to = "/" }}

[[site.route]]
name = "api"
path = "/api/*"
methods = ["GET", "POST"]
upstream = "api"

[[site.route]]
name = "pages"
upstream = "app"
cache = "main"

[[site]]
name = "others"

[[site.route]]
name = "health"
path = "/health"
respond.body = "ok"

[[site.route]]
name = "all"
upstream = "app"
"""


class Stage:
    """A daemon, its servers, and clients that ask them all the time."""

    def __init__(self, scene):
        self.scene, self.directory = scene, scene.directory / "dashboard"
        self.directory.mkdir(exist_ok=True)
        for name in ("site.pem", "site.key"):
            shutil.copy(scene.directory / name, self.directory)
        self.processes = []
        self.http, self.https, self.admin = (free_port() for _ in range(3))
        self.url = f"http://127.0.0.1:{self.admin}/"

    def spawn(self, *command):
        log = open(self.directory / f"{len(self.processes)}.log", "wb")
        process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process

    def server(self):
        port = free_port()
        process = self.spawn(sys.executable, str(HERE / "servers/plain.py"), str(port))
        self.scene.processes["plain"] = process
        self.scene.wait("plain", port)
        return process, port

    def daemon(self, upstreams, admin=""):
        """`upstreams`: each with the addresses of its servers."""
        text = (
            f'workers = 2\n[listener.http]\naddress = "127.0.0.1:{self.http}"\n'
            f'[listener.https]\naddress = "127.0.0.1:{self.https}"\n'
            'tls.certificates = [{ cert = "site.pem", key = "site.key" }]\n'
            f'[admin]\naddress = "127.0.0.1:{self.admin}"\n{admin}'
        )
        for name, addresses in upstreams.items():
            servers = ", ".join(f'{{ address = "{it}", max_fails = 1 }}' for it in addresses)
            text += f"[upstream.{name}]\nservers = [{servers}]\n"
        (self.directory / "sheave.toml").write_text(text + SITES.format())
        process = self.spawn(self.scene.binary, "--config", "sheave.toml")
        self.scene.processes["dashboard"] = process
        (self.scene.directory / "dashboard.log").write_text("see dashboard/*.log")
        self.scene.wait("dashboard", self.http)

    def load(self, rate, path="/"):
        """So many requests a second, for as long as a check may take."""
        self.spawn(sys.executable, str(HERE / "servers/clients.py"), str(self.http), "shop.test", path, "8",
                   str(rate), "240")

    async def get(self, path):
        out = await asyncio.to_thread(subprocess.run, ["curl", "-sf", self.url + path], capture_output=True, check=True)
        return json.loads(out.stdout)

    async def requests_of(self, address):
        told = await self.get("upstreams")
        return next(it["requests"] for group in told["upstreams"] for it in group["servers"] if it["address"] == address)

    def end(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        for process in self.processes:
            process.wait()


@contextlib.asynccontextmanager
async def stage(scene):
    it = Stage(scene)
    try:
        yield it
    finally:
        it.end()


@contextlib.asynccontextmanager
async def small(scene, admin=""):
    """Three servers, as many requests as people make."""
    async with stage(scene) as it:
        it.servers = [await asyncio.to_thread(it.server) for _ in range(3)]
        addresses = [f"127.0.0.1:{port}" for _, port in it.servers]
        await asyncio.to_thread(it.daemon, {"app": addresses, "api": addresses[:2]}, admin)
        it.load(80)
        it.load(20, "/api/x")
        yield it


def row(address):
    """The row of a server in the table."""
    return f"[...document.querySelectorAll('tbody tr')].find((it) => it.textContent.includes('{address}'))"


def killed(scene):
    async def check(_):
        async with small(scene) as it, browser() as page:
            for index, (view, told) in enumerate((
                ("servers", "/▲ ejected/.test({row}?.textContent)"),
                ("overview", "document.querySelector('.problems').textContent.includes('{address} is ejected')"),
            )):
                process, port = it.servers[index]
                address = f"127.0.0.1:{port}"
                told = told.format(row=row(address), address=address)
                await page.value(f"location.href === 'about:blank' || (location.hash = '#{view}')")
                if index == 0:
                    await page.open(f"{it.url}#{view}")
                await page.until(f"document.querySelector('main').textContent.includes('{address}') || location.hash === '#overview'", "servers are shown")
                await asyncio.sleep(2)
                assert not await page.value(told), "it is not dead yet"
                process.send_signal(signal.SIGKILL)
                died = time.monotonic()
                await page.until(told, f"{view} tells of the dead server")
                took = time.monotonic() - died
                print(f"         {view} told it after {took:.2f} s")
                assert took < 2, took
            expect_none(page)

    return check


def expect_none(page):
    assert not page.complaints, page.complaints


def button(text):
    return f"[...document.querySelectorAll('dialog[open] button')].find((it) => it.textContent === '{text}')"


def drained(scene):
    async def check(_):
        async with small(scene) as it, browser() as page:
            address = f"127.0.0.1:{it.servers[2][1]}"
            await page.open(f"{it.url}#servers")
            await page.until(f"{row(address)}?.querySelector('td button')", "a button")
            await page.click(f"{row(address)}.querySelector('td button')")
            await page.until(button("Drain"), "it asks first")
            told = await page.value("document.querySelector('dialog').textContent")
            assert address in told and "other 2 servers of app" in told, told
            await page.click(button("Drain"))
            await page.until(f"/drain(ed|ing)/.test({row(address)}?.textContent)", "the row tells it")
            await asyncio.sleep(1)
            before, all_before = await it.requests_of(address), await it.requests_of(f"127.0.0.1:{it.servers[1][1]}")
            await asyncio.sleep(2)
            after, all_after = await it.requests_of(address), await it.requests_of(f"127.0.0.1:{it.servers[1][1]}")
            assert after == before and all_after > all_before + 20, (before, after, all_before, all_after)
            await page.click(f"{row(address)}.querySelector('td button')")
            await page.until(f"{row(address)}?.textContent.includes('● up')", "it is back")
            await asyncio.sleep(1.5)
            assert await it.requests_of(address) > after, "it gets requests again"
            # The keyboard does the same.
            await page.value(f"{row(address)}.querySelector('td button').focus()")
            await page.press("Enter")
            await page.until(button("Cancel"), "it asks first")
            await page.press("Escape")
            await page.until("!document.querySelector('dialog').open", "Esc closes it")
            focused = await page.value(f"document.activeElement === {row(address)}.querySelector('td button')")
            assert focused, "the focus is where it was"
            expect_none(page)

    return check


def accessible(scene):
    async def check(_):
        axe = (pathlib.Path(os.environ["PEERS"]) / "node_modules/axe-core/axe.min.js").read_text()
        async with small(scene) as it, browser() as page:
            await fill(it)
            found = []
            for look, (theme, width, height) in LOOKS.items():
                await page.look(theme, width, height)
                await page.open(it.url)
                await page.value(axe + "; true")
                for view in VIEWS:
                    await page.value(f"location.hash = '#{view}'")
                    await page.until("document.querySelector('main').childElementCount", view)
                    await asyncio.sleep(1.2)
                    found += [(look, view, *it) for it in await violations(page)]
                    wide = await page.value("document.documentElement.scrollWidth > innerWidth")
                    assert not wide, f"{view} is wider than {width}"
                await page.press("?")
                await page.until("document.querySelector('dialog').open", "the keys")
                found += [(look, "keys", *it) for it in await violations(page)]
                await page.press("Escape")
                await page.value("location.hash = '#servers'")
                await page.until("document.querySelector('tbody .link')", "a server")
                await page.value("document.querySelector('tbody .link').click()")
                await asyncio.sleep(1.2)
                found += [(look, "a server", *it) for it in await violations(page)]
            assert not found, "\n".join(map(str, found))
            expect_none(page)

    return check


async def violations(page):
    told = await page.value("axe.run(document, {resultTypes: ['violations']}).then((it) => it.violations.map((v) => [v.id, v.help, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? ''))]))")
    return told


async def fill(it):
    """A server that has failed, errors, reloads: every view has something."""
    it.servers[0][0].kill()
    config = it.directory / "sheave.toml"
    text = config.read_text()
    config.write_text(text.replace("max_fails = 1", "max_fails = 1, weight = 2", 1))
    await asyncio.sleep(1)
    config.write_text(text + "upstreem = 1\n")
    await asyncio.sleep(1)
    config.write_text(text)
    await asyncio.sleep(1)


def thousand(scene):
    async def check(_):
        async with stage(scene) as it, browser() as page:
            _, port = await asyncio.to_thread(it.server)
            # Every address of 127.0.0.0/8 is this machine's.
            pools = {f"pool{n}": [f"127.1.{n}.{m}:{port}" for m in range(1, 91)] for n in range(9)}
            pools["app"] = [f"127.2.0.{m}:{port}" for m in range(1, 161)]
            pools["api"] = [f"127.2.1.{m}:{port}" for m in range(1, 31)]
            await asyncio.to_thread(it.daemon, pools)
            it.load(400)
            it.load(100, "/api/x")
            for view in ("overview", "servers"):
                await page.open(f"{it.url}#{view}")
                await page.until("/1,000|160 servers/.test(document.body.textContent)", "all of them")
                await asyncio.sleep(5)
                began = await page.heap()
                nodes = await page.value("document.getElementsByTagName('*').length")
                # The processor's time, as others may use the machine, too.
                await page.call("Performance.enable", timeDomain="threadTicks")
                worked = await page.worked()
                await page.value("performance.clearMeasures('sheave-event'); true")
                await asyncio.sleep(30)
                took = sorted(await page.value("performance.getEntriesByName('sheave-event').map((it) => it.duration)"))
                each = (await page.worked() - worked) * 1000 / len(took)
                await page.call("Performance.disable")
                grown = await page.heap() - began
                print(f"         {view}: an event takes {each:.1f} ms of the processor, and {statistics.median(took):.1f} ms until it "
                      f"is shown, at most {took[-1]:.1f} ms; {len(took)} events; {nodes} elements; heap {began / 1e6:.1f} MB, "
                      f"{grown / 1e6:+.2f} MB in 30 s")
                assert len(took) >= 20 and each < 50 and statistics.median(took) < 50, (each, took)
                assert grown < 1_000_000, grown
                assert nodes < 4000, nodes
            expect_none(page)

    return check


def reader(scene):
    async def check(_):
        admin = "".join(
            f'[[admin.access]]\nname = "{role}"\ntoken = "{role}-0123456789abcdef0123456789abcdef"\nrole = "{role}"\n'
            for role in ("read", "write")
        )
        async with small(scene, admin) as it, browser() as page:
            await page.open(f"{it.url}#servers")
            for role, buttons in (("read", False), ("write", True)):
                await page.until("document.querySelector('dialog[open] #token')", "it asks for a token")
                await page.value(f"document.getElementById('token').value = '{role}-0123456789abcdef0123456789abcdef'")
                await page.click(button("Use it"))
                await page.until("document.querySelectorAll('tbody tr').length >= 3", "servers are shown")
                await page.until(f"document.getElementById('role').textContent === '{'read and write' if buttons else 'read'}'", role)
                for view in ("servers", "caches", "reloads"):
                    await page.value(f"location.hash = '#{view}'")
                    await asyncio.sleep(1.5)
                    shown = await page.value(
                        "[...document.querySelectorAll('main button, main form')].filter((it) => it.offsetParent && /^(Drain|Purge|Reload)/.test(it.textContent)).length")
                    assert (shown > 0) == buttons, (role, view, shown)
                await page.value("sessionStorage.clear(); location.hash = '#servers'; location.reload()")
            # 401 is said in the console, too: that is the browser's own line.
            assert all("401" in it for it in page.complaints), page.complaints

    return check


def pictures(scene, place):
    """Screenshots for docs/."""

    async def check(_):
        place.mkdir(exist_ok=True)
        async with small(scene) as it, browser() as page:
            await fill(it)
            for name, view, (theme, width, height) in (
                ("overview-light", "overview", ("light", 1280, 900)),
                ("servers-dark", "servers", ("dark", 1280, 430)),
                ("phone-dark", "overview", ("dark", 360, 760)),
            ):
                await page.look(theme, width, height)
                await page.call("Emulation.setScrollbarsHidden", hidden=True)
                await page.open(f"{it.url}#{view}")
                # The charts are of a minute.
                await asyncio.sleep(62)
                file = place / f"dashboard-{name}.png"
                await page.picture(file)
                if shutil.which("pngquant"):
                    subprocess.run(["pngquant", "--force", "--strip", "--output", file, file], check=True)
                assert file.stat().st_size <= 200 * 1024, file

    return check
