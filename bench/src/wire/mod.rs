//! What travels between a load client and a server: WebSocket frames, the packets in them, and the stamped text in those.
//! Written here rather than taken from a library so that receiving a message costs the generator no allocation:
//! the benchmark wants the machine's cores for the servers.

pub mod frame;
pub mod language;
pub mod packet;
pub mod stamp;
