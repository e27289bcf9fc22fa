// The peer that Handshaken is measured against where no Socket.IO is spoken: a plain `ws` server, as one would write
// it today with care, with the arrays of the dialect `infinite`. It keeps nothing: every newcomer gets an empty history.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const host = process.argv[2] ?? "127.0.0.1";
const port = Number(process.argv[3] ?? 0);
// As in server.mjs: Node's own default would make a crowd a test of the kernel's SYN retries.
const backlog = 4096;
const pingInterval = 25_000;

const date = new Intl.DateTimeFormat("en-US", {
  year: "numeric",
  month: "long",
  day: "numeric",
  hour: "numeric",
  minute: "2-digit",
});

const http = createServer();
const server = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: 100_000 });

server.on("connection", (socket) => {
  socket.isAlive = true;
  socket.on("pong", () => (socket.isAlive = true));
  socket.on("error", () => socket.terminate());
  socket.on("message", (data, isBinary) => {
    if (isBinary) return socket.close(1003);
    let said;
    try {
      said = JSON.parse(data);
    } catch {
      return;
    }
    const { username, msg } = said ?? {};
    if (typeof username !== "string" || typeof msg !== "string" || msg === "") return;
    // Encoded once for all.
    const told = Buffer.from(JSON.stringify([{ username, msg, date: date.format(Date.now()) }]));
    for (const client of server.clients) {
      if (client.readyState === client.OPEN) client.send(told, { binary: false });
    }
  });
  socket.send("[]");
});

setInterval(() => {
  for (const client of server.clients) {
    if (!client.isAlive) {
      client.terminate();
      continue;
    }
    client.isAlive = false;
    client.ping();
  }
}, pingInterval);

http.listen({ host, port, backlog }, () => {
  console.log(`listening on http://${host}:${http.address().port}`);
});

process.once("SIGTERM", () => process.exit(0));
process.once("SIGINT", () => process.exit(0));
