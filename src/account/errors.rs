//! Why an account could not be opened, registered or logged in. The texts are for logs; what a page is told is
//! its routes' business.

use std::time::Duration;

use super::users::DatabaseError;
use crate::chat::message::InvalidName;

/// Why the accounts could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "cannot use the database {database}: check that it runs and that this user may alter its tables"
    )]
    Database {
        /// Without its password.
        database: String,
        source: DatabaseError,
    },
    #[error(
        "the table users of the database {database} has no column {column}: check that it is a chat's database, \
         or give accounts one of their own"
    )]
    OtherTable {
        database: String,
        column: &'static str,
    },
    #[error("cannot make the first password hash: check the memory that is free")]
    Hash,
    #[error("cannot send mail by {smtp}: {why}")]
    Smtp {
        /// Without its password.
        smtp: String,
        why: String,
    },
}

/// Why there is no new account.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("name or mail is missing")]
    Missing,
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    #[error("the mail address {0:?} is taken")]
    MailTaken(String),
    #[error("not a name: {0}")]
    InvalidName(#[from] UnfitName),
    #[error(
        "not a mail address: check that it is of the form name@host.example, at most 254 bytes"
    )]
    InvalidMail,
    #[error("too many registrations from this address, try again in {} s", retry_after.as_secs())]
    TooMany { retry_after: Duration },
    #[error("too many registrations and logins at once, try again soon")]
    Busy,
    #[error("the accounts' database did not answer as it should")]
    Database(#[source] DatabaseError),
}

/// Why a name cannot be a user's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitName {
    #[error(transparent)]
    Invalid(#[from] InvalidName),
    #[error("name is reserved")]
    Reserved,
    #[error("name has characters that the database cannot keep")]
    Unkept,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("mail or password is missing")]
    Missing,
    #[error("mail or password is wrong")]
    Wrong,
    #[error("too many failed logins, try again in {} s", retry_after.as_secs())]
    TooMany { retry_after: Duration },
    #[error("too many registrations and logins at once, try again soon")]
    Busy,
    #[error("the accounts' database did not answer as it should")]
    Database(#[source] DatabaseError),
}
