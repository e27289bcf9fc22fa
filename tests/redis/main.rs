//! Several replicas on one real Redis, and what can become of it: killed, stopped, emptied, cut off, full, silent, a replica
//! of another. Nothing acknowledged is lost or doubled; what Redis itself lost is told.

#[path = "../harness/mod.rs"]
mod harness;

mod away;
mod crowd;
mod direct_messages;
mod kept;
mod lease;
mod lost;
mod refused;
mod replica;
mod replicas;
mod restored;
mod ways;
