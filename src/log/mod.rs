//! The implementations of [`crate::chat::log::Log`].

pub mod embedded;
pub mod redis;
