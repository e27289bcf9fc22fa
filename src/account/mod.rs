//! Accounts: who may say that a name is theirs. `accounts` registers and logs in; below it `users` keeps the
//! table, `passwords` hashes, `attempts` counts failures, `mail` tells by SMTP. Knows no HTTP and no cookie:
//! whoever asks brings a name, a mail address, a password and the address that the request came from.

mod accounts;
mod attempts;
mod errors;
mod mail;
mod options;
mod passwords;
mod places;
mod user;
mod users;

pub use accounts::Accounts;
pub use errors::{LoginError, OpenError, RegisterError, UnfitName};
pub use mail::Smtp;
pub use options::{Limits, Options};
pub use user::{Registered, User, UserId};
pub use users::{DatabaseError, DatabaseUrl};
