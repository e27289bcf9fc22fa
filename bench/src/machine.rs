//! What a reader must know about where the numbers come from: machine, versions, what else was running.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use crate::cores::Cores;
use crate::server::{Kind, Programs};
use crate::{prepare, proc};

/// Descriptors that the benchmark needs besides its connections, generously.
const SPARE_FILES: u64 = 200;

/// Where and of what the measurement was made.
#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: String,
    pub kernel: String,
    pub memory: String,
    pub data: String,
    pub busy: String,
    pub node: String,
    pub handshaken: String,
    pub rustc: String,
}

impl Machine {
    pub fn look(cores: &Cores, programs: &Programs, kinds: &[Kind]) -> Self {
        let gib = proc::memory_bytes().unwrap_or_default() as f64 / f64::from(1 << 30);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or_default().to_owned();
        let unmeasured = || "not measured".to_owned();
        Self {
            cpu: proc::cpu_model().unwrap_or_else(|| "unknown".to_owned()),
            cores: format!(
                "{} for the server, {} for the load clients",
                cores.server(),
                cores.load()
            ),
            kernel: said("uname", &["-sr"]),
            memory: format!("{gib:.1} GiB"),
            data: said(
                "findmnt",
                &["-no", "FSTYPE", "-T", &programs.data_root.to_string_lossy()],
            ),
            busy: load,
            node: if kinds.contains(&Kind::Node) {
                format!(
                    "{}, socket.io {}, ws {}; keeps nothing, acknowledges from memory",
                    said("node", &["--version"]),
                    package_version(&programs.node_folder, "socket.io"),
                    package_version(&programs.node_folder, "ws")
                )
            } else {
                unmeasured()
            },
            handshaken: if kinds.contains(&Kind::Handshaken) {
                let version = said(&programs.handshaken.to_string_lossy(), &["--version"]);
                let origin = if programs.of_this_checkout {
                    format!("commit {}", commit())
                } else {
                    "a given binary, of an unknown commit".to_owned()
                };
                format!("{version}, {origin}; keeps every message in its embedded log")
            } else {
                unmeasured()
            },
            rustc: said("rustc", &["--version"]),
        }
    }
}

fn commit() -> String {
    let home = prepare::home().to_string_lossy();
    let commit = said("git", &["-C", &home, "rev-parse", "--short", "HEAD"]);
    let changed = said("git", &["-C", &home, "status", "--porcelain", "-uno"]);
    if changed.is_empty() {
        commit
    } else {
        format!("{commit} with changes")
    }
}

fn package_version(folder: &Path, package: &str) -> String {
    fs::read_to_string(folder.join(format!("node_modules/{package}/package.json")))
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .and_then(|package| Some(package.get("version")?.as_str()?.to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}

/// Raises this process's limit of open files, which its children inherit, and says how many connections of
/// `wanted` fit into it.
pub fn connections_within_limit(wanted: usize) -> Result<usize> {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let raised = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
    let room = most.saturating_sub(SPARE_FILES);
    if room == 0 {
        bail!("a limit of {most} open files leaves no room for connections; raise it (ulimit -Hn)");
    }
    Ok(wanted.min(usize::try_from(room).unwrap_or(usize::MAX)))
}
