//! Who may do what; rooms, presence, delivery. Knows no front end's words and no transport.

pub mod log;
pub mod message;
