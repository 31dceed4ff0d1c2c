"""WebSockets: Python's `websockets`, Node's `ws`, and `h2` with `wsproto` over HTTP/2."""

import asyncio
import pathlib
import ssl

import h2.config
import h2.connection
import h2.events
import h2.settings
import websockets
import wsproto.events
from run_it import run
from websockets.asyncio.client import connect
from wsproto.connection import Connection, ConnectionType

HERE = pathlib.Path(__file__).resolve().parent


def trusting(place, *protocols):
    if not place.tls:
        return None
    context = ssl.create_default_context(cafile=place.ca)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def dial(place, path="/ws", **options):
    if place.tls:
        options["ssl"] = trusting(place, "http/1.1")
    return connect(place.url(path, "ws"), open_timeout=10, max_size=1 << 24, proxy=None, **options)


async def python(place):
    async with dial(place, subprotocols=["chat"]) as one:
        assert one.subprotocol == "chat"
        for message in ("text", b"\0" * 1_000_000, "", "ü" * 100_000):
            await one.send(message)
            assert await one.recv() == message
        await one.send(["in ", "three ", "fragments"])
        assert await one.recv() == "in three fragments"
        for number in range(200):
            await one.send(str(number))
        for number in range(200):
            assert await one.recv() == str(number)
        await asyncio.wait_for(await one.ping(), 5)
        await one.send("close 4001")
        try:
            await one.recv()
            raise AssertionError("it was not closed")
        except websockets.ConnectionClosed as closed:
            assert closed.rcvd.code == 4001 and closed.rcvd.reason == "as asked", closed.rcvd


async def python_many(place):
    """Many at once, each with its own messages; the client closes."""

    async def one_of(number):
        async with dial(place, subprotocols=["chat"]) as one:
            for count in range(10):
                await one.send(f"{number} {count}")
                assert await one.recv() == f"{number} {count}"

    await asyncio.gather(*(one_of(number) for number in range(100)))


async def python_refused(place):
    try:
        async with dial(place, "/elsewhere"):
            raise AssertionError("it was let in")
    except websockets.InvalidStatus as refusal:
        assert refusal.response.status_code == 403, refusal


async def node(place):
    await run("node", HERE / "ws_client.mjs", place.url("/ws", "ws"), *filter(None, [place.ca]))


class OverHttp2:
    """A WebSocket on one stream of an HTTP/2 connection (RFC 8441)."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        settings = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.http2 = h2.connection.H2Connection(settings)
        self.http2.initiate_connection()
        self.http2.increment_flow_control_window(1 << 24)
        self.websocket = Connection(ConnectionType.CLIENT)
        self.events, self.stream, self.ended = [], None, False

    async def flush(self):
        self.writer.write(self.http2.data_to_send())
        await self.writer.drain()

    async def http2_event(self, wanted):
        """Goes on until such an event has come; DATA goes to the WebSocket."""
        while True:
            found = [it for it in self.events if isinstance(it, wanted)]
            if found:
                self.events.remove(found[0])
                return found[0]
            await self.read()

    async def read(self):
        data = await asyncio.wait_for(self.reader.read(65536), 10)
        assert data, "the connection was closed"
        for event in self.http2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                # The end of the stream may be an empty frame after the last message.
                if event.data:
                    self.websocket.receive_data(event.data)
                    self.events.extend(self.websocket.events())
            else:
                self.events.append(event)
            self.ended |= isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset))
        await self.flush()

    async def open(self, place, path):
        await self.flush()
        while not self.http2.remote_settings.enable_connect_protocol:
            await self.http2_event(h2.events.RemoteSettingsChanged)
        self.stream = self.http2.get_next_available_stream_id()
        fields = [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"),
            (":path", place.prefix + path), (":authority", f"localhost:{place.port}"),
            ("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat"),
        ]
        self.http2.send_headers(self.stream, fields)
        await self.flush()
        return dict((await self.http2_event(h2.events.ResponseReceived)).headers)

    async def send(self, event):
        data = self.websocket.send(event)
        while data:
            window = self.http2.local_flow_control_window(self.stream)
            size = min(window, self.http2.max_outbound_frame_size, len(data))
            if size == 0:
                await self.read()
                continue
            self.http2.send_data(self.stream, data[:size])
            data = data[size:]
            await self.flush()

    async def message(self):
        parts = []
        while True:
            part = await self.http2_event((wsproto.events.Message, wsproto.events.CloseConnection))
            if isinstance(part, wsproto.events.CloseConnection):
                return part
            parts.append(part.data)
            if part.message_finished:
                return parts[0].__class__().join(parts)


async def http2_dial(place):
    reader, writer = await asyncio.open_connection(
        "localhost", place.port, ssl=trusting(place, "h2"), server_hostname="localhost"
    )
    chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    assert chosen == "h2", chosen
    return OverHttp2(reader, writer)


async def over_http2(place):
    one = await http2_dial(place)
    head = await one.open(place, "/ws")
    assert head[":status"] == "200", head
    assert head.get("sec-websocket-protocol") == "chat", head
    assert "sec-websocket-accept" not in head and "upgrade" not in head, head
    for message in ("text", b"\1" * 300_000, "ü" * 1000):
        kind = wsproto.events.TextMessage
        if isinstance(message, bytes):
            kind, message = wsproto.events.BytesMessage, bytearray(message)
        await one.send(kind(data=message))
        answer = await one.message()
        assert answer == message, answer[:100]
    await one.send(wsproto.events.TextMessage(data="close 4001"))
    closed = await one.message()
    assert closed.code == 4001 and closed.reason == "as asked", closed
    await one.send(closed.response())
    while not one.ended:
        await one.read()
    one.writer.close()


async def over_http2_many(place):
    """Forty connections, each with its own messages."""

    async def one_of(number):
        each = await http2_dial(place)
        assert (await each.open(place, "/ws"))[":status"] == "200"
        for count in range(20):
            text = f"{number} {count} " + "x" * (count * 1000)
            await each.send(wsproto.events.TextMessage(data=text))
            assert await each.message() == text
        each.writer.close()

    await asyncio.gather(*(one_of(number) for number in range(40)))


async def over_http2_refused(place):
    """A refusal is an answer like any other; the connection goes on."""
    one = await http2_dial(place)
    head = await one.open(place, "/elsewhere")
    assert head[":status"] == "403", head
    head = await one.open(place, "/ws")
    assert head[":status"] == "200", head
    one.writer.close()
