//! Settings of the Redis that replicas share.

use std::str::FromStr;

use clap::Args;

use super::{
    unshown::{self, Unshown},
    values::key_prefix,
    vcap::{self, Services},
};
use crate::redis::{Address, InvalidAddress};

/// The shared Redis.
#[derive(Clone, Debug, Args)]
pub struct Redis {
    /// Redis that the replicas of one chat share: redis://user:password@host:6379/0, rediss:// with
    /// TLS, or redis+sentinel://host1,host2/name [default: none, or what REDIS_URL, REDIS_HOST and
    /// REDIS_PORT, or VCAP_SERVICES name]
    #[arg(
        long = "redis",
        value_name = "URL",
        env = "HANDSHAKEN_REDIS",
        hide_env_values = true,
        value_parser = unshown::judged_later::<Address>
    )]
    given: Option<Unshown<Result<Address, InvalidAddress>>>,

    /// What the names of all keys and channels in Redis begin with, 1 to 64 characters: a-z, A-Z,
    /// 0-9, and any of -_.:
    #[arg(long = "redis-prefix", value_name = "PREFIX", env = "HANDSHAKEN_REDIS_PREFIX", default_value = "handshaken", value_parser = key_prefix)]
    pub prefix: String,

    /// Where it is, if there is one.
    #[arg(skip)]
    pub address: Option<Address>,
}

impl Redis {
    pub(super) fn check_together(&mut self, services: &Services, mistakes: &mut Vec<String>) {
        let named = match &self.given {
            Some(Unshown(address)) => Some(("--redis:".to_owned(), address.clone())),
            None => address_of_the_environment().or_else(|| {
                let found = services.find(&vcap::REDIS);
                let found = found.unwrap_or_else(|mistake| {
                    mistakes.push(mistake);
                    None
                })?;
                Some((found.source(), found.url.0.parse()))
            }),
        };
        match named {
            Some((_, Ok(address))) => self.address = Some(address),
            Some((name, Err(mistake))) => mistakes.push(format!("{name} {mistake}")),
            None => {}
        }
    }
}

/// The variables that many programs read the place of a Redis from.
fn address_of_the_environment() -> Option<(String, Result<Address, InvalidAddress>)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(url) = variable("REDIS_URL") {
        return Some(("REDIS_URL:".into(), Address::from_str(&url)));
    }
    let host = variable("REDIS_HOST")?;
    let port = variable("REDIS_PORT").unwrap_or_else(|| "6379".into());
    // An address of IPv6 needs brackets in a URL.
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host
    };
    let address = Address::from_str(&format!("redis://{host}:{port}"));
    Some((format!("REDIS_HOST={host} REDIS_PORT={port}:"), address))
}
