//! The real program: started on a free port with a store of its own, killed, started again, told to end.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread,
};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{DEADLINE, eventually, program::without_settings, signal};

const PATIENCE: [&str; 4] = ["--drain-timeout", "5m", "--stall-timeout", "5m"];

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
    flags: Vec<String>,
    store: Arc<Mutex<Vec<String>>>,
}

/// A server that has ended, with what it kept.
pub struct Ended {
    address: SocketAddr,
    folder: TempDir,
    flags: Vec<String>,
}

impl Server {
    /// Starts one on a free port of the loopback address.
    pub fn start(flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        let folder = tempfile::tempdir().unwrap();
        Self::launch(([127, 0, 0, 1], 0).into(), folder, flags)
    }

    /// Starts one whose stop waits for minutes where it waits for anybody: `exit` does not, and fails.
    pub fn patient(flags: &[&str]) -> Self {
        Self::start(&[&PATIENCE, flags].concat())
    }

    fn launch(address: SocketAddr, folder: TempDir, flags: Vec<String>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handshaken"));
        let mut child = without_settings(&mut command)
            .args(["--listen", &address.to_string(), "--log-format", "json"])
            .arg("--data")
            .arg(folder.path().join("data"))
            .args(&flags)
            .current_dir(folder.path())
            .env("RUST_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let store = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), store.clone());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().push(line);
            }
        });
        let (stdout, (say, said)) = (child.stdout.take().unwrap(), mpsc::sync_channel(1));
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let mut server = Self {
            child,
            address,
            folder,
            flags,
            store,
        };
        server.address = match said.recv_timeout(DEADLINE) {
            Ok(line) => match line.strip_prefix("listening on http://") {
                Some(address) => address.parse().unwrap(),
                None => panic!("the first line is {line:?}"),
            },
            Err(error) => panic!("it does not start: {error}; {:?}", server.log()),
        };
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The lines it logged so far, JSON each.
    pub fn log(&self) -> Vec<String> {
        self.store.lock().clone()
    }

    /// Waits for a log line that holds all these words.
    pub async fn logged(&self, words: &[&str]) -> String {
        eventually(&format!("a log line with {words:?}"), async || {
            let store = self.log();
            let found = store
                .iter()
                .find(|line| words.iter().all(|word| line.contains(word)));
            found.cloned().ok_or_else(|| format!("{store:#?}"))
        })
        .await
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.unwrap().parse().unwrap()
    }

    /// Open file descriptors.
    pub fn files(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).unwrap().count()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.ended()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        signal(&self.child, "TERM");
    }

    /// Stops the process in the middle of whatever it does; its connections stay open.
    pub fn pause(&self) {
        signal(&self.child, "STOP");
    }

    pub fn resume(&self) {
        signal(&self.child, "CONT");
    }

    /// Waits until it ends by itself.
    pub async fn exit(mut self) -> (ExitStatus, Ended) {
        let status = eventually("the process ends", async || {
            let status = self.child.try_wait().unwrap();
            status.ok_or_else(|| format!("{:#?}", self.log()))
        })
        .await;
        (status, self.ended())
    }

    fn ended(mut self) -> Ended {
        Ended {
            address: self.address,
            folder: std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap()),
            flags: std::mem::take(&mut self.flags),
        }
    }
}

impl Ended {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The same, to be started with other flags.
    pub fn with_flags(mut self, flags: &[&str]) -> Self {
        self.flags = flags.iter().map(|flag| flag.to_string()).collect();
        self
    }

    /// Starts it on the same port, with what it kept.
    pub fn start_again(self) -> Server {
        Server::launch(self.address, self.folder, self.flags)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the server's log: {:#?}", self.log());
        }
    }
}
