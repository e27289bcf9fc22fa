//! A real RabbitMQ on ports and in a folder of its own: stopped, killed, started again, short of memory. It ends
//! with the test program, however that ends.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Where the programs are: what Debian puts into the path insists on a user of its own.
const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// It takes seconds to start on an idle machine.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// Ends the broker and its port mapper when the test program closes its end, as it does when it dies.
const WATCHED: &str = "
    epmd -port $ERL_EPMD_PORT &
    $PROGRAMS/rabbitmq-server >$HOME/out 2>&1 &
    read -r _
    kill -9 -$$";

/// A broker; ended when dropped.
pub struct RabbitServer {
    running: Option<(Child, ChildStdin)>,
    folder: TempDir,
    port: u16,
    settings: Vec<(&'static str, String)>,
}

impl RabbitServer {
    /// Somebody else may be quicker to take a port that was free.
    pub fn start() -> Self {
        (0..3)
            .find_map(|_| Self::try_start())
            .expect("rabbitmq-server does not start: install it with .ci/packages")
    }

    fn try_start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let [port, dist, mapper] = free_ports();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("plugins"), "[].\n").unwrap();
        let config = format!("listeners.tcp.default = 127.0.0.1:{port}\nheartbeat = 10\n");
        std::fs::write(path("rabbit.conf"), config).unwrap();
        let settings = vec![
            ("PROGRAMS", PROGRAMS.into()),
            ("HOME", folder.path().display().to_string()),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
            ("RABBITMQ_NODENAME", format!("handshaken-{port}@localhost")),
            ("RABBITMQ_DIST_PORT", dist.to_string()),
            ("RABBITMQ_CONFIG_FILE", path("rabbit")),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_MNESIA_BASE", path("mnesia")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_LOGS", path("broker.log")),
        ];
        let mut server = Self {
            running: None,
            folder,
            port,
            settings,
        };
        server.launch().then_some(server)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// A place of its own on the broker: exchanges of one are unknown in the others.
    pub fn place(&self) -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let vhost = format!("v{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.ctl(&["add_vhost", &vhost]);
        self.ctl(&["set_permissions", "-p", &vhost, "guest", ".*", ".*", ".*"]);
        Place {
            address: self.address(),
            vhost,
            settings: self.settings.clone(),
        }
    }

    /// Runs a command with rabbitmqctl; what it printed.
    pub fn ctl(&self, command: &[&str]) -> String {
        printed(command, &ctl(&self.settings, command))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some((mut child, stdin)) = self.running.take() {
            drop(stdin);
            child.wait().unwrap();
        }
    }

    /// Stops in good order.
    pub fn stop(&mut self) {
        self.ctl(&["stop_app"]);
        self.kill();
    }

    /// Starts it again after [`Self::kill`], with what it kept.
    pub fn start_again(&mut self) {
        assert!(
            self.launch(),
            "rabbitmq-server does not start again: {}",
            self.out()
        );
    }

    fn out(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }

    /// False where it cannot start.
    fn launch(&mut self) -> bool {
        let mut child = Command::new("sh")
            .args(["-c", WATCHED])
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        self.running = Some((child, stdin));
        let start = Instant::now();
        let is_up = || TcpStream::connect(self.address()).is_ok();
        while !is_up() || !ctl(&self.settings, &["await_startup"]).status.success() {
            let out = self.out();
            if out.contains("BOOT FAILED") {
                eprintln!("{out}");
                return false;
            }
            assert!(
                start.elapsed() < START_DEADLINE,
                "rabbitmq-server does not start: {out}"
            );
            thread::park_timeout(Duration::from_millis(100));
        }
        true
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Exchanges that nobody else uses.
pub struct Place {
    address: SocketAddr,
    pub vhost: String,
    settings: Vec<(&'static str, String)>,
}

impl Place {
    pub fn url(&self) -> String {
        self.url_through(self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs a command with rabbitmqctl; what it printed.
    pub fn broker_ctl(&self, command: &[&str]) -> String {
        printed(command, &ctl(&self.settings, command))
    }

    /// The same by another way.
    pub fn url_through(&self, address: SocketAddr) -> String {
        format!("amqp://guest:guest@{address}/{}", self.vhost)
    }
}

fn ctl(settings: &[(&'static str, String)], command: &[&str]) -> Output {
    Command::new(format!("{PROGRAMS}/rabbitmqctl"))
        .arg("--quiet")
        .args(command)
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("rabbitmqctl cannot be run: install rabbitmq-server with .ci/packages")
}

fn printed(command: &[&str], output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rabbitmqctl {command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Ports that nobody listens on. Below those that the system gives out for connections: Erlang
/// cannot listen where one has been a minute ago.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let mut free: Vec<TcpListener> = Vec::new();
    while free.len() < COUNT {
        let drawn = 10_000 + getrandom::u32().unwrap() % 20_000;
        // All of them are held at once, so that none is given out twice.
        free.extend(TcpListener::bind(("127.0.0.1", drawn as u16)));
    }
    let ports: Vec<_> = free
        .iter()
        .map(|free| free.local_addr().unwrap().port())
        .collect();
    ports.try_into().unwrap()
}
