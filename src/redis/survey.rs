//! What a Redis says of itself and lets us do, for whoever checks a set-up before it is used.

use std::time::UNIX_EPOCH;

use redis::{Cmd, ErrorKind, RedisError, RedisResult, aio::MultiplexedConnection, cmd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{CONNECT_TIMEOUT, Redis, is_away};

/// How long the key lives that is written to see whether we may, in ms.
const TRIAL: u64 = 1000;

/// Bytes of what a server says that are repeated.
const SAID_MAX: usize = 200;

/// The first byte of what a TLS server says to who speaks none (RFC 8446, 5.1).
const TLS_ALERT: u8 = 21;

/// What could be learnt of a Redis. What it did not tell is absent.
#[derive(Debug, Default)]
pub struct Survey {
    pub version: Option<String>,
    pub is_primary: Option<bool>,
    /// `appendonly`.
    pub appends: Option<bool>,
    /// `appendfsync`.
    pub sync: Option<String>,
    /// Bytes; 0 is no limit.
    pub max_memory: Option<u64>,
    /// `maxmemory-policy`.
    pub when_full: Option<String>,
    /// By how much its clock is ahead of ours, in ms.
    pub ahead: Option<i64>,
    /// What it refused of what we need, and in which words.
    pub refused: Vec<(&'static str, String)>,
}

/// Why nothing could be learnt.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it does not let us in")]
    NotLetIn,
    /// What it said to somebody who asked without TLS and without a password, cut.
    #[error("it says: {0}")]
    Says(String),
    #[error("it speaks no TLS at this port")]
    NoTls,
    #[error("it speaks nothing but TLS at this port")]
    OnlyTls,
    #[error("{0}")]
    Away(RedisError),
}

impl From<RedisError> for Unusable {
    fn from(error: RedisError) -> Self {
        let not_let_in = error.kind() == ErrorKind::AuthenticationFailed
            || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"));
        if not_let_in {
            Self::NotLetIn
        } else {
            Self::Away(error)
        }
    }
}

impl Redis {
    /// Asks, and writes keys of a second's life: ours, and those that begin with one of these.
    pub async fn survey(&self, prefixes: &[&str]) -> Result<Survey, Unusable> {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return Err(self.reason(error).await),
        };
        let mut survey = Survey::default();
        let time: Option<(i64, i64)> = survey.ask(&mut connection, "TIME", &cmd("TIME")).await?;
        survey.ahead = time.map(|(seconds, micros)| seconds * 1000 + micros / 1000 - since_1970());
        let info: Option<String> = survey.ask(&mut connection, "INFO", &cmd("INFO")).await?;
        survey.read(&info.unwrap_or_default());
        // Many keep this from us, and it says little that INFO does not.
        let sync = cmd("CONFIG").arg("GET").arg("appendfsync").to_owned();
        let sync: RedisResult<Vec<String>> = sync.query_async(&mut connection).await;
        survey.sync = sync.ok().and_then(|pair| pair.into_iter().nth(1));

        let key = self.key("doctor");
        let others = prefixes.iter().map(|prefix| format!("{prefix}doctor"));
        for key in others.chain([key.clone()]) {
            let set = cmd("SET").arg(key).arg(1).arg("PX").arg(TRIAL).to_owned();
            let _: Option<()> = survey.ask(&mut connection, "SET", &set).await?;
        }
        let script = "return redis.call('EXISTS', KEYS[1])";
        let eval = cmd("EVAL").arg(script).arg(1).arg(&key).to_owned();
        let _: Option<i64> = survey.ask(&mut connection, "EVAL", &eval).await?;
        let publish = cmd("PUBLISH").arg(&key).arg("").to_owned();
        let _: Option<i64> = survey.ask(&mut connection, "PUBLISH", &publish).await?;
        Ok(survey)
    }
}

impl Redis {
    /// How many connections listen on a channel, whose name is taken as it is.
    pub async fn listeners(&self, channel: &str) -> Result<u64, Unusable> {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => return Err(self.reason(error).await),
        };
        let count = cmd("PUBSUB").arg("NUMSUB").arg(channel).to_owned();
        let (_, count): (String, u64) = count.query_async(&mut connection).await?;
        Ok(count)
    }
}

impl Redis {
    /// Why no connection could be opened. A server that is full, or protected, says so and hangs up at once, and one that is asked
    /// in TLS and knows none waits for more: the library's error says nothing of either.
    async fn reason(&self, error: RedisError) -> Unusable {
        let reason = Unusable::from(error);
        let (Unusable::Away(_), Some(server)) = (&reason, self.address.server()) else {
            return reason;
        };
        let answer = match timeout(CONNECT_TIMEOUT, ask_plainly(server)).await {
            Ok(Ok(answer)) => answer,
            _ => return reason,
        };
        let line = answer.split(|byte| *byte == b'\r').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default()).into_owned();
        match (answer.first(), self.address.is_encrypted()) {
            (Some(b'+' | b'-'), true) => Unusable::NoTls,
            (Some(&TLS_ALERT), false) => Unusable::OnlyTls,
            (Some(b'-'), false) if !line.starts_with("-NOAUTH") => {
                Unusable::Says(line.trim_start_matches('-').to_owned())
            }
            _ => reason,
        }
    }
}

/// The first bytes of what a server says to PING without TLS; fewer where it hangs up.
async fn ask_plainly(server: (&str, u16)) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    // One that hangs up may have said why before.
    let _ = stream.write_all(b"PING\r\n").await;
    let mut answer = Vec::new();
    while answer.len() < SAID_MAX && !answer.ends_with(b"\n") {
        match stream.read_buf(&mut answer).await {
            Ok(0) | Err(_) => break,
            // Of an alert the first byte is enough.
            Ok(_) if answer.first() == Some(&TLS_ALERT) => break,
            Ok(_) => {}
        }
    }
    answer.truncate(SAID_MAX);
    Ok(answer)
}

impl Survey {
    /// The answer; none where it is refused, which is noted.
    async fn ask<T: redis::FromRedisValue>(
        &mut self,
        connection: &mut MultiplexedConnection,
        name: &'static str,
        command: &Cmd,
    ) -> RedisResult<Option<T>> {
        match command.query_async(connection).await {
            Ok(answer) => Ok(Some(answer)),
            // Whoever is not let in at all learns no more by asking on.
            Err(error) if error.code() == Some("NOAUTH") => Err(error),
            Err(error) if is_away(&error) && error.code().is_none() => Err(error),
            Err(error) => {
                self.refused.push((name, error.to_string()));
                Ok(None)
            }
        }
    }

    fn read(&mut self, info: &str) {
        let value = |name: &str| {
            let lines = info.lines();
            let mut pairs = lines.filter_map(|line| line.split_once(':'));
            pairs.find_map(|(key, value)| (key == name).then(|| value.trim().to_owned()))
        };
        self.version = value("redis_version");
        self.is_primary = value("role").map(|role| role == "master");
        self.appends = value("aof_enabled").map(|enabled| enabled == "1");
        self.max_memory = value("maxmemory").and_then(|bytes| bytes.parse().ok());
        self.when_full = value("maxmemory_policy");
    }
}

/// In ms.
fn since_1970() -> i64 {
    let since = UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
