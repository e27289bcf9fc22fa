//! Settings of the old chats whose Node servers meet on channels of a Redis, which need not be ours.

use clap::Args;

use super::{
    redis::Redis,
    unshown::{self, Unshown},
};
use crate::redis::{Address, InvalidAddress};

/// The longest name of a channel, in bytes.
const NAME_MAX: usize = 200;

/// Channels of old chats.
#[derive(Clone, Debug, Args)]
pub struct RedisBridges {
    /// Redis on whose channels the Node servers of an old chat meet, an address as for --redis
    /// [default: that of --redis]
    #[arg(
        long,
        value_name = "URL",
        env = "HANDSHAKEN_NEIGHBOUR_REDIS",
        hide_env_values = true,
        value_parser = unshown::judged_later::<Address>
    )]
    neighbour_redis: Option<Unshown<Result<Address, InvalidAddress>>>,

    /// Channel on which the servers of Infinite Chat meet, newMsg in its code, 1 to 200 bytes; what
    /// is said there is said here, and the other way round [default: none]
    #[arg(long, value_name = "NAME", env = "HANDSHAKEN_NEW_MSG_CHANNEL", value_parser = name)]
    pub new_msg_channel: Option<String>,

    /// Key of Socket.IO's Redis adapter, socket.io unless its servers name another, 1 to 200 bytes;
    /// messages that they broadcast are said here, and the other way round [default: none]
    #[arg(long, value_name = "KEY", env = "HANDSHAKEN_SOCKETIO_REDIS_KEY", value_parser = name)]
    pub socketio_redis_key: Option<String>,

    /// Where the channels are, if there are any.
    #[arg(skip)]
    pub address: Option<Address>,
}

impl RedisBridges {
    pub(super) fn check_together(&mut self, ours: &Redis, mistakes: &mut Vec<String>) {
        match &self.neighbour_redis {
            Some(Unshown(Ok(address))) => self.address = Some(address.clone()),
            Some(Unshown(Err(mistake))) => mistakes.push(format!("--neighbour-redis: {mistake}")),
            None => self.address = ours.address.clone(),
        }
        for (flag, name) in [
            ("--new-msg-channel", &self.new_msg_channel),
            ("--socketio-redis-key", &self.socketio_redis_key),
        ] {
            let Some(name) = name else { continue };
            if self.neighbour_redis.is_none() && ours.address.is_none() {
                mistakes.push(format!(
                    "{flag} {name}: no Redis is named, by --neighbour-redis or --redis"
                ));
            }
            let rest = name.strip_prefix(&ours.prefix);
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':')) {
                mistakes.push(format!(
                    "{flag} {name}: what is ours in Redis is called so too, choose another --redis-prefix"
                ));
            }
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| !c.is_control() && !c.is_whitespace();
    if (1..=NAME_MAX).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("not 1 to {NAME_MAX} bytes without white space"))
    }
}
