//! Accounts as their callers use them, against the databases and the mail servers that they meet: SQLite, a real
//! MariaDB, a real PostgreSQL, a small SMTP server.

mod harness;
mod sqlite;
