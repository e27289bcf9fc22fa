//! A real redis-server on a port and in a folder of its own: killed, stopped, started again, emptied.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use tempfile::TempDir;

use super::{DEADLINE, signal};

/// A redis-server; killed when dropped.
pub struct RedisServer {
    child: Child,
    port: u16,
    folder: TempDir,
    flags: Vec<String>,
}

impl RedisServer {
    /// Starts one that keeps everything before it answers.
    pub fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    pub fn start_with(flags: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let flags: Vec<_> = flags.iter().map(|flag| flag.to_string()).collect();
        let child = launch(port, &folder, &flags);
        let server = Self {
            child,
            port,
            folder,
            flags,
        };
        server.wait_until_ready();
        server
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Runs a command with redis-cli; what it printed.
    pub fn cli(&self, command: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("redis-cli cannot be run: install redis-tools");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Self::kill`], with what it kept.
    pub fn start_again(&mut self) {
        self.child = launch(self.port, &self.folder, &self.flags);
        self.wait_until_ready();
    }

    /// Stops the process in the middle of whatever it does; its connections stay open.
    pub fn pause(&self) {
        signal(&self.child, "STOP");
    }

    pub fn resume(&self) {
        signal(&self.child, "CONT");
    }

    /// The file that it appends what it keeps to.
    pub fn kept_in(&self) -> PathBuf {
        let folder = self.folder.path().join("appendonlydir");
        let files = fs::read_dir(folder).unwrap();
        let mut files = files.map(|file| file.unwrap().path());
        let is_tail = |file: &PathBuf| file.to_string_lossy().ends_with(".incr.aof");
        files.find(is_tail).expect("no append-only file")
    }

    fn wait_until_ready(&self) {
        let start = Instant::now();
        // One that asks for a password answers as well.
        while !["PONG", "NOAUTH"]
            .iter()
            .any(|ready| self.cli(&["ping"]).starts_with(ready))
        {
            assert!(start.elapsed() < DEADLINE, "redis-server does not answer");
            thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(port: u16, folder: &TempDir, flags: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--dir"])
        .arg(folder.path())
        .args(flags)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server cannot be run: install it with .ci/packages")
}
