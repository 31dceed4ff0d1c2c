"""An application for hypercorn: HTTP/1.1, HTTP/2, and WebSockets over both (RFC 8441)."""

import hashlib


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        return await websocket(scope, receive, send)
    size, digest = 0, hashlib.sha256()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        size += len(message.get("body", b""))
        digest.update(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = b"hello\n" if scope["path"] == "/hello" else f"{size} {digest.hexdigest()}\n".encode()
    version = scope["http_version"].encode()
    fields = [(b"content-type", b"text/plain"), (b"x-version", version)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def websocket(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    if scope["path"] != "/ws":
        return await send({"type": "websocket.close", "code": 1000})
    chosen = "chat" if "chat" in scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None and text.startswith("close "):
            return await send(
                {"type": "websocket.close", "code": int(text[6:]), "reason": "as asked"}
            )
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
