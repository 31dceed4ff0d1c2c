"""Headless Chromium by its DevTools protocol: opens a page, asks it, and notes its complaints."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import pathlib
import signal
import tempfile
import urllib.request

import websockets
from browser_checks import QUIET


class Page:
    """A page in a browser of its own."""

    def __init__(self, socket):
        self.socket = socket
        self.numbers = itertools.count(1)
        self.waiting = {}
        # Errors of scripts, of the console, of the policy.
        self.complaints = []

    async def read(self):
        async for message in self.socket:
            told = json.loads(message)
            if "id" in told:
                answer = self.waiting.pop(told["id"], None)
                if answer and not answer.done():
                    answer.set_result(told)
            else:
                self.note(told["method"], told["params"])

    def note(self, method, told):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(told["args"])[:500])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            entry = told["entry"]
            self.complaints.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}"[:500])
        elif method == "Audits.issueAdded" and told["issue"]["code"] == "ContentSecurityPolicyIssue":
            self.complaints.append(json.dumps(told["issue"])[:500])

    async def call(self, method, **parameters):
        number = next(self.numbers)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        told = await asyncio.wait_for(self.waiting[number], 60)
        assert "error" not in told, (method, told)
        return told["result"]

    async def value(self, script):
        """What a script gives, a promise too."""
        told = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, (script[:200], told["exceptionDetails"])
        return told["result"].get("value")

    async def until(self, script, what, limit=20):
        """Waits until what a script gives is true."""
        ends = asyncio.get_running_loop().time() + limit
        while True:
            if await self.value(f"!!({script})"):
                return
            assert asyncio.get_running_loop().time() < ends, f"not within {limit} s: {what}"
            await asyncio.sleep(0.05)

    async def open(self, url):
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'", "the page is there")

    async def look(self, theme="light", width=1280, height=900):
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                        mobile=width < 500)

    async def press(self, key):
        codes = {"Enter": (13, "\r"), "Escape": (27, "")}
        code, text = codes.get(key, (ord(key[0].upper()), key))
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if kind == "keyDown" and text else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    async def click(self, script):
        """A real click on the middle of the element that the script gives."""
        await self.value(f"({script}).scrollIntoView({{block: 'center'}})")
        at = await self.value(
            f"(() => {{ const it = ({script}).getBoundingClientRect();"
            " return [it.x + it.width / 2, it.y + it.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    async def heap(self):
        """Bytes that scripts use, after two collections."""
        for _ in range(2):
            await self.call("HeapProfiler.collectGarbage")
        return (await self.call("Runtime.getHeapUsage"))["usedSize"]

    async def worked(self):
        """Seconds of the processor's time that the page's main thread has used."""
        told = await self.call("Performance.getMetrics")
        return next(it["value"] for it in told["metrics"] if it["name"] == "TaskDuration")

    async def picture(self, file):
        told = await self.call("Page.captureScreenshot", format="png")
        pathlib.Path(file).write_bytes(base64.b64decode(told["data"]))


@contextlib.asynccontextmanager
async def browser():
    """A page of a browser that is ended afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            "chromium", *QUIET, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank",
            stdout=quiet, stderr=quiet, start_new_session=True,
        )
        try:
            place = pathlib.Path(profile) / "DevToolsActivePort"
            for _ in range(400):
                # It is written in two steps.
                if place.exists() and len(place.read_text().split()) == 2:
                    break
                await asyncio.sleep(0.1)
            port = place.read_text().split()[0]
            listed = await asyncio.to_thread(
                lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=20).read())
            target = next(it for it in json.loads(listed) if it["type"] == "page")
            async with websockets.connect(target["webSocketDebuggerUrl"], max_size=None) as socket:
                page = Page(socket)
                reading = asyncio.create_task(page.read())
                try:
                    for domain in ("Page", "Runtime", "Log", "Audits", "HeapProfiler"):
                        await page.call(f"{domain}.enable")
                    yield page
                finally:
                    reading.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
