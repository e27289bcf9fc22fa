//! Settings of the transport for Socket.IO 0.9 clients, with the names that they had there.

use std::time::Duration;

use clap::Args;

use super::values::duration;
use crate::transport::legacy::Transport;

/// What Socket.IO 0.9 could be told.
#[derive(Clone, Debug, Args)]
pub struct Legacy {
    /// Ways in which Socket.IO 0.9 clients may connect, the preferred one first; they try them in this
    /// order. Separated by commas, or given several times
    /// [default: websocket,htmlfile,xhr-polling,jsonp-polling; where --views has an index.ejs, xhr-polling,
    /// as the servers of such pages had it]
    #[arg(
        long = "legacy-transports",
        value_name = "TRANSPORTS",
        env = "HANDSHAKEN_LEGACY_TRANSPORTS",
        value_delimiter = ','
    )]
    named_transports: Vec<Transport>,

    /// How long a Socket.IO 0.9 client may take to answer a heartbeat; it waits as long for one, 1s to 1h
    #[arg(long = "legacy-heartbeat-timeout", value_name = "DURATION", env = "HANDSHAKEN_LEGACY_HEARTBEAT_TIMEOUT", default_value = "60s", value_parser = duration("1s", "1h"))]
    pub heartbeat_timeout: Duration,

    /// How long after one heartbeat a Socket.IO 0.9 client gets the next, 1s to 1h
    #[arg(long = "legacy-heartbeat-interval", value_name = "DURATION", env = "HANDSHAKEN_LEGACY_HEARTBEAT_INTERVAL", default_value = "25s", value_parser = duration("1s", "1h"))]
    pub heartbeat_interval: Duration,

    /// How long a Socket.IO 0.9 client may stay away between two polls, 1s to 1h
    #[arg(long = "legacy-close-timeout", value_name = "DURATION", env = "HANDSHAKEN_LEGACY_CLOSE_TIMEOUT", default_value = "60s", value_parser = duration("1s", "1h"))]
    pub close_timeout: Duration,

    /// How long a poll of a Socket.IO 0.9 client is held when there is nothing to say, 1s to 1h
    #[arg(long = "legacy-polling-duration", value_name = "DURATION", env = "HANDSHAKEN_LEGACY_POLLING_DURATION", default_value = "20s", value_parser = duration("1s", "1h"))]
    pub polling_duration: Duration,
}

impl Legacy {
    /// How 0.9 clients may connect. Where nothing else is said, old pages with a login (`has_old_page`) get what their
    /// servers offered: one of them does not survive the loss of a WebSocket.
    pub fn transports(&self, has_old_page: bool) -> Vec<Transport> {
        match (&*self.named_transports, has_old_page) {
            ([], true) => vec![Transport::XhrPolling],
            ([], false) => Transport::ALL.into(),
            (named, _) => named.into(),
        }
    }

    pub(super) fn check_together(&self, mistakes: &mut Vec<String>) {
        for (at, transport) in self.named_transports.iter().enumerate() {
            if self.named_transports[..at].contains(transport) {
                mistakes.push(format!(
                    "--legacy-transports: {} is named twice",
                    transport.name()
                ));
            }
        }
        if self.heartbeat_interval >= self.heartbeat_timeout {
            mistakes.push(format!(
                "--legacy-heartbeat-interval {:?}: clients give up after --legacy-heartbeat-timeout {:?}, so it must be shorter",
                self.heartbeat_interval, self.heartbeat_timeout
            ));
        }
    }
}
