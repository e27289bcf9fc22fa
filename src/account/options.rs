//! What accounts need to know at start; `settings` fills it in.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use super::{mail::Smtp, users::DatabaseUrl};

/// What accounts need to know.
#[derive(Clone, Debug)]
pub struct Options {
    pub database: DatabaseUrl,
    /// Connections to the database at once.
    pub connections: NonZeroU32,
    /// Passwords that are hashed at once; each takes 19 MiB and a core.
    pub hashes_at_once: NonZeroUsize,
    pub limits: Limits,
    /// By which registration mails are sent.
    pub smtp: Option<Smtp>,
}

/// How often something may fail, or be done.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Failed logins of one account.
    pub account_failures: NonZeroU32,
    /// Failed logins from one address (IPv6: from one /64).
    pub address_failures: NonZeroU32,
    /// The time for which failures are counted.
    pub failure_window: Duration,
    /// Registrations from one address (IPv6: from one /64) per hour.
    pub registrations: NonZeroU32,
}
