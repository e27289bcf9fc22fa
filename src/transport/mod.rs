//! Where bytes come in and go out. A transport knows sockets and framing, and hands events to dialects.

mod asks;
mod body;
mod channels;
pub mod cors;
mod encoding;
mod exchange;
mod farewell;
mod flow;
pub mod forward;
pub mod gate;
mod inbox;
pub mod legacy;
pub mod listener;
pub mod origin;
mod pace;
pub mod proxy;
pub mod socketio;
mod target;
mod tunnel;
mod upgrade;
pub mod web;
pub mod websocket;
