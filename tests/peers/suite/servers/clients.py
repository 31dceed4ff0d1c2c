"""Clients that ask all the time: python3 clients.py PORT HOST PATH CONNECTIONS RATE SECONDS."""

import asyncio
import random
import sys
import time

port, host, path, connections, rate, seconds = sys.argv[1:]
ENDS = time.monotonic() + float(seconds)
PAUSE = int(connections) / float(rate)


async def client():
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    while time.monotonic() < ENDS:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            while time.monotonic() < ENDS:
                await asyncio.sleep(random.uniform(0, 2 * PAUSE))
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = head.partition("content-length:")[2].partition("\r\n")[0]
                await reader.readexactly(int(length))
        except (OSError, ValueError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)


async def main():
    await asyncio.gather(*(client() for _ in range(int(connections))))


asyncio.run(main())
