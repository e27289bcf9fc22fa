//! Ways to Redis: over TLS, and by Sentinels that know which server is the primary.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

use handshaken::{chat::store::StoreError, store::sqlite::Retain};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    harness::{client::Client, eventually, redis::RedisServer},
    replica::{Replica, texts},
};

/// A process that is killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// A certificate for the loopback address that is its own authority, and its key.
fn certificate(folder: &Path) -> [String; 2] {
    let [certificate, key] =
        ["cert.pem", "key.pem"].map(|name| folder.join(name).to_str().unwrap().to_owned());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args([
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-subj",
            "/CN=test",
        ])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", &certificate, "-keyout", &key])
        .stderr(Stdio::null())
        .status()
        .expect("openssl cannot be run: install openssl");
    assert!(made.success());
    [certificate, key]
}

/// A server that shares a Redis, and trusts this authority alone.
fn server(redis: &str, authority: &str, folder: &Path) -> (Running, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_handshaken"))
        .args(["--listen", "127.0.0.1:0", "--redis", redis, "--data"])
        .arg(folder.join("data"))
        .current_dir(folder)
        .env("SSL_CERT_FILE", authority)
        .env_remove("SSL_CERT_DIR")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").unwrap();
    (Running(child), address.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_over_tls_by_who_trusts_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = certificate(folder.path());
    let port = free_port().to_string();
    let _redis = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://127.0.0.1:{port}");
    let (_trusting, address) = server(&url, &certificate, folder.path());
    let mut client = Client::native(address, "ann").await;
    client.join("room", None).await;
    client.post("room", "hello", None).await;
    assert_eq!(client.said().await.text, "hello");

    let elsewhere = tempfile::tempdir().unwrap();
    let other = self::certificate(elsewhere.path());
    let (_distrusting, address) = server(&url, &other[0], elsewhere.path());
    let mut client = Client::native(address, "ann").await;
    let answer = client.ask("join", &json!({ "room": "room" })).await;
    assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
}

/// A Sentinel that watches one primary.
fn sentinel(primary: SocketAddr, folder: &TempDir) -> (Running, u16) {
    let port = free_port();
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\n\
         sentinel monitor main 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds main 1000\n\
         sentinel failover-timeout main 5000\n",
        folder.path().display(),
        primary.port()
    );
    let file = folder.path().join("sentinel.conf");
    fs::write(&file, settings).unwrap();
    let child = Command::new("redis-server")
        .arg(file)
        .arg("--sentinel")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    (Running(child), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_that_sentinels_name_is_followed_when_another_becomes_it() {
    let mut primary = RedisServer::start();
    let port = primary.address().port().to_string();
    let copy = RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    let folder = tempfile::tempdir().unwrap();
    let (_sentinel, sentinel_port) = sentinel(primary.address(), &folder);
    let url = format!("redis+sentinel://127.0.0.1:{sentinel_port}/main");
    let replicas = [
        Replica::with(&url, Retain::default()),
        Replica::with(&url, Retain::default()),
    ];
    for replica in &replicas {
        replica.begun().await;
    }
    let before = replicas[0].say_at_last("lobby", "before").await;
    eventually(
        "the copy has it, and the sentinel knows the copy",
        async || {
            let copied = copy.cli(&["xlen", "test:room:lobby"]);
            let known = Command::new("redis-cli")
                .args([
                    "-p",
                    &sentinel_port.to_string(),
                    "sentinel",
                    "replicas",
                    "main",
                ])
                .output()
                .unwrap();
            let known = String::from_utf8_lossy(&known.stdout).into_owned();
            let is_known = known.contains(&copy.address().port().to_string());
            (copied == "1" && is_known)
                .then_some(())
                .ok_or_else(|| format!("{copied} copied; {known}"))
        },
    )
    .await;
    primary.kill();
    let after = replicas[1].say_at_last("lobby", "after").await;
    assert_eq!((after.id.seq, after.id.epoch), (2, before.id.epoch));
    for replica in &replicas {
        assert_eq!(texts(&replica.told_all(2).await), ["before", "after"]);
    }
    assert!(copy.cli(&["info", "replication"]).contains("role:master"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_that_know_no_such_primary_are_asked_again() {
    let primary = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let (_sentinel, port) = sentinel(primary.address(), &folder);
    let url = format!("redis+sentinel://127.0.0.1:{port}/unknown");
    let replica = Replica::with(&url, Retain::default());
    let failed = replica.say("lobby", "hello").await.unwrap_err();
    assert!(matches!(failed, StoreError::Busy), "{failed}");
}
