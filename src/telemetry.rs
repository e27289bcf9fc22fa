//! Store lines on stderr. stdout carries only what other programs read: where the server listens.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::settings::LogFormat;

/// Libraries that write out all that goes over the wire when they are asked for everything: tokens and
/// passwords are in it. More is not to be had from them. What lapin tells as errors it also answers, and we tell it.
const TALKATIVE: [&str; 2] = ["tungstenite=info", "lapin=off"];

/// Starts logging for the whole process. `RUST_LOG` says what; `info` when it says nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .from_env_lossy();
    let filter = TALKATIVE.iter().fold(filter, |filter, limit| {
        filter.add_directive(limit.parse().expect("a directive"))
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().init(),
    }
}
