"""A client on python-socketio, 4 or 5: sends each line of its input as a `message` that asks for an acknowledgement, and
prints what happens to it, a JSON object in each line."""

import json
import sys
import threading

import socketio

URL, TRANSPORTS = sys.argv[1], sys.argv[2].split(",")

client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2, randomization_factor=0)
printing = threading.Lock()


def tell(event, value=None):
    with printing:
        print(json.dumps({"event": event, "value": value}), flush=True)


client.on("connect", lambda: tell("connect", client.transport()))
client.on("disconnect", lambda *_: tell("disconnect"))
client.on("message", lambda message: tell("message", message["text"]))

client.connect(URL, transports=TRANSPORTS)
for line in sys.stdin:
    client.emit("message", line.rstrip("\n"), callback=lambda *ids: tell("ack", ids))
