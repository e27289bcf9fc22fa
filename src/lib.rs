//! Handshaken: one chat server for every generation of Socket.IO page.
//!
//! A message's way through the house: bytes come in at a [`transport`], a [`dialects`] turns a front
//! end's words into ours, the [`chat`] decides, the [`store`] gives the message its place and keeps
//! it, the chat hands it to the dialects, each renders it once, the transport writes it.
//! [`account`] knows who people are; [`bridge`] is what other chat servers say and are told.
//! [`server`] puts the rooms of the house together, from [`settings`]; [`doctor`] looks beforehand whether they will hold.

pub mod account;
pub mod bridges;
pub mod chat;
pub mod cluster;
pub mod connection;
pub mod dialects;
pub mod doctor;
pub mod engineio;
pub mod log_limit;
pub mod redis;
pub mod server;
pub mod settings;
pub mod socketio;
pub mod store;
pub mod telemetry;
pub mod transport;
