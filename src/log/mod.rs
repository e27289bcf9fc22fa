//! The implementations of [`crate::chat::log::Log`].

pub mod embedded;
