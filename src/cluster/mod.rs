//! Several replicas that are one chat: who is there, and what they share besides the log.

mod clock;
pub mod directory;
pub mod fleeting;
pub mod lease;
pub mod members;
pub mod presence;
