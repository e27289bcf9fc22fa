//! `cargo run --release -p bench`: measures Handshaken and a Node Socket.IO server in turn on this machine, and writes
//! a table of both. README.md in this folder says what is measured, and how to read it.

mod balancer;
mod clock;
mod cluster;
mod cores;
mod machine;
mod measure;
mod network;
mod outside;
mod pace;
mod poller;
mod prepare;
mod proc;
mod report;
mod scenario;
mod server;
mod stats;
mod swarm;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use jiff::Timestamp;

use crate::cores::Cores;
use crate::machine::Machine;
use crate::pace::Pace;
use crate::report::{Report, Round};
use crate::scenario::{Scenario, Stage};
use crate::server::Kind;

/// Measures Handshaken beside a Node Socket.IO server on this machine
#[derive(Parser)]
struct Arguments {
    /// Scenarios to measure, all by default; a to k are short for them
    scenarios: Vec<Scenario>,
    /// The same as a list: --only fanout,storm
    #[arg(long, value_delimiter = ',', conflicts_with = "scenarios")]
    only: Vec<Scenario>,
    /// Short windows, one round: under 90 seconds, rougher numbers
    #[arg(long)]
    quick: bool,
    /// How long the clients of (g) poll, instead of 60 s, or 5 s with --quick
    #[arg(long, value_name = "SECONDS")]
    polling: Option<u64>,
    /// Servers to measure
    #[arg(long, value_delimiter = ',', default_values_t = [Kind::Node, Kind::Handshaken], value_enum)]
    servers: Vec<Kind>,
    /// A Handshaken binary to measure instead of building the one of this checkout
    #[arg(long, value_name = "PATH")]
    handshaken: Option<PathBuf>,
    /// Cores for the servers; the load clients get the others [default: half]
    #[arg(long, value_name = "N")]
    server_cores: Option<usize>,
    /// Where Handshaken's data goes while it is measured; a disk, not tmpfs [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Where the report goes [default: results beside the benchmark's source]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::parse();
    ctrlc::set_handler(interrupted).context("cannot watch for interrupts")?;

    arguments.servers.sort();
    arguments.servers.dedup();
    let kinds = arguments.servers;
    let programs = prepare::programs(&kinds, arguments.handshaken, arguments.data_root)?;
    machine::connections_within_limit(0)?;
    let cores = Cores::divide(arguments.server_cores)?;
    let mut pace = if arguments.quick {
        Pace::QUICK
    } else {
        Pace::FULL
    };
    if let Some(seconds) = arguments.polling {
        pace.polling = Duration::from_secs(seconds);
    }
    let mut report = Report {
        time: Timestamp::now(),
        command: command_line(),
        machine: Machine::look(&cores, &programs, &kinds),
        pace,
        rounds: Vec::new(),
        failures: Vec::new(),
    };
    let stage = Stage::new(programs, cores, pace);
    let mut scenarios = [arguments.scenarios, arguments.only].concat();
    if scenarios.is_empty() {
        scenarios = Scenario::value_variants().to_vec();
    }
    scenarios.sort();
    scenarios.dedup();
    for (turn, scenario) in scenarios.into_iter().enumerate() {
        let rounds = if scenario.repeats() { pace.rounds } else { 1 };
        for round in 0..rounds {
            // Who goes first changes, so that neither always finds the machine as the other left it.
            let mut order = kinds.clone();
            if (turn + round) % 2 == 1 {
                order.reverse();
            }
            for kind in order {
                measure(scenario, kind, round, &stage, &mut report);
            }
        }
    }

    let folder = arguments
        .results
        .unwrap_or_else(|| prepare::home().join("results"));
    println!("{}", report.write(&folder)?);
    Ok(if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever interrupts a benchmark wants it gone: only the servers it started must not outlive it"
)]
fn interrupted() {
    server::end_all();
    std::process::exit(130);
}

fn measure(scenario: Scenario, kind: Kind, round: usize, stage: &Stage, report: &mut Report) {
    let title = scenario.title();
    let started = Instant::now();
    match scenario.measure(kind, stage) {
        Ok(measures) => {
            let seconds = started.elapsed().as_secs_f64();
            eprintln!("{title}, {kind:?}, round {}: {seconds:.1} s", round + 1);
            report.rounds.push(Round {
                scenario,
                server: kind,
                round,
                measures,
            });
        }
        Err(error) => {
            eprintln!("{title}, {kind:?}, round {}: {error:#}", round + 1);
            report
                .failures
                .push(format!("{title}, {kind:?}: {error:#}"));
        }
    }
}

/// As it was typed, without the folders of this machine.
fn command_line() -> String {
    let name = |argument: String| argument.rsplit('/').next().map(str::to_owned);
    let arguments: Vec<_> = std::env::args().skip(1).filter_map(name).collect();
    let mut line = "cargo run --release -p bench".to_owned();
    if !arguments.is_empty() {
        line += " -- ";
        line += &arguments.join(" ");
    }
    line
}
