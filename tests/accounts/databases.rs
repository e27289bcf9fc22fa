//! Real databases for one test: MariaDB and PostgreSQL with their data in a folder that goes with them, on a port
//! of their own. What is not installed is a failure that says how to install it.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use sqlx::{AnyConnection, Connection, Executor};
use tempfile::TempDir;

use crate::harness::eventually;

/// Its special characters must survive the way through a URL.
pub const PASSWORD: &str = "geh:e@im/%";
const PASSWORD_IN_URL: &str = "geh%3Ae%40im%2F%25";

/// A database server that ends with the test.
pub struct Server {
    kind: Kind,
    folder: TempDir,
    port: u16,
    process: Child,
}

#[derive(Clone, Copy)]
enum Kind {
    MariaDb,
    Postgres,
}

impl Server {
    pub async fn mariadb() -> Self {
        let folder = TempDir::new().unwrap();
        let mut install = Command::new(program("mariadb-install-db", "mariadb-server"));
        install
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data(&folder)));
        install.args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            &this_user(),
        ]);
        // Several at once would take each other's temporary tables.
        run(&folder, install.env("TMPDIR", folder.path()));
        let first = format!(
            "CREATE USER IF NOT EXISTS chat IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON *.* TO chat WITH GRANT OPTION;\n\
             CREATE DATABASE IF NOT EXISTS chat CHARACTER SET latin1;\n\
             CREATE DATABASE IF NOT EXISTS other CHARACTER SET utf8;\n"
        );
        fs::write(folder.path().join("first.sql"), first).unwrap();
        Self::start(Kind::MariaDb, folder).await
    }

    pub async fn postgres() -> Self {
        let folder = TempDir::new().unwrap();
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            let mut chown = Command::new("chown");
            run(&folder, chown.args(["-R", "nobody"]).arg(folder.path()));
        }
        let mut initdb = as_nobody(&program("initdb", "postgresql"));
        initdb.args([
            "--username=chat",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        initdb
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data(&folder)));
        run(&folder, &mut initdb);
        Self::start(Kind::Postgres, folder).await
    }

    async fn start(kind: Kind, folder: TempDir) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = spawn(kind, &folder, port);
        let mut server = Self {
            kind,
            folder,
            port,
            process,
        };
        server.answers().await;
        server
    }

    /// Where a database of this server's is.
    pub fn url(&self, database: &str) -> String {
        let scheme = match self.kind {
            Kind::MariaDb => "mysql",
            Kind::Postgres => "postgres",
        };
        format!(
            "{scheme}://chat:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends it a signal: `STOP` makes it keep its connections and answer nothing, `CONT` lets it go on.
    pub fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        run(
            &self.folder,
            kill.args(["-s", signal, &self.process.id().to_string()]),
        );
    }

    /// Starts it again, at the same port.
    pub async fn restart(&mut self) {
        self.process = spawn(self.kind, &self.folder, self.port);
        self.answers().await;
    }

    async fn answers(&mut self) {
        let database = match self.kind {
            Kind::MariaDb => "chat",
            Kind::Postgres => "postgres",
        };
        let url = self.url(database);
        let Self {
            process, folder, ..
        } = self;
        eventually("the database server answers", async || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("the database server ended with {status}: {}", said(folder));
            }
            connect(&url)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection past the accounts, to set up and to look.
pub async fn connect(url: &str) -> Result<AnyConnection, sqlx::Error> {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(url).await
}

/// Makes a table of another program's, and fills it.
pub async fn prepare(url: &str, create: &'static str, fill: &'static str) {
    let mut database = connect(url).await.unwrap();
    database.execute(create).await.unwrap();
    database.execute(fill).await.unwrap();
}

/// The number that a query answers.
pub async fn one(database: &mut AnyConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(database).await.unwrap()
}

fn spawn(kind: Kind, folder: &TempDir, port: u16) -> Child {
    let (data, path) = (data(folder), folder.path().display());
    let mut command = match kind {
        Kind::MariaDb => {
            let mut command = Command::new(program("mariadbd", "mariadb-server"));
            command
                .arg("--no-defaults")
                .arg(format!("--datadir={data}"))
                .arg(this_user());
            command
                .arg(format!("--socket={path}/socket"))
                .arg(format!("--init-file={path}/first.sql"));
            // As lenient as servers were in the old chat's days: what does not fit is cut off in silence.
            command.arg(format!("--port={port}")).arg("--sql-mode=");
            command.args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--innodb-buffer-pool-size=16M",
            ]);
            command
        }
        Kind::Postgres => {
            let mut command = as_nobody(&program("postgres", "postgresql"));
            command.arg("-D").arg(&data).arg("-p").arg(port.to_string());
            command.args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "fsync=off",
                "-c",
                "unix_socket_directories=",
            ]);
            command
        }
    };
    let output = File::options()
        .create(true)
        .append(true)
        .open(folder.path().join("output"))
        .unwrap();
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output);
    command.spawn().unwrap()
}

fn run(folder: &TempDir, command: &mut Command) {
    let output = command.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn said(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("output")).unwrap_or_default()
}

fn data(folder: &TempDir) -> String {
    format!("{}/data", folder.path().display())
}

/// A program of a Debian package, some of which lie where no shell looks.
fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    // Before all: a server and its initdb must be of one version.
    let versions = versions.map(|version| version.path().join("bin"));
    let mut everywhere: Vec<PathBuf> = versions.collect();
    everywhere.sort();
    everywhere.extend(folders);
    let found = everywhere
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| Path::is_file(path));
    found.unwrap_or_else(|| panic!("{name} is missing: install it with apt-get install {package}"))
}

/// PostgreSQL refuses to run as root.
fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"])
        .arg(program);
    command
}

/// MariaDB does so only when it is told.
fn this_user() -> String {
    let user = Command::new("id").arg("-un").output().unwrap();
    format!("--user={}", String::from_utf8(user.stdout).unwrap().trim())
}

fn is_root() -> bool {
    this_user() == "--user=root"
}
