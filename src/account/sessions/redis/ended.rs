//! Hears which sessions were ended on any replica. What was published while nobody heard it is found out otherwise:
//! whatever is watched is looked up whenever the connection is there again.

use redis::RedisError;
use tokio::time::timeout;

use super::super::{Login, Sessions};
use crate::redis::{Channel, Redis, Retry};

/// Ends of sessions that wait to be told here; where more come, what is watched is looked up.
const QUEUE: usize = 1024;

/// How long nothing is heard before it is found out whether the connection still works.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Hears for ever.
pub(in super::super) async fn hear(sessions: &Sessions, redis: &Redis) {
    let mut retry = Retry::new("ends of sessions");
    loop {
        let failed = match redis.channel("ended", QUEUE).await {
            Ok(channel) => hear_one(channel, sessions, &mut retry).await,
            Err(error) => error,
        };
        retry.pause(&failed).await;
    }
}

/// Hears until the connection fails.
async fn hear_one(mut channel: Channel, sessions: &Sessions, retry: &mut Retry) -> RedisError {
    loop {
        if !sessions.tidy().await {
            let why = "what was missed cannot be looked up";
            return std::io::Error::new(std::io::ErrorKind::ConnectionReset, why).into();
        }
        retry.succeeded();
        while channel.missed() == 0 {
            match timeout(SILENCE, channel.hear()).await {
                Ok(Ok(heard)) => match parse(&heard) {
                    Some(login) => sessions.has_ended(login),
                    None => tracing::warn!("another replica ended a session that has no number"),
                },
                Ok(Err(error)) => return error,
                Err(_) => {
                    if let Err(error) = channel.check().await {
                        return error;
                    }
                }
            }
        }
    }
}

fn parse(heard: &[u8]) -> Option<Login> {
    let number = std::str::from_utf8(heard).ok()?;
    number.parse().ok().map(Login)
}
