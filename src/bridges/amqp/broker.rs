//! Connections to a RabbitMQ, and what can be wrong with them, in words for an operator.

use std::time::Duration;

use lapin::{
    Connection, ConnectionProperties, Error, ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError},
};
use tokio::time::timeout;

use super::Address;

/// How long a connection may take in all, login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a session on a bus ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It may be there again at once.
    #[error("{0}")]
    Away(String),
    /// The broker does not want us as we are.
    #[error("{0}")]
    Refused(String),
    /// What is there is not what it should be.
    #[error("{0}")]
    Misdeclared(String),
}

/// A broker that may be connected to.
pub(super) struct Broker {
    address: Address,
}

impl Broker {
    pub fn new(address: Address) -> Self {
        if address.is_encrypted() {
            // An error says that there is one already, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        Self { address }
    }

    /// Opens a connection. `what_for` is shown by the broker's tools.
    pub async fn connect(&self, what_for: &str) -> Result<Connection, Trouble> {
        // No recovery of the library's own: it would declare what it remembers, whatever is there by then.
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("handshaken {what_for}").into());
        let connecting = Connection::connect_uri(self.address.uri(), properties);
        match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| self.not_connected(&error)),
            Err(_) => Err(Trouble::Away(format!(
                "{} did not answer within {CONNECT_TIMEOUT:?}",
                self.address
            ))),
        }
    }

    fn not_connected(&self, error: &Error) -> Trouble {
        let why = format!("{}: {}", self.address, format(error));
        match error.kind() {
            ErrorKind::ProtocolError(refused)
                if matches!(
                    refused.kind(),
                    AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
                        | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
                ) =>
            {
                Trouble::Refused(format!(
                    "{why}; check user, password and virtual host in --amqp"
                ))
            }
            _ => Trouble::Away(why),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(refused)
                if matches!(
                    refused.kind(),
                    AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
                ) =>
            {
                Self::Refused(format!(
                    "{}; give the user of --amqp the permissions that it names",
                    format(&error)
                ))
            }
            _ => Self::Away(format(&error)),
        }
    }
}

/// What a failure is called: what the broker says, where it said something.
pub(super) fn format(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(refused) => {
            refused.get_message().as_str().trim_end_matches('.').into()
        }
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}
