//! What strangers send to get what is not theirs: requests that can be read in two ways (`smuggling`), targets and headers that
//! lie (`targets`), whatever fills a store (`lines`). docs/security.md names these tests and those elsewhere.

#[path = "../harness/mod.rs"]
mod harness;

mod lines;
mod smuggling;
mod targets;
mod wire;
