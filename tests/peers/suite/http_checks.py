"""curl, h2load and Node's HTTP/2 client."""

import asyncio
import hashlib
import os
import pathlib
import re
import time

from run_it import run

HERE = pathlib.Path(__file__).resolve().parent
VERSIONS = {"1.1": "--http1.1", "2": "--http2", "2-prior": "--http2-prior-knowledge"}


async def curl(place, path, *options, version="1.1", data=None):
    ca = ["--cacert", place.ca] if place.ca else []
    return await run(
        "curl", "-sS", "--ipv4", "--max-time", "25", VERSIONS[version], *ca, *options,
        place.url(path), data=data,
    )


def curl_hello(version):
    async def check(place):
        used = "%{http_version} %{response_code}"
        out, _ = await curl(place, "/hello", "-w", used, version=version)
        assert out == f"hello\n{version[:3].split('-')[0]} 200".encode(), out

    return check


def asked_by(version):
    """What the server says that it was asked by."""

    async def check(place):
        used = "%{response_code} %header{x-version}"
        out, _ = await curl(place, "/hello", "-o", "/dev/null", "-w", used, version="1.1")
        assert out.decode() == f"200 {version}", out

    return check


def curl_upload(version, chunked):
    async def check(place):
        body = os.urandom(5_000_000)
        way = ["-T", "-", "-X", "POST"] if chunked else ["--data-binary", "@-"]
        out, _ = await curl(place, "/upload", *way, version=version, data=body)
        assert out.decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}\n", out

    return check


def curl_trailers(version):
    async def check(place):
        body = b"x" * 200_000
        out, head = await curl(
            place, "/echo", "--data-binary", "@-", "-D", "/dev/stderr", "-H", "TE: trailers",
            version=version, data=body,
        )
        assert out == body
        assert f"x-sum: {hashlib.sha256(body).hexdigest()}" in head.lower(), head

    return check


async def curl_expect(place):
    """The body goes out only after the server's 100, which comes before curl's own patience ends."""
    body = b"y" * 2_000_000
    begun = time.monotonic()
    options = ["-v", "--expect100-timeout", "20", "-H", "Expect: 100-continue"]
    out, said = await curl(place, "/upload", *options, "--data-binary", "@-", data=body)
    assert out.startswith(b"2000000 "), out
    assert "< HTTP/1.1 100" in said and time.monotonic() - begun < 15, said


async def curl_expect_refused(place):
    """Only by way of sheave: the body is too large for the route, and is not sent."""
    options = ["-v", "--expect100-timeout", "20", "-H", "Expect: 100-continue"]
    options += ["-w", "%{response_code} %{size_upload}", "-o", "/dev/null"]
    out, said = await curl(place, "/upload", *options, "--data-binary", "@-", data=bytes(11 << 20))
    assert "< HTTP/1.1 100" not in said and out == b"413 0", said


def curl_hints(version):
    async def check(place):
        out, said = await curl(place, "/hints", "-v", version=version)
        assert out == b"hinted\n", out
        assert re.search(r"< HTTP/[12.]+ 103", said) and "style.css" in said, said

    return check


def curl_events(version):
    """Each event is there before the next one is asked for; a client that goes is noticed."""

    async def check(place):
        name = f"curl{os.getpid()}{time.monotonic_ns()}"
        ca = ["--cacert", place.ca] if place.ca else []
        process = await asyncio.create_subprocess_exec(
            "curl", "-sSN", "--ipv4", VERSIONS[version], *ca, place.url(f"/events?id={name}"),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            for number in range(1, 6):
                if number > 1:
                    await curl(place, f"/next?id={name}")
                while (line := await asyncio.wait_for(process.stdout.readline(), 10)) != b"\n":
                    assert line, "the stream ended"
                    if line.startswith(b"data"):
                        assert line == f"data: event {number}\n".encode(), line
        finally:
            process.kill()
            await process.wait()
        for _ in range(100):
            if (await curl(place, f"/closed?id={name}"))[0] == b"true\n":
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the server was not told that the client had gone")

    return check


def curl_large(version):
    async def check(place):
        out, _ = await curl(place, "/large", version=version)
        assert len(out) == 64 * 256 * 1024 and out[-1] == 63 and out[0] == 0

    return check


def h2load(*options):
    async def check(place):
        out, _ = await run("h2load", "-n", 3000, "-c", 10, *options, place.url("/hello"))
        text = out.decode()
        assert "3000 succeeded, 0 failed, 0 errored" in text, text
        assert "3000 2xx" in text, text

    return check


def node_http2(what):
    async def check(place):
        await run("node", HERE / "http2_client.mjs", place.url(), place.ca, what)

    return check
