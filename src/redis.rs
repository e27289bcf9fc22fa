//! The Redis that replicas share: where it is (`address`), how to connect to it, one connection for
//! many callers (`link`), one that hears what is published (`channel`; `subscription` for what others publish), and how
//! to go on when it is away (`retry`); what it says of itself (`survey`). The store, volatile events and
//! whatever else replicas share stand on this.

mod address;
mod channel;
mod link;
mod retry;
mod subscription;
mod survey;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, ProtocolVersion, RedisError, RedisResult,
    ServerErrorKind, aio::MultiplexedConnection,
};
use tokio::time::timeout;

pub use self::{
    address::{Address, InvalidAddress},
    channel::Channel,
    link::Link,
    retry::Retry,
    subscription::Subscription,
    survey::{Survey, Unusable},
};

/// How long a connection may take to be there, and as long again for each Sentinel that may be asked.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an answer may take before the connection is given up. Commands that wait by themselves say
/// how long in addition.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// A Redis, and the prefix of all that is ours in it. Opens nothing by itself.
#[derive(Clone, Debug)]
pub struct Redis {
    address: Arc<Address>,
    prefix: Arc<str>,
}

impl Redis {
    pub fn new(address: Address, prefix: &str) -> Self {
        if address.is_encrypted() {
            // An error says that there is one already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Self {
            address: Arc::new(address),
            prefix: prefix.into(),
        }
    }

    /// The name of a key or channel of ours: `<prefix>:<name>`.
    pub fn key(&self, name: impl fmt::Display) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// The address that this machine has on the way to Redis: others who share it reach us there.
    pub fn own_address(&self) -> std::io::Result<IpAddr> {
        let host = self.address.host().ok_or(std::io::ErrorKind::Unsupported)?;
        // Nothing is sent: the system only chooses the way.
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        socket.connect(host)?;
        Ok(socket.local_addr()?.ip().to_canonical())
    }

    /// Opens a connection whose commands wait no longer than [`ANSWER_TIMEOUT`].
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        self.connect_waiting(Duration::ZERO).await
    }

    /// Opens a connection for commands that wait by themselves, at most `blocking`.
    pub async fn connect_waiting(&self, blocking: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(Some(blocking + ANSWER_TIMEOUT));
        self.connect_with(config, false).await
    }

    /// Subscribes to a channel of ours, on a connection of its own. At most `bound` messages wait.
    pub async fn channel(&self, name: &str, bound: usize) -> RedisResult<Channel> {
        Channel::open(self, self.key(name), bound).await
    }

    /// Subscribes to a channel that is not ours, by its whole name, on a connection of its own.
    pub async fn subscribe(&self, channel: &str) -> RedisResult<Subscription> {
        Subscription::open(self, channel).await
    }

    /// `push`: Redis may say something unasked on this connection.
    async fn connect_with(
        &self,
        config: AsyncConnectionConfig,
        push: bool,
    ) -> RedisResult<MultiplexedConnection> {
        let protocol = if push {
            ProtocolVersion::RESP3
        } else {
            ProtocolVersion::RESP2
        };
        // Boxed: the library's own is large, and so would be every future that holds it.
        let connecting: Connecting<'_> = Box::pin(async move {
            let client = self.client(protocol).await?;
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
        });
        let patience = self.patience();
        let connected = timeout(patience, connecting).await;
        connected.unwrap_or_else(|_| Err(silent("no connection", patience)))
    }

    /// How long connecting may take.
    fn patience(&self) -> Duration {
        CONNECT_TIMEOUT * (1 + self.address.sentinels())
    }

    /// Sentinels are asked each time: what was the primary may be one no more.
    async fn client(&self, protocol: ProtocolVersion) -> RedisResult<Client> {
        match &*self.address {
            Address::Server(server) => {
                let settings = server.redis_settings().clone().set_protocol(protocol);
                Client::open(server.clone().set_redis_settings(settings))
            }
            Address::Sentinels(sentinels) => sentinels.client(protocol)?.async_get_client().await,
        }
    }
}

type Connecting<'a> = Pin<Box<dyn Future<Output = RedisResult<MultiplexedConnection>> + Send + 'a>>;

fn silent(what: &str, patience: Duration) -> RedisError {
    let silent = format!("{what} after {patience:?}");
    std::io::Error::new(std::io::ErrorKind::TimedOut, silent).into()
}

/// Whether Redis was not there, or is not ready: the same may work a little later, on a new connection.
/// Whether it has been done is not known.
pub fn is_away(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io
        | ErrorKind::Parse
        | ErrorKind::AuthenticationFailed
        | ErrorKind::MasterNameNotFoundBySentinel => true,
        ErrorKind::Server(_) | ErrorKind::Extension => is_unready(error),
        _ => false,
    }
}

/// Whether Redis answered that it is not ready, or not the primary any more. It has done nothing.
pub fn is_unready(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain
        )
    ) || matches!(error.code(), Some("BUSY" | "UNBLOCKED" | "NOREPLICAS"))
}
