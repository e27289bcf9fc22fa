//! Arguments → settings → run → exit code.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use handshaken::{
    doctor,
    server::{self, Server},
    settings::{EXIT_USAGE, Settings, Task, env_file},
    telemetry,
};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let env_file = env_file::read();
    let settings = match (Settings::parse(std::env::args_os()), env_file) {
        (Ok(settings), Ok(())) => settings,
        (Err(refusal), _) if refusal.exit_code == 0 => {
            print!("{}", refusal.text);
            return ExitCode::SUCCESS;
        }
        (settings, env_file) => {
            // What follows may be wrong only because of it.
            if let Err(error) = env_file {
                eprintln!("handshaken: {error}");
            }
            if let Err(refusal) = settings {
                eprint!("{}", refusal.text);
            }
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if settings.check {
        println!("settings are right");
        return ExitCode::SUCCESS;
    }
    if settings.task == Some(Task::Doctor) {
        let report = doctor::examine(&settings);
        // Whoever reads it may stop early (`handshaken doctor | head`).
        let _ = write!(std::io::stdout(), "{report}");
        return if report.is_well() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    telemetry::start(settings.log_format);
    let done = if settings.finish_migration {
        finish_migration(&settings)
    } else {
        run(settings)
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn finish_migration(settings: &Settings) -> anyhow::Result<()> {
    println!("{}", server::finish_migration(settings).await?);
    Ok(())
}

#[tokio::main]
async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let drain_timeout = settings.drain_timeout;
    let server = Server::start(settings).await?;
    for address in server.addresses() {
        println!("listening on http://{address}");
    }
    if let Some(address) = server.cluster_address() {
        println!("listening for other replicas on http://{address}");
    }
    // Whoever waits for the line may read a pipe.
    std::io::stdout().flush()?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(?drain_timeout, "going down; a second signal ends at once");
    tokio::select! {
        drained = tokio::time::timeout(drain_timeout, server.stop()) => {
            drained.with_context(|| format!("not everybody was gone after {drain_timeout:?}; what was not acknowledged may not be kept"))
        }
        _ = terminate.recv() => anyhow::bail!("ended by a second signal"),
        _ = interrupt.recv() => anyhow::bail!("ended by a second signal"),
    }
}
