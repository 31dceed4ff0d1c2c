"""Headless Chromium: a page that opens a WebSocket and an EventSource."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import tempfile

from http_checks import curl
from run_it import run

QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
]


async def key_hash(certificate):
    """Of the public key, so that Chromium takes this certificate and no other."""
    key, _ = await run("openssl", "x509", "-in", certificate, "-noout", "-pubkey")
    der, _ = await run("openssl", "pkey", "-pubin", "-outform", "DER", data=key)
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def page(certificate, only=""):
    async def check(place):
        await curl(place, "/report", "--data-binary", "")
        # Its children may still write there when it has ended.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            trusted = await key_hash(certificate)
            process = await asyncio.create_subprocess_exec(
                "chromium", *QUIET, f"--user-data-dir={profile}",
                f"--ignore-certificate-errors-spki-list={trusted}",
                "--remote-debugging-port=0", place.url(f"/page.html?only={only}"),
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                for _ in range(400):
                    report, _ = await curl(place, "/report")
                    if report:
                        break
                    await asyncio.sleep(0.1)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        assert report, "the page has not reported"
        found = json.loads(report)
        assert found["protocols"] == ["h2"], found
        if only != "events":
            assert found["socket"] == {
                "got": ["text", 100000], "code": 4001, "reason": "as asked", "protocol": "chat",
            }, found
        if only != "socket":
            assert found["events"] == ["event 1", "event 2", "event 3"], found

    return check
