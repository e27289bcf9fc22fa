//! Where a broker is: a URL as amqplib takes it.

use std::{fmt, str::FromStr};

use lapin::uri::{AMQPScheme, AMQPUri};
use url::Url;

/// How long a connection may take to be there, in ms, where the URL does not say.
const CONNECT_TIMEOUT: u64 = 5_000;

/// How often either side proves that it is there, in seconds, where the URL does not say.
const HEARTBEAT: u16 = 20;

/// Where a broker is, and how we prove who we are. Its text is without password.
#[derive(Clone)]
pub struct Address(Box<AMQPUri>);

/// Why a text is no address of a broker. Does not repeat the text: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URL such as amqp://user:password@host:5672/vhost?heartbeat=60 ({0})")]
pub struct InvalidAddress(&'static str);

impl Address {
    pub(super) fn uri(&self) -> AMQPUri {
        (*self.0).clone()
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.0.scheme == AMQPScheme::AMQPS
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let url = Url::parse(text).map_err(|_| InvalidAddress("it is no URL"))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(InvalidAddress(
                "it begins with neither amqp:// nor amqps://",
            ));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(InvalidAddress("it names no host"))?;
        let known = [
            "heartbeat",
            "frame_max",
            "channel_max",
            "connection_timeout",
        ];
        if url.query_pairs().any(|(name, _)| !known.contains(&&*name)) {
            return Err(InvalidAddress(
                "only heartbeat, frame_max, channel_max and connection_timeout may follow the `?`",
            ));
        }
        let uri = AMQPUri::from_str(text);
        let mut uri = uri.map_err(|_| InvalidAddress("a part of it cannot be read"))?;
        // The library takes an address of IPv6 for none at all.
        uri.authority.host = host.trim_matches(['[', ']']).to_owned();
        uri.query.connection_timeout.get_or_insert(CONNECT_TIMEOUT);
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self(Box::new(uri)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri {
            scheme,
            authority,
            vhost,
            ..
        } = &*self.0;
        write!(f, "{scheme}://{}:{}", authority.host, authority.port)?;
        match &**vhost {
            "/" => Ok(()),
            vhost => write!(f, "/{vhost}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Address, String> {
        url.parse()
            .map_err(|error: InvalidAddress| error.to_string())
    }

    #[test]
    fn an_address_shows_no_password() {
        let address = read("amqp://chat:s3cret@broker:5673/team?heartbeat=60").unwrap();
        for shown in [address.to_string(), format!("{address:?}")] {
            assert_eq!(shown, "amqp://broker:5673/team");
        }
        let AMQPUri { query, vhost, .. } = address.uri();
        assert_eq!((query.heartbeat, &*vhost), (Some(60), "team"));
    }

    #[test]
    fn what_a_url_leaves_out_is_as_usual() {
        let uri = read("amqp://broker").unwrap().uri();
        assert_eq!((uri.authority.port, &*uri.vhost), (5672, "/"));
        assert_eq!(uri.query.heartbeat, Some(HEARTBEAT));
        assert_eq!(read("amqp://[::1]:1").unwrap().uri().authority.host, "::1");
        assert_eq!(
            read("amqps://broker").unwrap().to_string(),
            "amqps://broker:5671"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for url in [
            "s3cret",
            "http://u:s3cret@h",
            "amqp:s3cret",
            "amqp:///s3cret",
            "amqp://u:s3cret@h:port",
            "amqp://u:s3cret@h?s3cret=1",
            "amqp://u:s3cret@h?heartbeat=s3cret",
            "amqp://u:s3cret%ff@h",
        ] {
            let error = read(url).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
