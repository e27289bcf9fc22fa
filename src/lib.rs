//! Handshaken: one chat server for every generation of Socket.IO page.
//!
//! A message's way through the house: bytes come in at a [`transport`], a [`dialect`] turns a front
//! end's words into ours, the [`chat`] decides, the [`log`] gives the message its place and keeps
//! it, the chat hands it to the dialects, each renders it once, the transport writes it.
//! [`account`] knows who people are; [`neighbour`] is what other chat servers say and are told.
//! [`server`] puts the rooms of the house together, from [`settings`]; [`doctor`] looks beforehand whether they will hold.

pub mod account;
pub mod chat;
pub mod cluster;
pub mod complaints;
pub mod connection;
pub mod dialect;
pub mod doctor;
pub mod engineio;
pub mod log;
pub mod neighbour;
pub mod redis;
pub mod server;
pub mod settings;
pub mod socketio;
pub mod telemetry;
pub mod transport;
