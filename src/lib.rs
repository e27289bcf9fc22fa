//! Handshaken: one chat server for every generation of Socket.IO page.

pub mod chat;
pub mod log;
pub mod transport;
