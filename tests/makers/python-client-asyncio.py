"""The same as python-client.py, on the asyncio client of the same library."""

import asyncio
import json
import sys

import socketio

URL, TRANSPORTS = sys.argv[1], sys.argv[2].split(",")


def tell(event, value=None):
    print(json.dumps({"event": event, "value": value}), flush=True)


async def main():
    client = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0)

    async def connected():
        tell("connect", client.transport())

    async def disconnected(*_):
        tell("disconnect")

    async def received(message):
        tell("message", message["text"])

    client.on("connect", connected)
    client.on("disconnect", disconnected)
    client.on("message", received)
    await client.connect(URL, transports=TRANSPORTS)

    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        text = line.decode().rstrip("\n")
        await client.emit("message", text, callback=lambda *ids: tell("ack", ids))


asyncio.run(main())
