//! `handshaken doctor` as whoever is about to start a server meets it: what it says of a right set-up (`right`), and of wrong ones,
//! with real servers (`redis`, `rabbitmq`, `database`, `machine`) and real folders of pages (`pages`). `asked` asks it.

#[path = "../harness/mod.rs"]
mod harness;

// Not all of it is needed here.
#[allow(dead_code)]
#[path = "../accounts/databases.rs"]
mod databases;

mod asked;
mod database;
mod machine;
mod pages;
mod rabbitmq;
mod redis;
mod right;
