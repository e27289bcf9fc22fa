//! What every kind of connection has in common, whatever is spoken on it: how much may wait in both
//! directions (`flow`), how fast a client may send (`pace`), its events in order (`inbox`), questions to it
//! (`asks`), the channels of volatile events (`channels`), how it is closed (`closing`), and
//! the one reader and writer of WebSocket frames (`exchange`, `frames`). Engine.IO, 0.9 and bare WebSockets stand on it.

pub(crate) mod asks;
pub(crate) mod channels;
pub(crate) mod closing;
pub(crate) mod exchange;
pub(crate) mod flow;
mod frames;
pub(crate) mod inbox;
mod pace;
pub(crate) mod text;
