"""Reloads while clients of every kind are at work: nobody notices."""

import asyncio
import dataclasses
import pathlib

import grpc_checks as rpc
import websocket_checks as ws
from http_checks import curl
from run_it import run


async def under_way(place):
    over = asyncio.Event()
    counts = {}

    async def until_over(name, work):
        while not over.is_set():
            await work()
            counts[name] = counts.get(name, 0) + 1

    async def calls():
        with rpc.channel(dataclasses.replace(place, prefix="")) as one:
            call, both = one.unary_unary(rpc.SERVICE + "Unary"), one.stream_stream(rpc.SERVICE + "Both")

            def ask():
                assert call(b"hello", timeout=10) == b"hello"
                assert len(list(both(iter([b"x"] * 10), timeout=10))) == 10

            await until_over("calls", lambda: asyncio.to_thread(ask))

    async def socket():
        async with ws.dial(place, subprotocols=["chat"]) as one:

            async def echo():
                await one.send("are you there")
                assert await one.recv() == "are you there"
                await asyncio.sleep(0.005)

            await until_over("messages", echo)

    async def over_http2():
        one = await ws.http2_dial(place)
        assert (await one.open(place, "/ws"))[":status"] == "200"

        async def echo():
            await one.send(ws.wsproto.events.TextMessage(data="are you there"))
            assert await one.message() == "are you there"
            await asyncio.sleep(0.005)

        await until_over("messages over HTTP/2", echo)
        one.writer.close()

    async def requests():
        await until_over("requests", lambda: curl(place, "/hello", "--fail", version="2"))

    async def reload():
        config = pathlib.Path(place.ca).parent / "sheave.toml"
        text = config.read_text()
        for number in range(12):
            added = f'[[site.route]]\npath = "/reload{number}"\nrespond.body = "{number}"\n'
            new = config.with_name("new.toml")
            new.write_text(text + added)
            new.rename(config)
            url = f"http://127.0.0.1:{place.others['admin']}/reload"
            out, _ = await run("curl", "-sS", "-X", "POST", url)
            assert b"reloaded" in out, out
            await asyncio.sleep(0.2)
        config.write_text(text)
        over.set()

    await asyncio.gather(calls(), socket(), over_http2(), requests(), reload())
    assert len(counts) == 4 and min(counts.values()) > 20, counts
