"""A client on socketIO-client 0.5.7, which speaks Socket.IO 0.9: sends each line of its input as a `message` that asks for an
acknowledgement, and prints what happens to it, a JSON object in each line."""

import json
import queue
import sys
import threading
from urllib.parse import urlparse

from socketIO_client import BaseNamespace, SocketIO

URL, TRANSPORTS = urlparse(sys.argv[1]), sys.argv[2].split(",")
# How long the library may wait for packets before what was typed is sent.
PAUSE_SECONDS = 1


def tell(event, value=None):
    print(json.dumps({"event": event, "value": value}), flush=True)


class Chat(BaseNamespace):
    def on_connect(self):
        tell("connect", client._transport_name)

    on_reconnect = on_connect

    def on_disconnect(self):
        tell("disconnect")


typed = queue.Queue()


def read():
    for line in sys.stdin:
        typed.put(line.rstrip("\n"))
    typed.put(None)


client = SocketIO(URL.hostname, URL.port, transports=TRANSPORTS)
client.define(Chat)
client.on("message", lambda message: tell("message", message["text"]))
threading.Thread(target=read, daemon=True).start()
while True:
    client.wait(PAUSE_SECONDS)
    while not typed.empty():
        text = typed.get()
        if text is None:
            sys.exit()
        client.emit("message", text, lambda *ids: tell("ack", ids))
