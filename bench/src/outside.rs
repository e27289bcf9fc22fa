//! Other people's programs that the servers are measured with: where they may listen, and whether they answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::clock;

/// What such a program may take to answer.
pub const START_LIMIT: Duration = Duration::from_secs(10);

const LOOK: Duration = Duration::from_millis(20);

/// Addresses where nobody listens.
pub fn free_addresses(count: usize) -> Result<Vec<SocketAddr>> {
    let listeners: io::Result<Vec<_>> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    let addresses = listeners.context("no free port")?;
    Ok(addresses
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}

pub fn says(address: SocketAddr, question: &str, answer: &str) -> bool {
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

pub fn wait_for(limit: Duration, complaint: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !is_so() {
        if Instant::now() > deadline {
            bail!("{complaint} within {limit:?}");
        }
        clock::wait(LOOK);
    }
    Ok(())
}
