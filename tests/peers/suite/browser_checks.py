"""Headless Chromium: a page that opens a WebSocket and an EventSource, and one with many assets."""

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


async def shown(place, certificate, path):
    """What a page reports that Chromium shows, in a profile of its own."""
    await curl(place, "/report", "--data-binary", "")
    # Its children may still write there when it has ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        trusted = await key_hash(certificate)
        process = await asyncio.create_subprocess_exec(
            "chromium", *QUIET, f"--user-data-dir={profile}",
            f"--ignore-certificate-errors-spki-list={trusted}",
            "--remote-debugging-port=0", place.url(path),
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
    return json.loads(report)


def page(certificate, only=""):
    async def check(place):
        found = await shown(place, certificate, f"/page.html?only={only}")
        assert found["protocols"] == ["h2"], found
        if only != "events":
            assert found["socket"] == {
                "got": ["text", 100000], "code": 4001, "reason": "as asked", "protocol": "chat",
            }, found
        if only != "socket":
            assert found["events"] == ["event 1", "event 2", "event 3"], found

    return check


def assets(certificate, access_log):
    """The second time, Chromium has 25 of them itself, and asks for the others with a condition.

    sheave's cache answers that: the server is asked for each asset once.
    """
    kinds = ("fresh", "checked")
    fresh, checked = ({f"{kind}-{i}.{('js', 'css', 'png')[i % 3]}" for i in range(25)} for kind in kinds)
    scripts = sum(name.endswith(".js") for name in fresh | checked)

    async def check(place):
        found = await shown(place, certificate, "/assets.html")
        for when, came in (("first", fresh | checked), ("second", checked)):
            told = found[when]
            assert told["loaded"] == 50 and told["ran"] == scripts, (when, told)
            assert set(told["came"]) == came, (when, told)
            assert told["protocols"] == ["h2"], (when, told)
        # All but the images. The second time, Chromium does not say it of what was in its memory.
        texts = sum(not name.endswith(".png") for name in fresh | checked)
        assert found["first"]["compressed"] == texts, found["first"]
        once, twice = [(200, "miss")], [(200, "miss"), (304, "hit")]
        wanted = {name: once for name in fresh} | {name: twice for name in checked}
        # Its lines are written some time after the answers.
        for _ in range(50):
            logged = asset_lines(access_log)
            if sum(map(len, logged.values())) >= 75:
                break
            await asyncio.sleep(0.1)
        assert logged == wanted, logged
        out, _ = await curl(place, "/seen")
        assert json.loads(out) == {f"/assets/{name}": 1 for name in wanted}, out

    return check


def asset_lines(access_log):
    """Status and what the cache did, of each request for an asset, by its name."""
    found = {}
    # The last line may not be whole yet.
    for line in access_log.read_text().split("\n")[:-1]:
        entry = json.loads(line)
        if "/assets/" in entry["uri"]:
            name = entry["uri"].rpartition("/")[2]
            found.setdefault(name, []).append((entry["status"], entry.get("cache")))
    return found
