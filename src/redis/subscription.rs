//! A channel of somebody else's Redis, heard over a connection of its own in the protocol that every version speaks.
//! What is published while nobody is connected is gone.

use std::{future::Future, io, pin::Pin, time::Duration};

use futures_util::StreamExt;
use redis::{
    Msg, ProtocolVersion, RedisError, RedisResult,
    aio::{PubSubSink, PubSubStream},
};
use tokio::time::{sleep, timeout};

use super::{ANSWER_TIMEOUT, Redis, silent};

/// How often it is found out whether the connection still works.
const CHECK_PERIOD: Duration = Duration::from_secs(5);

/// A connection that hears one channel.
pub struct Subscription {
    stream: PubSubStream,
    /// Ends when the connection does not work any more.
    checks: Pin<Box<dyn Future<Output = RedisError> + Send>>,
}

impl Subscription {
    pub(super) async fn open(redis: &Redis, channel: &str) -> RedisResult<Self> {
        // Boxed: the library's own is large, and so would be every future that holds it.
        let connecting = Box::pin(async {
            let client = redis.client(ProtocolVersion::RESP2).await?;
            let (mut sink, stream) = client.get_async_pubsub().await?.split();
            sink.subscribe(channel).await?;
            let checks = Box::pin(check_for_ever(sink));
            Ok(Self { stream, checks })
        });
        let patience = redis.patience();
        let opened = timeout(patience, connecting).await;
        opened.unwrap_or_else(|_| Err(silent("no subscription", patience)))
    }

    /// The next message; an error once the connection is gone. Messages are read as they come and wait without a
    /// bound: whoever calls has to call again at once.
    pub async fn hear(&mut self) -> RedisResult<Msg> {
        tokio::select! {
            heard = self.stream.next() => heard.ok_or_else(|| {
                io::Error::new(io::ErrorKind::ConnectionReset, "the connection ended").into()
            }),
            error = &mut self.checks => Err(error),
        }
    }
}

async fn check_for_ever(mut sink: PubSubSink) -> RedisError {
    loop {
        sleep(CHECK_PERIOD).await;
        match timeout(ANSWER_TIMEOUT, sink.ping::<redis::Value>()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return error,
            Err(_) => return silent("no answer", ANSWER_TIMEOUT),
        }
    }
}
