//! Logins over HTTP, against the real program: who gets in (`login`), what a cookie is worth (`cookies`), what the old
//! pages are shown (`views`), which requests count (`requests`), what replicas share (`shared`), whose names are whose
//! (`names`), what it all leaves in memory (`memory`). `browser` keeps cookies as one does.

#[path = "../harness/mod.rs"]
mod harness;

mod browser;
mod cookies;
mod login;
mod memory;
mod names;
mod requests;
mod shared;
mod views;
