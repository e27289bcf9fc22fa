//! Every flag and variable: name, default, unit, range. All of them are checked before a port is
//! bound, and all mistakes are told at once. README's table is compared with this file by a test.

use std::{
    ffi::OsString,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::{log::embedded::Retain, transport::web::ClientGeneration};

/// One chat server for every generation of Socket.IO page.
#[derive(Clone, Debug, Parser)]
#[command(name = "handshaken", version, max_term_width = 100)]
pub struct Settings {
    /// Address to listen on, HOST:PORT; may be given several times; port 0 takes a free one
    /// [default: 0.0.0.0:3000, or 0.0.0.0 with the port that NODE_PORT or PORT names]
    #[arg(long, value_name = "ADDR", env = "LISTEN", value_delimiter = ',')]
    pub listen: Vec<SocketAddr>,

    /// Folder with the pages to serve at / and /public/ [default: our own pages, from the binary]
    #[arg(long, value_name = "DIR", env = "PUBLIC")]
    pub public: Option<PathBuf>,

    /// Which generation of the client library /socket.io/socket.io.js is
    #[arg(long, value_name = "GENERATION", env = "CLIENT", default_value = "4")]
    pub client: ClientGeneration,

    /// Folder of the message log; created when missing
    #[arg(long, value_name = "DIR", env = "DATA", default_value = "./data")]
    pub data: PathBuf,

    /// What the log keeps: a number of messages per room, an age (90d), or both with a comma;
    /// "all" keeps everything
    #[arg(long, value_name = "LIMITS", env = "RETAIN", default_value = "1000000", value_parser = parse_retain)]
    pub retain: Retain,

    /// Name of this replica as pages show it [default: the machine's host name]
    #[arg(long, value_name = "NAME", env = "HOST_NAME")]
    pub host_name: Option<String>,

    /// Other origin whose pages may connect with credentials (https://chat.example), or * for any;
    /// may be given several times [default: same origin only]
    #[arg(long, value_name = "ORIGIN", env = "CORS_ORIGIN", value_delimiter = ',', value_parser = parse_origin)]
    pub cors_origin: Vec<Origin>,

    /// Messages that a newcomer to a room gets, 0 to 1000
    #[arg(long, value_name = "COUNT", env = "HISTORY", default_value_t = 25, value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub history: u16,

    /// Largest message from a client, in bytes, over any transport, 1000 to 1000000
    #[arg(long, value_name = "BYTES", env = "MAX_MESSAGE", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    pub max_message: u32,

    /// Events that one connection may send per second, over a longer time; twice as many at once;
    /// 0 for no limit. Whoever sends faster is slowed down, and after the flood timeout cut off
    #[arg(long, value_name = "COUNT", env = "EVENT_RATE", default_value_t = 50)]
    pub event_rate: u32,

    /// How long a connection may go on sending faster than the event rate
    #[arg(long, value_name = "DURATION", env = "FLOOD_TIMEOUT", default_value = "10s", value_parser = parse_duration)]
    pub flood_timeout: Duration,

    /// What may wait to be sent to one connection, in bytes, 100000 to 100000000; whoever reads
    /// too slowly for that is cut off and gets what it missed when it comes back
    #[arg(long, value_name = "BYTES", env = "MAX_BACKLOG", default_value_t = 1_048_576, value_parser = clap::value_parser!(u32).range(100_000..=100_000_000))]
    pub max_backlog: u32,

    /// What may wait to be sent to one connection, in packets
    #[arg(
        long,
        value_name = "COUNT",
        env = "MAX_BACKLOG_PACKETS",
        default_value = "8192"
    )]
    pub max_backlog_packets: NonZeroUsize,

    /// How long a connection may accept no byte at all before it is taken for dead, 1s to 5m
    #[arg(long, value_name = "DURATION", env = "STALL_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    pub stall_timeout: Duration,

    /// Connections at once; more wait to be accepted
    #[arg(
        long,
        value_name = "COUNT",
        env = "MAX_CONNECTIONS",
        default_value = "50000"
    )]
    pub max_connections: NonZeroUsize,

    /// How often an idle Socket.IO connection is pinged
    #[arg(long, value_name = "DURATION", env = "PING_INTERVAL", default_value = "25s", value_parser = parse_duration)]
    pub ping_interval: Duration,

    /// How long the answer to a ping may take
    #[arg(long, value_name = "DURATION", env = "PING_TIMEOUT", default_value = "20s", value_parser = parse_duration)]
    pub ping_timeout: Duration,

    /// How long SIGTERM waits for clients and the log before the process ends anyway
    #[arg(long, value_name = "DURATION", env = "DRAIN_TIMEOUT", default_value = "10s", value_parser = parse_duration)]
    pub drain_timeout: Duration,

    /// Form of the log lines on stderr; RUST_LOG says which (info)
    #[arg(
        long,
        value_name = "FORMAT",
        env = "LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,

    /// Check the settings and exit
    #[arg(long)]
    pub check: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Whose pages may connect with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Any,
    /// `scheme://host[:port]`, as browsers send it.
    Exactly(String),
}

/// Why the program does not start, or `--help` and `--version`: what to print, and the exit code.
#[derive(Debug)]
pub struct Refusal {
    pub text: String,
    pub exit_code: u8,
}

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;

impl Settings {
    /// Reads flags first, then the environment, then defaults.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, Refusal> {
        let mut matches = None;
        let mut mistakes = Vec::new();
        let mut args: Vec<OsString> = args.into_iter().collect();
        // clap stops at the first mistake; the flag it names is left out and the rest is read
        // again, so that all are told at once.
        while matches.is_none() {
            match Self::command().try_get_matches_from(&args) {
                Ok(found) => matches = Some(found),
                Err(error) if !error.use_stderr() => {
                    return Err(Refusal {
                        text: error.to_string(),
                        exit_code: 0,
                    });
                }
                Err(error) => {
                    mistakes.push(first_paragraph(&error.to_string()));
                    if !leave_out(&mut args, &error) {
                        break;
                    }
                }
            }
        }
        let settings = matches.and_then(|matches| Self::from_arg_matches(&matches).ok());
        let mut settings = match settings {
            Some(settings) => settings,
            None => return Err(usage(mistakes)),
        };
        settings.check_together(&mut mistakes);
        if mistakes.is_empty() {
            Ok(settings)
        } else {
            Err(usage(mistakes))
        }
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
        if self.data.exists() && !self.data.is_dir() {
            mistakes.push(format!("--data {}: not a folder", self.data.display()));
        }
        if self.max_backlog < self.max_message {
            mistakes.push(format!(
                "--max-backlog {}: smaller than one message (--max-message {})",
                self.max_backlog, self.max_message
            ));
        }
        let durations = [
            ("--flood-timeout", self.flood_timeout, 1, 3600),
            ("--stall-timeout", self.stall_timeout, 1, 300),
            ("--ping-interval", self.ping_interval, 1, 3600),
            ("--ping-timeout", self.ping_timeout, 1, 3600),
            ("--drain-timeout", self.drain_timeout, 0, 3600),
        ];
        for (flag, value, least, most) in durations {
            if value < Duration::from_secs(least) || value > Duration::from_secs(most) {
                mistakes.push(format!(
                    "{flag} {value:?}: must lie between {least} s and {most} s"
                ));
            }
        }
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

fn usage(mistakes: Vec<String>) -> Refusal {
    let mut text = String::new();
    for mistake in mistakes {
        text.push_str(&format!("handshaken: {mistake}\n"));
    }
    text.push_str("handshaken: see --help for all settings\n");
    Refusal {
        text,
        exit_code: EXIT_USAGE,
    }
}

/// The part of clap's message that names the mistake, without the usage lines that follow.
fn first_paragraph(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    message
        .split("\n\n")
        .next()
        .unwrap_or(message)
        .trim()
        .replace("\n", " ")
}

/// Takes the argument that clap stumbled over out of `args`; false when it cannot be found there.
fn leave_out(args: &mut Vec<OsString>, error: &clap::Error) -> bool {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidArg) else {
        return false;
    };
    let flag = name.split_whitespace().next().unwrap_or(name);
    let Some(at) = args.iter().position(|arg| {
        let arg = arg.to_string_lossy();
        arg == flag
            || arg
                .strip_prefix(flag)
                .is_some_and(|rest| rest.starts_with('='))
    }) else {
        return false;
    };
    let flag = args.remove(at);
    let takes_value = !flag.to_string_lossy().contains('=');
    if takes_value
        && args
            .get(at)
            .is_some_and(|next| !next.to_string_lossy().starts_with("--"))
    {
        args.remove(at);
    }
    true
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "not a duration such as 500ms, 10s or 5m".to_owned())?;
    Duration::try_from(span).map_err(|_| "a duration cannot be negative".to_owned())
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    if text == "*" {
        return Ok(Origin::Any);
    }
    let uri: http::Uri = text
        .parse()
        .map_err(|_| "not an origin such as https://chat.example:8443".to_owned())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if uri.path() == "/" && !text.ends_with('/') => {
            Ok(Origin::Exactly(
                format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
                    .to_ascii_lowercase(),
            ))
        }
        _ => Err(
            "not an origin such as https://chat.example:8443 (scheme and host, no path)".to_owned(),
        ),
    }
}

fn parse_retain(text: &str) -> Result<Retain, String> {
    let mut retain = Retain {
        messages_per_room: None,
        age: None,
    };
    if text == "all" {
        return Ok(retain);
    }
    for limit in text.split(',') {
        if let Ok(messages) = limit.parse::<u64>() {
            if messages < 1000 {
                return Err(
                    "fewer than 1000 messages per room are too few for readers who come back"
                        .into(),
                );
            }
            retain.messages_per_room = Some(messages);
        } else {
            retain.age = Some(parse_age(limit)?);
        }
    }
    Ok(retain)
}

/// `90d` as well as what [`parse_duration`] takes.
fn parse_age(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) if days > 0 => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        _ => parse_duration(text)
            .map_err(|_| "not a number of messages or an age such as 90d".to_owned()),
    }
}
