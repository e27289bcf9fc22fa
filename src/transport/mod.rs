//! Where bytes come in and go out. A transport knows sockets and framing, and hands events to dialects.

pub mod legacy;
pub mod listener;
pub mod socketio;
pub mod web;
