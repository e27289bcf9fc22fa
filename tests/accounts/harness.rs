//! Accounts on any database, and waiting for what must come.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::{NonZeroU32, NonZeroUsize},
    path::Path,
    time::{Duration, Instant},
};

use handshaken::account::{Accounts, DatabaseUrl, Limits, Options};

/// The one who asks, where it does not matter who.
pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long anything may take that must come.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub const SHA1_OF_SECRET: &str = "e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4";

/// Options with wide limits.
pub fn options(database: DatabaseUrl) -> Options {
    let many = NonZeroU32::new(100_000).unwrap();
    Options {
        database,
        connections: NonZeroU32::new(4).unwrap(),
        hashes_at_once: NonZeroUsize::new(2).unwrap(),
        limits: Limits {
            account_failures: many,
            address_failures: many,
            failure_window: Duration::from_secs(300),
            registrations: many,
        },
        smtp: None,
    }
}

/// Options for a file in this folder.
pub fn in_folder(folder: &Path) -> Options {
    options(DatabaseUrl::file(&folder.join("accounts.db")).unwrap())
}

pub async fn open(options: Options) -> Accounts {
    Accounts::open(options)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// An error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Asks until there is an answer, or panics with the last reason against it.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(answer) => return answer,
            Err(reason) if start.elapsed() > DEADLINE => panic!("{what}: {reason}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
