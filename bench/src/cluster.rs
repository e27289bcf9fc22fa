//! Several replicas of Handshaken on one Redis of their own: what `server` is for one.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::outside::{START_LIMIT, free_addresses, says, wait_for};
use crate::scenario::Stage;
use crate::server::Server;

/// Until each replica has found the others, at most.
const MEETING_LIMIT: Duration = Duration::from_secs(10);

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
        wait_for(START_LIMIT, "redis-server does not answer", || {
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

    /// CPU seconds of the replicas and of Redis.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let all = self.replicas.iter().chain([&self.redis]);
        all.map(Server::cpu_seconds).sum()
    }
}
