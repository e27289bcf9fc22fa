//! Several replicas that are one chat: what they share besides the log.

pub mod fleeting;
pub mod lease;
