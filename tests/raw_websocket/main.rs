//! Bare WebSockets: frames of every kind against the transport alone, and the dialect `infinite` on the
//! real program, with clients that do what they should and clients that do not.

#[path = "../harness/mod.rs"]
mod harness;

mod cases;
mod chatter;
mod conduct;
mod echo;
mod frames;
mod garbage;
mod handshake;
mod history;
mod pulse;
