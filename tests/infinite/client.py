"""A client on the Python library `websockets`: says each line of its input, prints each message that it is sent,
and at last the status that its connection was closed with."""

import asyncio
import sys

import websockets


async def main(url):
    async with websockets.connect(url) as socket:
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader(limit=1 << 20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

        async def speak():
            while line := await lines.readline():
                await socket.send(line.decode().rstrip("\n"))
            await socket.close()

        speaking = asyncio.create_task(speak())
        async for message in socket:
            print(message, flush=True)
        print("closed", socket.close_code, socket.close_reason, flush=True)
        speaking.cancel()


asyncio.run(main(sys.argv[1]))
