//! Who people are. `accounts` registers them and checks their passwords, `names` decides who may be called what; below them `users` keeps the table, `passwords`
//! hashes, `turns` says when, `attempts` counts failures, `places` knows where they are at home, `shared` does both for all replicas, `mail` tells by SMTP. `sessions` remembers who is logged in,
//! `tokens` reads what an application says of its users. Knows no HTTP:
//! whoever asks brings a name, a mail address, a password, cookies, and the address that the request came from.

mod accounts;
mod attempts;
mod errors;
mod mail;
pub mod names;
mod options;
mod passwords;
mod places;
pub mod sessions;
mod shared;
pub mod tokens;
mod turns;
mod user;
mod users;

pub use accounts::Accounts;
pub use errors::{LoginError, OpenError, RegisterError, UnfitName};
pub use mail::Smtp;
pub use names::{NameRefused, Names};
pub use options::{Limits, Options};
pub use shared::Shared;
pub use user::{Registered, User, UserId};
pub use users::{DatabaseError, DatabaseUrl, Finished, Look, Table, look};
