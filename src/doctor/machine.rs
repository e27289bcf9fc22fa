//! This machine: the data folder, the addresses to listen on, the limit on open files.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    fs::statvfs,
    process::{Resource, getrlimit},
};

use super::finding::Finding;
use crate::{settings::Settings, store::sqlite, transport::listener};

/// Open files beside those of connections.
const OTHER_FILES: u64 = 50;

/// Less room than this is soon full, in bytes.
const LITTLE_ROOM: u64 = 1 << 30;

/// How long whoever has a port may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);

const LONGEST_ANSWER: usize = 4096;

pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let data = settings.data.clone();
    let mut listen = settings.listen.clone();
    listen.extend(settings.cluster.cluster_listen);
    let connections = settings.max_connections.get();
    let looking = tokio::task::spawn_blocking(move || {
        let mut findings = folder(&data);
        findings.extend(listen.into_iter().map(port));
        findings.push(files(connections));
        findings
    });
    looking.await.unwrap_or_default()
}

/// How it stands with the data folder.
fn folder(data: &Path) -> Vec<Finding> {
    const SUBJECT: &str = "data";
    let shown = data.display();
    let to_do = format!(
        "Give the user that runs the server the right to write there, or another --data than {shown}"
    );
    let there = nearest(data);
    if let Err(error) = try_to_write(&there) {
        let what = format!("{} cannot be written: {error}", there.display());
        return vec![Finding::bad(SUBJECT, what, to_do)];
    }
    let mut findings = vec![match sqlite::is_in_use(data) {
        _ if there != data => Finding::ok(SUBJECT, format!("{shown} will be made")),
        Ok(false) => Finding::ok(SUBJECT, format!("{shown} can be written")),
        Ok(true) => Finding::warn(
            SUBJECT,
            format!("a server uses {shown} now"),
            "If it is the one that you look at, all is well; two need two folders",
        ),
        Err(error) => {
            let what = format!("{shown}/log.lock cannot be opened: {error}");
            Finding::bad(SUBJECT, what, to_do)
        }
    }];
    if let Ok(system) = statvfs(&there) {
        let room = system.f_bavail.saturating_mul(system.f_frsize);
        if room < LITTLE_ROOM {
            let what = format!("{} MB are left on the disk of {shown}", room / 1_000_000);
            let to_do = "Make room, or keep less (--retain)";
            findings.push(Finding::warn(SUBJECT, what, to_do));
        }
    }
    findings
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

fn port(address: SocketAddr) -> Finding {
    const SUBJECT: &str = "port";
    let port = address.port();
    let error = match listener::bind(address) {
        Ok(_) => return Finding::ok(SUBJECT, format!("{address} is free")),
        Err(error) => error,
    };
    let what = format!("{address} cannot be listened on: {error}");
    match error.kind() {
        io::ErrorKind::AddrInUse if is_ours(address) => Finding::warn(
            SUBJECT,
            format!("{address} is in use by a Handshaken server"),
            "If it is the one that you look at, all is well",
        ),
        io::ErrorKind::AddrInUse => Finding::bad(
            SUBJECT,
            format!("{address} is in use by another program"),
            format!("Stop that (ss -ltnp 'sport = :{port}' tells which), or give another --listen"),
        ),
        io::ErrorKind::PermissionDenied => Finding::bad(
            SUBJECT,
            what,
            "Ports below 1024 need a right: AmbientCapabilities=CAP_NET_BIND_SERVICE in systemd, or a proxy in front",
        ),
        io::ErrorKind::AddrNotAvailable => Finding::bad(
            SUBJECT,
            what,
            "Name an address of this machine (ip address shows them), or 0.0.0.0 for all",
        ),
        _ => Finding::bad(SUBJECT, what, "Give another --listen"),
    }
}

/// Whether a server of ours answers at an address.
fn is_ours(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut address = address;
        if address.ip().is_unspecified() {
            let loopback = match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            };
            address.set_ip(loopback);
        }
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n")?;
        let (mut answer, mut part) = (Vec::new(), [0; 1024]);
        // It may be anybody, and speak as slowly as it likes.
        let deadline = Instant::now() + PATIENCE;
        while answer.len() < LONGEST_ANSWER && Instant::now() < deadline {
            match stream.read(&mut part)? {
                0 => break,
                bytes => answer.extend_from_slice(&part[..bytes]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).contains(r#"{"ready":"#))
    };
    ask().unwrap_or(false)
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
