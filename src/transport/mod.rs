//! Where bytes come in and go out. A transport knows sockets and framing, and hands events to dialects.

mod flow;
pub mod forward;
mod inbox;
pub mod legacy;
pub mod listener;
pub mod origin;
pub mod socketio;
pub mod web;
