//! Socket.IO 0.9 on the wire, byte for byte as the old server spoke it, and where it does better.

mod fixtures;
mod mutations;
mod polling;
mod server;
mod transports;
mod websocket;
mod wire;
