//! A channel of Redis' publish and subscribe, over one connection: what is published while nobody is
//! connected is gone, and what is not taken in time as well.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use redis::{
    AsyncConnectionConfig, PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection,
};
use tokio::sync::mpsc;

use super::{ANSWER_TIMEOUT, Redis};

/// A connection that hears a channel, and may publish on it.
pub struct Channel {
    connection: MultiplexedConnection,
    name: String,
    heard: mpsc::Receiver<Vec<u8>>,
    missed: Arc<AtomicU64>,
}

impl Channel {
    /// Subscribes. At most `bound` messages wait for [`Channel::hear`]; of those beyond it only the
    /// number is known.
    pub(super) async fn open(redis: &Redis, name: String, bound: usize) -> RedisResult<Self> {
        let (tell, heard) = mpsc::channel(bound);
        let missed = Arc::new(AtomicU64::new(0));
        let counter = missed.clone();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_push_sender(move |push: PushInfo| -> Result<(), ()> {
                if push.kind == PushKind::Message
                    && let Some(Value::BulkString(message)) = push.data.into_iter().nth(1)
                    && tell.try_send(message).is_err()
                {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        let mut connection = redis.connect_with(config, true).await?;
        connection.subscribe(&name).await?;
        Ok(Self {
            connection,
            name,
            heard,
            missed,
        })
    }

    /// The next message; an error once the connection is gone.
    pub async fn hear(&mut self) -> RedisResult<Vec<u8>> {
        let gone = || io::Error::new(io::ErrorKind::ConnectionReset, "the connection ended");
        Ok(self.heard.recv().await.ok_or_else(gone)?)
    }

    /// How many messages came in too fast since the last call.
    pub fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }

    /// Publishes, all or (where the connection fails) an unknown part of them.
    pub async fn publish(&mut self, messages: &[Vec<u8>]) -> RedisResult<()> {
        let mut publishing = redis::pipe();
        for message in messages {
            publishing
                .cmd("PUBLISH")
                .arg(&self.name)
                .arg(message.as_slice())
                .ignore();
        }
        publishing.query_async(&mut self.connection).await
    }

    /// Finds out whether the connection still works.
    pub async fn check(&mut self) -> RedisResult<()> {
        redis::cmd("PING").query_async(&mut self.connection).await
    }
}
