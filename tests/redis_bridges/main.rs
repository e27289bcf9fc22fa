//! Replicas of ours beside real servers in Node that meet in a real Redis, by Socket.IO's adapters of every generation or on
//! Infinite Chat's channel: what is said on any of them is told once on all, whoever is killed, stopped or talks rubbish.

#[path = "../harness/mod.rs"]
mod harness;

mod adapters;
mod faults;
mod new_msg;
mod node;
mod page;
mod rubbish;
