//! The implementations of [`crate::chat::store::Store`].

pub mod redis;
pub mod sqlite;
