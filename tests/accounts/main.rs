//! Accounts as their callers use them, against the databases and the mail servers that they meet: SQLite, a real
//! MariaDB, a real PostgreSQL, a small SMTP server.

mod databases;
mod faults;
mod harness;
mod limits;
mod mail;
mod replicas;
#[path = "../harness/mod.rs"]
mod servers;
mod shared;
mod sqlite;
mod takeover;
