//! Who people are: their logins (`sessions`).

pub mod sessions;
