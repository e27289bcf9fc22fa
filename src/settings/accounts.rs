//! Settings of the accounts: where they are kept, how often they may be tried, by which mail server they are told.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    thread::available_parallelism,
    time::Duration,
};

use clap::Args;

use super::{
    unshown::{self, Unshown},
    values::{count, duration},
    vcap::{self, Found, Services},
};
use crate::account::{DatabaseUrl, Limits, Options, Smtp};

/// The SQLite file under `--data`.
const FILE: &str = "accounts.db";

/// Where accounts are, and their limits.
#[derive(Clone, Debug, Args)]
pub struct Accounts {
    /// Database of the accounts: sqlite:FILE, mysql://USER:PASSWORD@HOST/DATABASE or
    /// postgres://USER:PASSWORD@HOST/DATABASE; the variable keeps the password out of the process
    /// list [default: what VCAP_SERVICES names, or accounts.db in the data folder; with --redis no file,
    /// and accounts are off]
    #[arg(
        long,
        value_name = "URL",
        env = "HANDSHAKEN_DATABASE",
        hide_env_values = true,
        value_parser = unshown::secret
    )]
    pub database: Option<Unshown<String>>,

    /// What the environment's services name instead.
    #[arg(skip)]
    service: Option<Found>,

    /// Connections to the accounts' database at once, 1 to 1000
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_DATABASE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,

    /// Passwords that are hashed at once, 1 to 1000; each takes a core and 19 MiB. As many times 32
    /// wait, more are refused for the moment [default: half of the machine's cores]
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_HASHES_AT_ONCE", value_parser = count(1, 1000))]
    pub hashes_at_once: Option<NonZeroUsize>,

    /// Failed logins of one account within the failure window, 1 to 1000; then it waits for the
    /// window's end. Where it was logged in before, an account is counted apart
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_ACCOUNT_FAILURES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub account_failures: u32,

    /// Failed logins from one address (IPv6: one /64) within the failure window, 1 to 100000
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_ADDRESS_FAILURES", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub address_failures: u32,

    /// How long failed logins are counted, from the first one on, 1s to 1h
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_FAILURE_WINDOW", default_value = "5m", value_parser = duration("1s", "1h"))]
    pub failure_window: Duration,

    /// Registrations from one address (IPv6: one /64) per hour, 1 to 100000
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_REGISTRATIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub registrations: u32,

    /// Mail server that tells new users of their account, smtps://USER:PASSWORD@HOST[:PORT], or
    /// smtp:// with ?tls=required [default: no mail is sent]
    #[arg(
        long,
        value_name = "URL",
        env = "HANDSHAKEN_SMTP",
        hide_env_values = true,
        value_parser = unshown::secret
    )]
    pub smtp: Option<Unshown<String>>,

    /// Sender of these mails, chat@mail.example or "The chat <chat@mail.example>"
    #[arg(long, value_name = "ADDRESS", env = "HANDSHAKEN_SMTP_FROM")]
    pub smtp_from: Option<String>,
}

impl Accounts {
    /// What the accounts need to know, with the default database in this data folder. Every mistake at once.
    pub fn options(&self, data: &Path) -> Result<Options, Vec<String>> {
        let database = self.database(data);
        let smtp = self.smtp();
        let (database, smtp) = match (database, smtp) {
            (Ok(database), Ok(smtp)) => (database, smtp),
            (database, smtp) => return Err(database.err().into_iter().chain(smtp.err()).collect()),
        };
        Ok(Options {
            database,
            connections: at_least_one(self.database_connections),
            hashes_at_once: self.hashes_at_once.unwrap_or_else(half_of_the_cores),
            limits: Limits {
                account_failures: at_least_one(self.account_failures),
                address_failures: at_least_one(self.address_failures),
                failure_window: self.failure_window,
                registrations: at_least_one(self.registrations),
            },
            smtp,
        })
    }

    /// Whether their database is a file, which no other machine reaches.
    pub(super) fn are_in_a_file(&self, data: &Path) -> bool {
        self.database(data).is_ok_and(|database| database.is_file())
    }

    pub(super) fn check_together(
        &mut self,
        data: &Path,
        services: &Services,
        mistakes: &mut Vec<String>,
    ) {
        if self.database.is_none() {
            match services.find(&vcap::DATABASE) {
                Ok(found) => self.service = found,
                Err(mistake) => mistakes.push(mistake),
            }
        }
        mistakes.extend(self.options(data).err().into_iter().flatten());
    }

    fn database(&self, data: &Path) -> Result<DatabaseUrl, String> {
        let (source, url) = match (&self.database, &self.service) {
            (Some(Unshown(url)), _) => ("--database".to_owned(), url.parse()),
            (None, Some(service)) => (service.source(), service.url.0.parse()),
            (None, None) => {
                let file = DatabaseUrl::file(&data.join(FILE));
                let file = file.map_err(|error| format!("in {}: {error}", data.display()));
                ("--database".to_owned(), file)
            }
        };
        url.map_err(|mistake: String| format!("{source} {mistake}"))
    }

    fn smtp(&self) -> Result<Option<Smtp>, String> {
        match (&self.smtp, &self.smtp_from) {
            (None, None) => Ok(None),
            (Some(Unshown(url)), Some(from)) => Smtp::new(url, from)
                .map(Some)
                .map_err(|mistake| format!("--smtp {mistake}")),
            (Some(_), None) => Err("--smtp needs a sender: give --smtp-from too".into()),
            (None, Some(_)) => {
                Err("--smtp-from has no mail server to send by: give --smtp too".into())
            }
        }
    }
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

fn half_of_the_cores() -> NonZeroUsize {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN)
}
