//! This machine: the data folder, the addresses to listen on, the limit on open files.

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};

use super::finding::{Finding, Level};
use crate::{log::embedded, settings::Settings, transport::listener};

/// Open files beside those of connections.
const OTHER_FILES: u64 = 50;

/// Less room than this is soon full, in bytes.
const LITTLE_ROOM: u64 = 1 << 30;

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let data = settings.data.clone();
    let (mut findings, runs) = tokio::task::spawn_blocking(move || folder(&data))
        .await
        .unwrap_or_default();
    findings.extend(settings.listen.iter().map(|address| port(*address, runs)));
    findings.push(files(settings.max_connections.get()));
    findings
}

/// How it stands with the data folder, and whether a server uses it now.
fn folder(data: &Path) -> (Vec<Finding>, bool) {
    const SUBJECT: &str = "data";
    let shown = data.display();
    let to_do = format!(
        "Give the user that runs the server the right to write there, or another --data than {shown}"
    );
    let there = nearest(data);
    let writable = try_to_write(&there);
    let mut findings = Vec::new();
    let mut runs = false;
    match writable {
        Err(error) => {
            let what = format!("{} cannot be written: {error}", there.display());
            findings.push(Finding::bad(SUBJECT, what, to_do));
        }
        Ok(()) if there != data => {
            findings.push(Finding::ok(SUBJECT, format!("{shown} will be made")));
        }
        Ok(()) => match embedded::is_in_use(data) {
            Ok(false) => findings.push(Finding::ok(SUBJECT, format!("{shown} can be written"))),
            Ok(true) => {
                runs = true;
                findings.push(Finding::warn(
                    SUBJECT,
                    format!("a server uses {shown} now"),
                    "If it is the one that you look at, all is well; two need two folders",
                ));
            }
            Err(error) => {
                let what = format!("{shown}/log.lock cannot be opened: {error}");
                findings.push(Finding::bad(SUBJECT, what, to_do));
            }
        },
    }
    if let Ok(system) = statvfs(&there)
        && findings.iter().all(|finding| finding.level != Level::Bad)
    {
        let room = system.f_bavail.saturating_mul(system.f_frsize);
        if room < LITTLE_ROOM {
            let what = format!("{} MB are left on the disk of {shown}", room / 1_000_000);
            findings.push(Finding::warn(
                SUBJECT,
                what,
                "Make room, or keep less (--retain)",
            ));
        }
    }
    (findings, runs)
}

/// The folder, or the one in which it will be made.
fn nearest(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.into());
    let mut there = absolute.as_path();
    while !there.is_dir() {
        match there.parent() {
            Some(parent) => there = parent,
            None => break,
        }
    }
    if there == absolute {
        folder.into()
    } else {
        there.into()
    }
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".handshaken-doctor-{}", std::process::id()));
    File::create_new(&file)?;
    fs::remove_file(file)
}

/// `runs`: a server with these settings seems to run already.
fn port(address: SocketAddr, runs: bool) -> Finding {
    const SUBJECT: &str = "port";
    let port = address.port();
    match listener::bind(address) {
        Ok(_) => Finding::ok(SUBJECT, format!("{address} is free")),
        Err(error) => {
            let what = format!("{address} cannot be listened on: {error}");
            match error.kind() {
                io::ErrorKind::AddrInUse if runs => Finding::warn(
                    SUBJECT,
                    format!("{address} is in use"),
                    "If by the server that uses the data folder, all is well",
                ),
                io::ErrorKind::AddrInUse => {
                    let who = format!("ss -ltnp 'sport = :{port}'");
                    let to_do = format!("Stop what does ({who} tells), or give another --listen");
                    Finding::bad(
                        SUBJECT,
                        format!("{address} is in use by another program"),
                        to_do,
                    )
                }
                io::ErrorKind::PermissionDenied => {
                    let to_do = "Ports below 1024 need a right: in systemd AmbientCapabilities=CAP_NET_BIND_SERVICE, \
                        or put a proxy in front";
                    Finding::bad(SUBJECT, what, to_do)
                }
                io::ErrorKind::AddrNotAvailable => {
                    let to_do = "Name an address of this machine (ip address), or 0.0.0.0 for all";
                    Finding::bad(SUBJECT, what, to_do)
                }
                _ => Finding::bad(SUBJECT, what, "Give another --listen"),
            }
        }
    }
}

fn files(connections: usize) -> Finding {
    const SUBJECT: &str = "open files";
    let needed = connections as u64 + OTHER_FILES;
    // None is no limit.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit >= needed {
        return Finding::ok(
            SUBJECT,
            format!("enough for --max-connections {connections} (in this shell)"),
        );
    }
    Finding::warn(
        SUBJECT,
        format!(
            "{limit} are allowed in this shell, enough for {} connections of --max-connections {connections}",
            limit.saturating_sub(OTHER_FILES)
        ),
        format!(
            "ulimit -n {needed}, in systemd LimitNOFILE={needed}, or a lower --max-connections"
        ),
    )
}
