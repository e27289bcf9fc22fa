//! Socket.IO 0.9 (protocol 1), for the oldest pages.

pub mod packet;
pub mod payload;
