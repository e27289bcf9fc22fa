//! Distance: what passes takes a while, as between a client and a server that are not on one machine.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::clock;

/// What may be under way on one connection in one direction, in reads.
const UNDER_WAY: usize = 1_000;

/// A way to servers that takes time; dropping it closes it to new connections.
pub struct Network {
    /// One for each server, in their order.
    pub listeners: Vec<SocketAddr>,
    is_closed: Arc<AtomicBool>,
}

impl Network {
    /// What is sent arrives so much later, in either direction. The time it takes to connect is not added.
    pub fn before(servers: &[SocketAddr], one_way: Duration) -> Result<Self> {
        let is_closed = Arc::new(AtomicBool::new(false));
        let mut listeners = Vec::new();
        for server in servers.iter().copied() {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            listeners.push(listener.local_addr()?);
            let is_closed = is_closed.clone();
            thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    if is_closed.load(Relaxed) {
                        return;
                    }
                    // A server that is gone is its client's matter, whose connection ends.
                    let _ = join(client, server, one_way);
                }
            });
        }
        Ok(Self {
            listeners,
            is_closed,
        })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.is_closed.store(true, Relaxed);
        for listener in &self.listeners {
            // So that it looks.
            let _ = TcpStream::connect(listener);
        }
    }
}

fn join(client: TcpStream, server: SocketAddr, one_way: Duration) -> Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    pass(client.try_clone()?, server.try_clone()?, one_way);
    pass(server, client, one_way);
    Ok(())
}

/// Passes on all that comes, and then the end.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (under_way, arriving) = mpsc::sync_channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    thread::spawn(move || {
        let mut part = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut part) {
            let arrival = (Instant::now() + delay, part[..count].to_vec());
            if under_way.send(arrival).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (arrival, bytes) in arriving {
            clock::wait(arrival.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
