//! Where Redis is: a URL of one server, or of the Sentinels that know which server is the primary.

use std::{fmt, str::FromStr};

use redis::{
    ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};

/// Where Sentinels listen unless told otherwise.
const SENTINEL_PORT: u16 = 26379;

/// Where the shared Redis is, and how we prove who we are. Its text is without password.
#[derive(Clone)]
pub enum Address {
    Server(ConnectionInfo),
    Sentinels(Sentinels),
}

/// Sentinels that know a primary by name.
#[derive(Clone)]
pub struct Sentinels {
    hosts: Vec<(String, u16)>,
    name: String,
    database: i64,
    /// For the servers and the Sentinels.
    encrypted: bool,
    /// For the servers.
    user: Option<String>,
    password: Option<String>,
    /// For the Sentinels themselves.
    sentinel_password: Option<String>,
}

/// Why a text is no address of a Redis. Does not repeat the text: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    #[error("not a Redis URL such as redis://user:password@host:6379/0 ({0})")]
    Server(String),
    #[error(
        "not a URL such as redis+sentinel://user:password@host1:26379,host2:26379/name/0 ({0})"
    )]
    Sentinels(&'static str),
}

impl Address {
    /// Host and port of the server, or of the first Sentinel; `None` for a socket in the file system.
    pub(super) fn host(&self) -> Option<(&str, u16)> {
        match self {
            Self::Server(server) => match server.addr() {
                ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                    Some((host, *port))
                }
                _ => None,
            },
            Self::Sentinels(sentinels) => {
                let (host, port) = sentinels.hosts.first()?;
                Some((host.trim_matches(['[', ']']), *port))
            }
        }
    }

    /// Host and port where one server is named; `None` for Sentinels and for a socket in the file system.
    pub(super) fn server(&self) -> Option<(&str, u16)> {
        match self {
            Self::Server(_) => self.host(),
            Self::Sentinels(_) => None,
        }
    }

    pub(super) fn sentinels(&self) -> u32 {
        match self {
            Self::Server(_) => 0,
            Self::Sentinels(sentinels) => u32::try_from(sentinels.hosts.len()).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        match self {
            Self::Server(server) => matches!(server.addr(), ConnectionAddr::TcpTls { .. }),
            Self::Sentinels(sentinels) => sentinels.encrypted,
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(url: &str) -> Result<Self, InvalidAddress> {
        if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            return Sentinels::parse(rest, false).map(Self::Sentinels);
        }
        if let Some(rest) = url.strip_prefix("rediss+sentinel://") {
            return Sentinels::parse(rest, true).map(Self::Sentinels);
        }
        let server = url.into_connection_info().map_err(|error| {
            let reason = error.to_string();
            // The library's own word for it, without its name for the kind of error.
            let reason = reason.split(" - ").next().unwrap_or_default();
            InvalidAddress::Server(reason.to_lowercase())
        })?;
        if matches!(server.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            let reason = "#insecure would let anybody listen: name the authority in SSL_CERT_FILE";
            return Err(InvalidAddress::Server(reason.into()));
        }
        let ours = server
            .redis_settings()
            .clone()
            .set_lib_name("handshaken", env!("CARGO_PKG_VERSION"));
        Ok(Self::Server(server.set_redis_settings(ours)))
    }
}

impl Sentinels {
    /// Reads `[user:password@]host[:port],…/name[/database][?sentinel_password=…]`.
    fn parse(rest: &str, encrypted: bool) -> Result<Self, InvalidAddress> {
        let wrong = InvalidAddress::Sentinels;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').ok_or(wrong("no name of a primary"))?;
        let (credentials, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (name, database) = path.split_once('/').unwrap_or((path, "0"));
        if name.is_empty() {
            return Err(wrong("no name of a primary"));
        }
        let hosts = hosts.split(',').map(|host| match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                port.parse().ok().map(|port| (host.to_owned(), port))
            }
            _ => Some((host.to_owned(), SENTINEL_PORT)),
        });
        let hosts = hosts
            .map(|host| host.filter(|(host, _)| !host.is_empty()))
            .collect::<Option<Vec<_>>>()
            .ok_or(wrong("a host is missing, or a port is no number"))?;
        let mut sentinel_password = None;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sentinel_password" => sentinel_password = Some(value.into_owned()),
                _ => return Err(wrong("only sentinel_password may follow the `?`")),
            }
        }
        Ok(Self {
            hosts,
            name: decoded(name),
            database: database
                .parse()
                .map_err(|_| wrong("the database is no number"))?,
            encrypted,
            user: Some(decoded(user)).filter(|user| !user.is_empty()),
            password: Some(decoded(password)).filter(|password| !password.is_empty()),
            sentinel_password,
        })
    }

    pub(super) fn client(&self, protocol: ProtocolVersion) -> RedisResult<SentinelClient> {
        let hosts = self.hosts.iter().map(|(host, port)| {
            let (host, port) = (host.trim_matches(['[', ']']).to_owned(), *port);
            if self.encrypted {
                ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: false,
                    tls_params: None,
                }
            } else {
                ConnectionAddr::Tcp(host, port)
            }
        });
        let mut client = SentinelClientBuilder::new(hosts, &self.name, SentinelServerType::Master)?
            .set_client_to_redis_db(self.database)
            .set_client_to_redis_protocol(protocol);
        if self.encrypted {
            client = client.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
        }
        if let Some(user) = &self.user {
            client = client.set_client_to_redis_username(user);
        }
        if let Some(password) = &self.password {
            client = client.set_client_to_redis_password(password);
        }
        if let Some(password) = &self.sentinel_password {
            client = client.set_client_to_sentinel_password(password);
        }
        client.build()
    }
}

/// Undoes percent-encoding, which passwords need for `@` and `/`.
fn decoded(text: &str) -> String {
    // A `+` stands for itself here, other than in forms.
    let text = format!("={}", text.replace('+', "%2B"));
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => write!(f, "{}", server.addr()),
            Self::Sentinels(sentinels) => {
                write!(f, "{} as known by", sentinels.name)?;
                let hosts = sentinels.hosts.iter();
                hosts
                    .into_iter()
                    .try_for_each(|(host, port)| write!(f, " {host}:{port}"))
            }
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

    fn refused(url: &str) -> String {
        url.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            (
                "redis://ann:s3cret@redis.example:6380/2",
                "redis.example:6380",
            ),
            ("rediss://:s3cret@redis.example", "redis.example:6379"),
            (
                "redis+sentinel://ann:s3cret@a,b:5000/main/3?sentinel_password=s3cret",
                "main as known by a:26379 b:5000",
            ),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!(format!("{address} {address:?}"), format!("{shown} {shown}"));
        }
    }

    #[test]
    fn what_sentinels_need_is_read() {
        let url = "rediss+sentinel://a%40b:p%2F+@[::1]:7,h/main/3?sentinel_password=x%26y";
        let Ok(Address::Sentinels(sentinels)) = url.parse() else {
            panic!("no address of sentinels")
        };
        assert_eq!(sentinels.hosts, [("[::1]".into(), 7), ("h".into(), 26379)]);
        assert_eq!(sentinels.user.as_deref(), Some("a@b"));
        assert_eq!(sentinels.password.as_deref(), Some("p/+"));
        assert_eq!(sentinels.sentinel_password.as_deref(), Some("x&y"));
        assert_eq!((&*sentinels.name, sentinels.database), ("main", 3));
        assert!(sentinels.encrypted && sentinels.client(ProtocolVersion::RESP2).is_ok());
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for url in [
            "",
            "s3cret",
            "http://s3cret",
            "redis://:s3cret@",
            "redis://h/s3cret",
            "rediss://:s3cret@h/#insecure",
            "redis+sentinel://s3cret",
            "redis+sentinel://s3cret:x/name",
            "redis+sentinel://h/",
            "redis+sentinel://,h/name",
            "redis+sentinel://h/name/s3cret",
            "redis+sentinel://h/name?s3cret=1",
        ] {
            assert!(!refused(url).contains("s3cret"), "{}", refused(url));
        }
        assert!(refused("rediss://h/#insecure").contains("SSL_CERT_FILE"));
    }
}
