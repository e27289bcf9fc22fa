//! Logins over HTTP, against the real program: who gets in (`login`), what a cookie is worth (`cookies`), what the old
//! pages are shown (`views`), which requests count (`requests`), what replicas share (`shared`). `browser` keeps cookies as one does.

#[path = "../harness/mod.rs"]
mod harness;

mod browser;
mod cookies;
mod login;
mod requests;
mod shared;
mod views;
