//! The measured servers as child processes: built or installed if need be, started on a free port, ended for sure.
//! Every child and its directory are in one registry, so that an interrupt ends them too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use serde::Serialize;
use tempfile::TempDir;

use crate::cores::Cores;
use crate::proc;
use crate::wire::language::Language;

const START_LIMIT: Duration = Duration::from_secs(20);
/// What the tokens of those who write direct messages are signed with.
pub const TOKEN_SECRET: &str = "the benchmark has no secrets from anybody";
const READY: &str = "listening on http://";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Node,
    Handshaken,
}

/// What Handshaken holds its clients to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rules {
    /// No event rate, as Node has none: for load that few clients make in place of many.
    Lifted,
    Default,
}

/// Where the servers' programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub handshaken: PathBuf,
    /// Whether that was built from this checkout just now.
    pub of_this_checkout: bool,
    pub node_folder: PathBuf,
    /// Where data directories are made.
    pub data_root: PathBuf,
}

impl Programs {
    fn folder(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix("handshaken-bench-")
            .tempdir_in(&self.data_root)
            .with_context(|| format!("cannot make a folder in {}", self.data_root.display()))
    }

    fn command(&self, kind: Kind, language: Language, rules: Rules, data: &Path) -> Command {
        let mut command;
        let variables: &[(&str, &str)];
        match kind {
            Kind::Node => {
                command = Command::new("node");
                command.arg(self.node_folder.join(match language {
                    Language::SocketIo(_) => "server.mjs",
                    Language::Bare => "bare.mjs",
                }));
                variables = &[("NODE_ENV", "production")];
            }
            Kind::Handshaken => {
                command = Command::new(&self.handshaken);
                command.args(["--listen", "127.0.0.1:0", "--data"]);
                command.arg(data.join("data"));
                if rules == Rules::Lifted {
                    command.args(["--event-rate", "0"]);
                }
                variables = &[
                    ("RUST_LOG", "warn"),
                    ("HANDSHAKEN_JWT_SECRET", TOKEN_SECRET),
                ];
            }
        }
        // Neither a `.env` file where the benchmark is started nor a variable meant for somebody's own server may
        // change what is measured.
        command.current_dir(data).env_clear();
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        for (name, value) in variables {
            command.env(name, value);
        }
        command
    }
}

/// A running server; dropping it kills it.
pub struct Server {
    pub address: SocketAddr,
    pub pid: u32,
}

impl Server {
    /// Starts a server on its cores and waits until it accepts.
    pub fn start(
        kind: Kind,
        language: Language,
        rules: Rules,
        programs: &Programs,
        cores: &Cores,
    ) -> Result<Self> {
        let folder = programs.folder()?;
        let command = programs.command(kind, language, rules, folder.path());
        Self::listening(kind, command, folder, cores)
    }

    /// Starts one of several replicas of Handshaken.
    pub fn start_replica(redis: &str, programs: &Programs, cores: &Cores) -> Result<Self> {
        let folder = programs.folder()?;
        let mut command = programs.command(
            Kind::Handshaken,
            Language::SocketIo("/"),
            Rules::Lifted,
            folder.path(),
        );
        command.args(["--cluster-listen", "127.0.0.1:0", "--redis", redis]);
        Self::listening(Kind::Handshaken, command, folder, cores)
    }

    /// Starts another program on the servers' cores, in a folder of its own. Nothing is known of it yet but where it
    /// is going to listen.
    pub fn spawn_in(
        address: SocketAddr,
        programs: &Programs,
        cores: &Cores,
        command: impl FnOnce(&Path) -> Result<Command>,
    ) -> Result<Self> {
        let folder = programs.folder()?;
        let mut command = command(folder.path())?;
        command.current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = cores
            .on_server(|| command.spawn())?
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let pid = child.id();
        RUNNING.lock().insert(pid, (child, folder));
        Ok(Self { address, pid })
    }

    /// Starts a server that says where it listens.
    fn listening(kind: Kind, mut command: Command, folder: TempDir, cores: &Cores) -> Result<Self> {
        let log_limit = folder.path().join("stderr");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log_limit).context("cannot make a file for stderr")?);
        let mut child = cores
            .on_server(|| command.spawn())?
            .with_context(|| format!("cannot start {kind:?} ({:?})", command.get_program()))?;
        let output = child.stdout.take().context("the server has no stdout")?;
        let mut server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            pid: child.id(),
        };
        RUNNING.lock().insert(child.id(), (child, folder));

        let (sender, lines) = mpsc::sync_channel(1);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // After the line that is waited for, reading on only keeps the pipe empty.
                let _ = sender.send(line);
            }
        });
        loop {
            match lines.recv_timeout(START_LIMIT) {
                Ok(line) => {
                    if let Some(address) = line.strip_prefix(READY) {
                        server.address = address
                            .parse()
                            .with_context(|| format!("{kind:?} says it listens on {address:?}"))?;
                        return Ok(server);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{kind:?} does not say {READY:?} within {START_LIMIT:?}")
                }
                Err(RecvTimeoutError::Disconnected) => bail!(
                    "{kind:?} ended before it accepted: {}",
                    fs::read_to_string(&log_limit).unwrap_or_default().trim()
                ),
            }
        }
    }

    /// CPU seconds used so far; an error when the server has died.
    pub fn cpu_seconds(&self) -> Result<f64> {
        proc::cpu_seconds(self.pid).context("the measured server has died")
    }

    /// Resident memory now, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        proc::resident_bytes(self.pid).context("the measured server has died")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let entry = RUNNING.lock().remove(&self.pid);
        if let Some((child, folder)) = entry {
            end(child, folder);
        }
    }
}

static RUNNING: LazyLock<Mutex<BTreeMap<u32, (Child, TempDir)>>> = LazyLock::new(Mutex::default);

/// Kills all running servers and removes what they have written.
pub fn end_all() {
    let mut running = RUNNING.lock();
    while let Some((_, (child, folder))) = running.pop_first() {
        end(child, folder);
    }
}

fn end(mut child: Child, folder: TempDir) {
    // Both fail only when it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
    if let Err(error) = folder.close() {
        eprintln!("bench: cannot remove what a server has written: {error}");
    }
}
