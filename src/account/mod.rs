//! Accounts: who may say that a name is theirs. `accounts` registers and logs in; below it `users` keeps the
//! table, `passwords` hashes, `attempts` counts failures, `mail` tells by SMTP. Knows no HTTP and no cookie:
//! whoever asks brings a name, a mail address, a password and the address that the request came from.

mod accounts;
mod attempts;
mod errors;
mod mail;
mod passwords;
mod users;

pub use accounts::{Accounts, Limits, Options, Registered, User, UserId};
pub use errors::{LoginError, OpenError, RegisterError};
pub use mail::Smtp;
pub use users::{DatabaseError, DatabaseUrl};
