//! Chat servers in Node (`servers/`), and ours beside them.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::Value;

use crate::harness::{DEADLINE, eventually, http::ask, redis::RedisServer, server::Server};

/// A server in Node; killed when dropped.
pub struct Node {
    child: Child,
    pub address: SocketAddr,
}

impl Node {
    /// One that speaks talk's words and meets others by this generation of the adapter.
    pub fn talk(adapter: &str, redis: &RedisServer, name: &str) -> Self {
        Self::start("socketio.mjs", &[adapter, &redis.url(), name])
    }

    /// One that speaks Infinite Chat's words.
    pub fn infinite(redis: &RedisServer) -> Self {
        Self::start("infinite.mjs", &[&redis.url()])
    }

    fn start(script: &str, args: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redis_bridges");
        assert!(
            folder.join("node_modules").exists(),
            "npm packages are missing: npm ci --prefix tests/redis_bridges"
        );
        let mut child = Command::new("node")
            .arg(folder.join("servers").join(script))
            .args(args)
            .env("TZ", "UTC")
            .stdout(Stdio::piped())
            .spawn()
            .expect("node cannot be run: install nodejs 20 or later");
        let (say, said) = mpsc::sync_channel(1);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let line = said
            .recv_timeout(DEADLINE)
            .expect("the server in Node does not start");
        let address = line.strip_prefix("listening on http://").unwrap();
        Self {
            child,
            address: address.parse().unwrap(),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A replica of ours on this Redis, which tells newcomers nothing of what was said before.
pub fn ours(redis: &RedisServer, flags: &[&str]) -> Server {
    let url = redis.url();
    let ours = [
        "--redis",
        &url,
        "--history",
        "0",
        "--event-rate",
        "0",
        "--time-zone",
        "UTC",
    ];
    Server::start(&[&ours[..], flags].concat())
}

/// Waits until so many hear a channel.
pub async fn hear(redis: &RedisServer, channel: &str, count: usize) {
    eventually(&format!("{count} hear {channel}"), async || {
        let told = redis.cli(&["pubsub", "numsub", channel]);
        let hearing = told.lines().last().and_then(|count| count.parse().ok());
        if hearing == Some(count) {
            Ok(())
        } else {
            Err(told)
        }
    })
    .await
}

/// Waits until this is how a channel is, as each of these servers tells whoever watches it; in any order.
pub async fn ready(servers: &[Server], channel: &str, expected: &[&str]) {
    eventually(&format!("{channel} is {expected:?}"), async || {
        let mut states = Vec::new();
        for server in servers {
            let answer = ask(server.address(), "GET", "/ready", "", b"").await;
            let answer = answer.map_err(|error| error.to_string())?;
            let told: Value = serde_json::from_str(&answer.body).unwrap();
            let state = &told["neighbours"][channel]["state"];
            states.push(state.as_str().unwrap_or("not told").to_owned());
        }
        states.sort();
        if states == expected {
            Ok(())
        } else {
            Err(format!("{states:?}"))
        }
    })
    .await
}

/// Waits until one of these works on a bus; which it is.
pub async fn worker<'a>(servers: &'a [Server]) -> usize {
    eventually("one works on the bus", async || {
        let works = |server: &'a Server| {
            let log = server.log();
            log.iter().any(|line| line.contains("bridge is connected"))
        };
        servers
            .iter()
            .position(works)
            .ok_or_else(|| "nobody does".to_owned())
    })
    .await
}
