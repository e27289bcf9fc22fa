//! Where bytes come in and go out. A transport knows sockets and framing, and hands events to dialects.

pub(crate) mod body;
pub mod cors;
pub(crate) mod encoding;
pub mod forward;
pub mod gate;
pub mod legacy;
pub mod listener;
pub mod origin;
pub mod proxy;
mod target;
mod tunnel;
pub(crate) mod upgrade;
pub mod web;
pub mod websocket;
