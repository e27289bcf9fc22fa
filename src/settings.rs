//! Every flag and variable: name, default, unit, range. All of them are checked before a port is
//! bound, and all mistakes are told at once (`mistakes`); `values` reads what no library has a type
//! for. README's table is compared with this file by a test.

mod accounts;
mod bridges;
mod cluster;
mod direct;
pub mod env_file;
mod legacy;
mod mistakes;
mod redis;
mod redis_bridges;
pub mod secret_files;
mod sessions;
mod shared;
mod tokens;
mod unshown;
mod values;
mod vcap;

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use jiff::tz::TimeZone;

pub use self::{
    accounts::Accounts,
    bridges::Bridges,
    cluster::Cluster,
    direct::Direct,
    legacy::Legacy,
    mistakes::{EXIT_USAGE, Refusal},
    redis::Redis,
    redis_bridges::RedisBridges,
    sessions::Sessions,
    tokens::Tokens,
    values::Origin,
};
use self::{
    secret_files::SecretFiles,
    values::{count, duration, host_name, origin, proxy, retain, time_zone},
    vcap::Services,
};
use crate::{
    store::sqlite::Retain,
    transport::web::{ClientGeneration, index, kschat},
};

/// One chat server for every generation of Socket.IO page
#[derive(Clone, Debug, Parser)]
#[command(
    name = "handshaken",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Secrets, and addresses that may hold a password, may be in files: HANDSHAKEN_REDIS_FILE \
        names one with what HANDSHAKEN_REDIS would say, and so on"
)]
pub struct Settings {
    /// Address to listen on, IP:PORT; may be given several times; port 0 takes a free one
    /// [default: 0.0.0.0:3000, or 0.0.0.0 with the port that NODE_PORT or PORT names]
    #[arg(
        long,
        value_name = "ADDR",
        env = "HANDSHAKEN_LISTEN",
        value_delimiter = ','
    )]
    pub listen: Vec<SocketAddr>,

    /// Folder with the pages to serve at / and /public/ [default: our own pages, from the binary]
    #[arg(long, value_name = "DIR", env = "HANDSHAKEN_PUBLIC")]
    pub public: Option<PathBuf>,

    /// How long browsers may keep files of that folder without asking again, pages (HTML) apart, 0s to 365d
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_PUBLIC_MAX_AGE", default_value = "0s", value_parser = duration("0s", "365d"))]
    pub public_max_age: Duration,

    /// Folder with the template index.ejs of an old page, to be shown at / with the name of whoever
    /// is logged in [default: none, / is a page of --public]
    #[arg(long, value_name = "DIR", env = "HANDSHAKEN_VIEWS")]
    pub views: Option<PathBuf>,

    /// Which generation of the client library /socket.io/socket.io.js is
    #[arg(
        long,
        value_name = "GENERATION",
        env = "HANDSHAKEN_CLIENT",
        default_value = "4"
    )]
    pub client: ClientGeneration,

    /// Whether the client libraries that are served here have a page that reconnects ask for what it
    /// missed, instead of being told the last messages again
    #[arg(
        long,
        value_name = "SWITCH",
        env = "HANDSHAKEN_CATCH_UP",
        default_value = "on"
    )]
    pub catch_up: Switch,

    /// Folder of the message log; created when missing
    #[arg(
        long,
        value_name = "DIR",
        env = "HANDSHAKEN_DATA",
        default_value = "./data"
    )]
    pub data: PathBuf,

    /// What the store keeps: a number of messages per room (at least 1000), an age (90d; at least
    /// 1m), a size of the whole store (4GB; at least 64MB; the oldest messages of the largest rooms
    /// go), or several with commas; "all" keeps everything
    #[arg(long, value_name = "LIMITS", env = "HANDSHAKEN_RETAIN", default_value = "1000000,4GB", value_parser = retain)]
    pub retain: Retain,

    /// Name of this replica as pages show it, 1 to 253 characters [default: the machine's host name]
    #[arg(long, value_name = "NAME", env = "HANDSHAKEN_HOST_NAME", value_parser = host_name)]
    pub host_name: Option<String>,

    /// Time zone of the dates that pages show as text (Europe/Berlin) [default: the machine's]
    #[arg(long, value_name = "ZONE", env = "HANDSHAKEN_TIME_ZONE", value_parser = time_zone)]
    pub time_zone: Option<TimeZone>,

    /// Other origin whose pages may read answers and send credentials (https://chat.example), or *
    /// for any; may be given several times [default: none]
    #[arg(long, value_name = "ORIGIN", env = "HANDSHAKEN_CORS_ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub cors_origin: Vec<Origin>,

    /// Address or network of a proxy in front, 10.0.0.7 or 10.0.0.0/8, whose X-Forwarded-For and
    /// X-Forwarded-Proto are believed; may be given several times [default: none]
    #[arg(long, value_name = "NETWORK", env = "HANDSHAKEN_TRUSTED_PROXY", value_delimiter = ',', value_parser = proxy)]
    pub trusted_proxy: Vec<IpNet>,

    /// Rooms that clients of one address may open in an hour, by saying the first thing there, 1 to 1000000, or 0
    /// for no limit
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_NEW_ROOMS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub new_rooms: u32,

    /// Messages that a newcomer to a room gets, 0 to 1000
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_HISTORY", default_value_t = 25, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub history: u16,

    /// Largest message from a client, in bytes, over any transport, 1000 to 1000000
    #[arg(long, value_name = "BYTES", env = "HANDSHAKEN_MAX_MESSAGE", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub max_message: u32,

    /// Packets (events, mostly) that one connection may send per second, 1 to 1000000, or 0 for no
    /// limit; they are read evenly spaced. Whoever sends faster is slowed down, and after the flood
    /// timeout cut off. Answers that the server asked for do not count
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_EVENT_RATE", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub event_rate: u32,

    /// How long a connection that sends faster than the event rate may be slowed down, 1s to 1h
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_FLOOD_TIMEOUT", default_value = "10s", value_parser = duration("1s", "1h"))]
    pub flood_timeout: Duration,

    /// What may wait to be sent to one connection, in bytes, 100000 to 100000000; whoever reads
    /// too slowly for that is cut off and gets what it missed when it comes back
    #[arg(long, value_name = "BYTES", env = "HANDSHAKEN_MAX_BACKLOG", default_value_t = 1_048_576, value_parser = clap::value_parser!(u32).range(100_000..=100_000_000))]
    pub max_backlog: u32,

    /// What may wait to be sent to one connection, in packets, 16 to 1000000
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_MAX_BACKLOG_PACKETS", default_value = "8192", value_parser = count(16, 1_000_000))]
    pub max_backlog_packets: NonZeroUsize,

    /// How long a connection may accept no byte at all before it is taken for dead, and how long
    /// the body of a request may take, 1s to 5m
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_STALL_TIMEOUT", default_value = "20s", value_parser = duration("1s", "5m"))]
    pub stall_timeout: Duration,

    /// Connections at once, 1 to 10000000; more are told 503, a health check is answered. As many
    /// Socket.IO sessions; more are refused
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_MAX_CONNECTIONS", default_value = "50000", value_parser = count(1, 10_000_000))]
    pub max_connections: NonZeroUsize,

    /// Sessions, of Socket.IO and of bare WebSockets, that may begin in one second, 1 to 1000000, or 0
    /// for no limit; as many at once. More are kept waiting, for 10s at most, and then told 503
    #[arg(long, value_name = "COUNT", env = "HANDSHAKEN_HANDSHAKE_RATE", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub handshake_rate: u32,

    /// How often a Socket.IO connection is pinged, and a bare WebSocket that is silent, 1s to 1h
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_PING_INTERVAL", default_value = "25s", value_parser = duration("1s", "1h"))]
    pub ping_interval: Duration,

    /// How long the answer to a ping may take, 1s to 1h
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_PING_TIMEOUT", default_value = "20s", value_parser = duration("1s", "1h"))]
    pub ping_timeout: Duration,

    #[command(subcommand)]
    pub task: Option<Task>,

    #[command(flatten)]
    pub direct: Direct,

    #[command(flatten)]
    pub legacy: Legacy,

    #[command(flatten)]
    pub tokens: Tokens,

    #[command(flatten)]
    pub redis: Redis,

    #[command(flatten)]
    pub redis_bridges: RedisBridges,

    #[command(flatten)]
    pub cluster: Cluster,

    #[command(flatten)]
    pub bridges: Bridges,

    #[command(flatten)]
    pub accounts: Accounts,

    #[command(flatten)]
    pub sessions: Sessions,

    /// How long SIGTERM waits for clients and the store before the process ends anyway, 0s to 1h
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_DRAIN_TIMEOUT", default_value = "10s", value_parser = duration("0s", "1h"))]
    pub drain_timeout: Duration,

    /// How long SIGTERM lets /ready fail before clients are sent away, for balancers that ask it now
    /// and then, 0s to 1h
    #[arg(long, value_name = "DURATION", env = "HANDSHAKEN_DRAIN_DELAY", default_value = "0s", value_parser = duration("0s", "1h"))]
    pub drain_delay: Duration,

    /// Form of the log lines on stderr; RUST_LOG says which (info)
    #[arg(
        long,
        value_name = "FORMAT",
        env = "HANDSHAKEN_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Check the settings and exit
    #[arg(long)]
    pub check: bool,

    /// End the sharing of the users' table with the old chat and exit: Argon2id takes the place of
    /// its SHA-1, which lets nobody log in there any more. Servers of ours may be running
    #[arg(long, conflicts_with = "check")]
    pub finish_migration: bool,
}

/// What the program does instead of serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Look at all that these settings need (Redis, RabbitMQ, SQL, pages, ports, folders, clock, limits), change nothing,
    /// and say what is wrong and what to do; exit code 1 where something is wrong
    Doctor,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

impl Settings {
    /// Reads flags first, then the environment, then defaults.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, Refusal> {
        let mut unread = Vec::new();
        let files = SecretFiles::of_environment(&Self::command(), &mut unread);
        let (matches, mut mistakes) = mistakes::read(|| files.put_into(Self::anywhere()), args)?;
        mistakes.append(&mut unread);
        let settings = matches.and_then(|matches| Self::from_arg_matches(&matches).ok());
        let Some(mut settings) = settings else {
            return Err(mistakes::refusal(mistakes));
        };
        settings.check_together(&mut mistakes);
        if mistakes.is_empty() {
            Ok(settings)
        } else {
            Err(mistakes::refusal(mistakes))
        }
    }

    /// Takes every setting before a task's name as well as after it.
    fn anywhere() -> Command {
        Self::command().mut_args(|argument| argument.global(true))
    }

    /// The name of this replica.
    pub fn replica(&self) -> String {
        self.host_name.clone().unwrap_or_else(|| {
            hostname::get().map_or_else(
                |_| "localhost".into(),
                |name| name.to_string_lossy().into_owned(),
            )
        })
    }

    /// The time zone of dates that pages show as text.
    pub fn time_zone(&self) -> TimeZone {
        self.time_zone.clone().unwrap_or_else(TimeZone::system)
    }

    /// The folder whose template is shown at `/`.
    pub fn index_template(&self) -> Option<&Path> {
        let views = self.views.as_deref();
        views.filter(|views| views.join(index::FILE).exists())
    }

    fn check_together(&mut self, mistakes: &mut Vec<String>) {
        if self.listen.is_empty() {
            match port_of_the_old_servers() {
                Ok(port) => self
                    .listen
                    .push((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into()),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if let Some(dir) = self.public.as_ref().filter(|dir| !dir.is_dir()) {
            mistakes.push(format!("--public {}: not a folder", dir.display()));
        }
        if let Some(views) = &self.views {
            let has_client = views.join(kschat::FILE).exists();
            let mut errors = Vec::new();
            if has_client {
                errors.extend(kschat::read(views).err().into_iter().flatten());
            }
            // Where there is neither, it is this one that is missed.
            if !has_client || views.join(index::FILE).exists() {
                errors.extend(index::read(views).err().into_iter().flatten());
            }
            mistakes.extend(errors.iter().map(|error| format!("--views: {error}")));
        }
        if self.data.exists() && !self.data.is_dir() {
            mistakes.push(format!("--data {}: not a folder", self.data.display()));
        }
        if self.max_backlog < self.max_message {
            mistakes.push(format!(
                "--max-backlog {}: smaller than one message (--max-message {})",
                self.max_backlog, self.max_message
            ));
        }
        if self.max_backlog_packets.get() <= usize::from(self.history) {
            mistakes.push(format!(
                "--max-backlog-packets {}: no more than a newcomer gets at once (--history {})",
                self.max_backlog_packets, self.history
            ));
        }
        if self.drain_delay > self.drain_timeout {
            mistakes.push(format!(
                "--drain-delay {:?}: longer than all of --drain-timeout {:?}",
                self.drain_delay, self.drain_timeout
            ));
        }
        let services = Services::of_environment().unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            Services::default()
        });
        self.legacy.check_together(mistakes);
        self.tokens.check_together(&self.listen, mistakes);
        self.accounts
            .check_together(&self.data, &services, mistakes);
        self.sessions.check_together(mistakes);
        self.redis.check_together(&services, mistakes);
        self.check_shared(mistakes);
        (self.redis_bridges).check_together(&self.redis, mistakes);
        self.cluster
            .check_together(self.redis.address.is_some(), mistakes);
        self.bridges.check_together(&services, mistakes);
    }
}

/// The variables that the old Node servers read their port from.
fn port_of_the_old_servers() -> Result<u16, String> {
    for variable in ["NODE_PORT", "PORT"] {
        if let Ok(value) = std::env::var(variable)
            && !value.is_empty()
        {
            return value
                .parse()
                .map_err(|_| format!("{variable}={value}: not a port number (0 to 65535)"));
        }
    }
    Ok(3000)
}
