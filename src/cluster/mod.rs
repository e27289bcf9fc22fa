//! Several replicas that are one chat: who is there, and what they share besides the store.

mod clock;
pub mod directory;
pub mod lease;
pub mod presence;
pub mod replicas;
pub mod volatile;
