"""Python's `websockets` as a server: `python ws.py PORT`."""

import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        if isinstance(message, str) and message.startswith("close "):
            await connection.close(int(message[6:]), "as asked")
        else:
            await connection.send(message)


def refuse(connection, request):
    if request.path != "/ws":
        return connection.respond(403, "no\n")


async def main():
    options = {"subprotocols": ["chat"], "max_size": 1 << 24, "process_request": refuse}
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), **options) as server:
        await server.serve_forever()


asyncio.run(main())
