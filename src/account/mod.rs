//! Who people are. `accounts` registers them and checks their passwords; below it `users` keeps the table, `passwords`
//! hashes, `attempts` counts failures, `mail` tells by SMTP. `sessions` remembers who is logged in. Knows no HTTP:
//! whoever asks brings a name, a mail address, a password, cookies, and the address that the request came from.

mod accounts;
mod attempts;
mod errors;
mod mail;
mod passwords;
pub mod sessions;
mod users;

pub use accounts::{Accounts, Limits, Options, Registered, User, UserId};
pub use errors::{LoginError, OpenError, RegisterError};
pub use mail::Smtp;
pub use users::{DatabaseError, DatabaseUrl};
