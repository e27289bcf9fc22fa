//! One connection that many share, for commands that are answered at once. It is opened when it is
//! first needed and again after it broke; who asks while Redis is away gets an error, soon.

use std::time::Duration;

use redis::{
    Cmd, FromRedisValue, RedisError, RedisResult, ScriptInvocation, aio::MultiplexedConnection,
};
use tokio::{sync::Mutex, time::Instant};

use super::{Redis, Retry, is_away};

/// How long a connection that could not be opened is not tried again: those who wait for it at the
/// same time all learn of the one failure.
const REST: Duration = Duration::from_millis(200);

/// A shared connection.
pub struct Link {
    redis: Redis,
    state: Mutex<State>,
}

struct State {
    connection: Option<MultiplexedConnection>,
    /// Tells one connection from the next.
    number: u64,
    refused: Option<(Instant, RedisError)>,
    retry: Retry,
}

impl Link {
    /// `what` names the user of the link in log lines.
    pub fn new(redis: Redis, what: &'static str) -> Self {
        Self {
            redis,
            state: Mutex::new(State {
                connection: None,
                number: 0,
                refused: None,
                retry: Retry::new(what),
            }),
        }
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Sends a command and waits for its answer. Tried once: after an error that
    /// [`is_away`](super::is_away) it may have been carried out or not.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let (number, mut connection) = self.open().await?;
        let answer = command.query_async(&mut connection).await;
        self.judge(number, answer).await
    }

    /// Runs a script; one that Redis does not know (any more) is loaded first. Tried once, as a command.
    pub async fn invoke<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> RedisResult<T> {
        let (number, mut connection) = self.open().await?;
        let answer = script.invoke_async(&mut connection).await;
        self.judge(number, answer).await
    }

    async fn open(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok((state.number, connection.clone()));
        }
        if let Some((at, error)) = &state.refused
            && at.elapsed() < REST
        {
            return Err(error.clone());
        }
        match self.redis.connect().await {
            Ok(connection) => {
                state.number += 1;
                state.refused = None;
                state.connection = Some(connection.clone());
                Ok((state.number, connection))
            }
            Err(error) => {
                state.retry.failed(&error);
                state.refused = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Lets go of a connection that failed, unless another has taken its place.
    async fn judge<T>(&self, number: u64, answer: RedisResult<T>) -> RedisResult<T> {
        match &answer {
            Err(error) if is_away(error) => {
                let mut state = self.state.lock().await;
                if state.number == number {
                    state.connection = None;
                    state.retry.failed(error);
                }
            }
            _ => self.state.lock().await.retry.succeeded(),
        }
        answer
    }
}
