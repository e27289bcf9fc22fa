//! What tests need that talk to the real program: start and stop it (`server`), speak Socket.IO with
//! it (`client`), send it bytes no library would send (`raw`), give it a real Redis (`redis`) and a real RabbitMQ (`rabbit`) over a bad
//! network (`proxy`), and wait for a condition (`eventually`).

// Each test program uses its own part of this.
#![allow(dead_code)]

pub mod client;
pub mod home;
pub mod http;
pub mod program;
pub mod proxy;
pub mod rabbit;
pub mod raw;
pub mod redis;
pub mod server;
pub mod words;

use std::{
    process::{Child, Command},
    time::{Duration, Instant},
};

/// What takes longer than this does not happen. Machines that run tests are slow at times.
pub const DEADLINE: Duration = Duration::from_secs(40);

/// How often a condition is looked at that nobody announces.
const PERIOD: Duration = Duration::from_millis(20);

/// Sends a process a signal: `TERM`, `STOP`, `CONT`.
pub fn signal(process: &Child, name: &str) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", process.id())])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Waits until a check holds; the check says why it does not yet.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(found) => return found,
            Err(reason) if start.elapsed() > DEADLINE => {
                panic!("{what}: not after {DEADLINE:?}, last: {reason}")
            }
            Err(_) => tokio::time::sleep(PERIOD).await,
        }
    }
}

/// Waits for something that must come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not after {DEADLINE:?}"),
    }
}
