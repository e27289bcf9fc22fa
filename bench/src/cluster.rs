//! Several replicas of Handshaken on one Redis of their own: what `server` is for one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::scenario::Stage;
use crate::server::Server;

const REDIS_LIMIT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// Until each replica has found the others, at most.
const MEETING_LIMIT: Duration = Duration::from_secs(10);

/// What nginx is started with: for each replica a listener that passes all on to it, as a sticky balancer does with one
/// client, and one that gives each request to the next replica.
/// One process, so that nothing of it is left when that is killed.
const BALANCER: &str = "daemon off; master_process off; error_log /dev/null; pid nginx.pid;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000; proxy_buffering off;
  client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  proxy_http_version 1.1; proxy_set_header Connection '';
  SERVERS
}";

/// A Redis that writes what it is told once a second, and replicas that share it.
pub struct Cluster {
    pub replicas: Vec<Server>,
    redis: Server,
}

impl Cluster {
    pub fn start(count: usize, stage: &Stage) -> Result<Self> {
        let address = free_addresses(1)?[0];
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args([
            "--appendonly",
            "yes",
            "--appendfsync",
            "everysec",
            "--save",
            "",
        ]);
        let redis = Server::spawn_in(address, &stage.programs, &stage.cores, |_| Ok(command))
            .context("redis-server: apt-get install redis-server")?;
        wait_for(REDIS_LIMIT, "redis-server does not answer", || {
            says(address, "PING\r\n", "+PONG")
        })?;
        let url = format!("redis://{address}");
        let replicas = (0..count)
            .map(|_| Server::start_replica(&url, &stage.programs, &stage.cores))
            .collect::<Result<Vec<_>>>()?;
        let all = format!("\"count\":{count}");
        for replica in &replicas {
            wait_for(MEETING_LIMIT, "a replica does not find the others", || {
                let ask = "GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                says(replica.address, ask, &all)
            })?;
        }
        Ok(Self { replicas, redis })
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|it| it.address).collect()
    }

    /// A real balancer before the replicas, and where it listens: sticky for each of them, and round-robin for all.
    pub fn balance(&self, stage: &Stage) -> Result<(Server, Vec<SocketAddr>, SocketAddr)> {
        let mut listeners = free_addresses(self.replicas.len() + 1)?;
        let names = (0..self.replicas.len()).map(|n| format!("replica_{n}"));
        let mut servers = String::new();
        let mut upstream = |name: &str, replicas: &[SocketAddr], listener: SocketAddr| {
            let all: String = replicas.iter().map(|it| format!("server {it}; ")).collect();
            servers += &format!("upstream {name} {{ {all} keepalive 64; }}\n");
            servers += &format!(
                "server {{ listen {listener}; location / {{ proxy_pass http://{name}; }} }}\n"
            );
        };
        let addresses = self.addresses();
        for ((name, replica), listener) in names.zip(&addresses).zip(&listeners) {
            upstream(&name, &[*replica], *listener);
        }
        let any = listeners.pop().context("there is one more")?;
        upstream("any", &addresses, any);
        let config = BALANCER.replace("SERVERS", &servers);
        let nginx = Server::spawn_in(any, &stage.programs, &stage.cores, |folder| {
            fs::write(folder.join("nginx.conf"), config).context("cannot write nginx' settings")?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).args(["-c", "nginx.conf"]);
            Ok(command)
        })
        .context("nginx: apt-get install nginx-light")?;
        wait_for(REDIS_LIMIT, "nginx does not answer", || {
            let ask = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            says(any, ask, " 200 ")
        })?;
        Ok((nginx, listeners, any))
    }

    /// CPU seconds of the replicas and of Redis.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let all = self.replicas.iter().chain([&self.redis]);
        all.map(Server::cpu_seconds).sum()
    }
}

/// Addresses where nobody listens.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let listeners: io::Result<Vec<_>> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let addresses = listeners.context("no free port")?;
    Ok(addresses
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}

fn says(address: SocketAddr, question: &str, answer: &str) -> bool {
    let ask = || -> Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(question.as_bytes())?;
        let mut told = [0; 2048];
        let mut length = 0;
        while length < told.len() {
            match stream.read(&mut told[length..])? {
                0 => break,
                count => length += count,
            }
            if String::from_utf8_lossy(&told[..length]).contains(answer) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    ask().unwrap_or(false)
}

fn wait_for(limit: Duration, complaint: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !is_so() {
        if Instant::now() > deadline {
            bail!("{complaint} within {limit:?}");
        }
        clock::wait(LOOK);
    }
    Ok(())
}
