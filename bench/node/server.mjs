// The peer that Handshaken is measured against: a plain Socket.IO 4 server, as one would write it today, with the
// events of the talk page on `/` and those of the native dialect that the benchmark posts with on `/chat`.
// It keeps nothing: no history, no log. Acknowledgements come from memory.
import { createServer } from "node:http";
import { hostname } from "node:os";
import { Server } from "socket.io";

const host = process.argv[2] ?? "127.0.0.1";
const port = Number(process.argv[3] ?? 0);
// Node's own default of 511 makes a reconnect storm a test of the kernel's SYN retries; this is what a careful operator sets.
const backlog = 4096;

const http = createServer();
const io = new Server(http, {
  transports: ["polling", "websocket"],
  pingInterval: 25_000,
  pingTimeout: 20_000,
  maxHttpBufferSize: 100_000,
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
});

const replica = hostname();

io.on("connection", (socket) => {
  socket.on("message", (text) => {
    if (typeof text !== "string" || text === "") return;
    io.emit("message", { text, date: new Date().toISOString(), ip: replica });
  });
});

let lastId = 0;
const chat = io.of("/chat");

chat.on("connection", (socket) => {
  let author = null;
  socket.on("hello", ({ name }, answer) => {
    author = name;
    socket.join(`to ${name}`);
    answer({ ok: true, id: socket.id, name, history: 0, maxText: 16_384 });
  });
  socket.on("join", ({ room }, answer) => {
    socket.join(room);
    answer({ ok: true, room, reset: false, people: [], guests: 0, total: 0 });
  });
  socket.on("post", ({ room, text }, answer) => {
    const id = String(++lastId);
    const time = new Date().toISOString();
    chat.to(room).emit("message", { room, id, author, text, time, replica });
    answer({ ok: true, id, time });
  });
  socket.on("direct", ({ to, text }, answer) => {
    const id = String(++lastId);
    const time = new Date().toISOString();
    chat.to(`to ${to}`).to(`to ${author}`).emit("direct", { id, from: author, to, name: author, text, time, replica });
    answer({ ok: true, id, time });
  });
});

http.listen({ host, port, backlog }, () => {
  console.log(`listening on http://${host}:${http.address().port}`);
});

process.once("SIGTERM", () => process.exit(0));
process.once("SIGINT", () => process.exit(0));
