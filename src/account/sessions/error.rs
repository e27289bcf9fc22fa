//! Why a session could not be read or written.

use std::time::Duration;

use super::super::attempts::Refused;
use crate::log_limit::log_limited;

/// A session could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("sessions are read or written too slowly, try again")]
    Busy,
    #[error("sessions cannot be read or written: check the data directory's disk and its space")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("sessions in redis cannot be read or written now, try again")]
    Redis(#[from] redis::RedisError),
    #[error("sessions are closed, the server is going down")]
    Closed,
    #[error("too many names from this address, try again in {} s", retry_after.as_secs())]
    TooMany { retry_after: Duration },
}

impl SessionError {
    /// Logs that something could not be done because of it. That Redis is away is said once, by whoever connects.
    pub fn log(&self, what: &'static str) {
        let error: &dyn std::error::Error = self;
        match self {
            Self::Redis(cause) if crate::redis::is_away(cause) => tracing::debug!(error, "{what}"),
            _ => log_limited!(error, of what, error, "{what}"),
        }
    }
}

impl From<Refused> for SessionError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooMany(retry_after) => Self::TooMany { retry_after },
            Refused::TooManyAtOnce => Self::Busy,
        }
    }
}
