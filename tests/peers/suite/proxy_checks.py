"""HAProxy in front of sheave, which is told who the client is by the PROXY protocol."""

import re

from run_it import run

# HAProxy itself connects from 127.0.0.1.
CLIENT = "127.0.0.9"


def announced(way, told):
    async def check(place):
        url = f"http{'s' if way == 'tls' else ''}://localhost:{place.others[way]}/who"
        for version in ("--http1.1", "--http2-prior-knowledge"):
            options = ["--interface", CLIENT, "--cacert", place.ca]
            out, _ = await run("curl", "-sS", "--fail", version, *options, url)
            assert re.fullmatch(told, out.decode()), out

    return check
