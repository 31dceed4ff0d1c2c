"""A small server: python3 plain.py PORT. Answers at every address of this machine, after 1 to 8 ms."""

import asyncio
import random
import sys


async def serve(reader, writer):
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(random.uniform(0.001, 0.008))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


asyncio.run(main())
