//! One thread of polling clients: waits for their connections, and counts what the answers bring.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result};
use mio::{Events, Interest, Poll, Token};

use super::client::{Answer, Client};
use super::{Counts, Tongue};
use crate::clock;
use crate::stats::Latencies;
use crate::wire::stamp::Stamp;

/// How often it is looked whether it is time to stop.
const LOOK: Duration = Duration::from_millis(50);
const EVENTS: usize = 1_024;
const SCRATCH: usize = 64 << 10;

pub(super) struct Worker {
    poll: Poll,
    tongue: Tongue,
    server: SocketAddr,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    clients: Vec<Option<Client>>,
    latencies: Latencies,
    run: u32,
}

impl Worker {
    pub(super) fn new(
        tongue: Tongue,
        server: SocketAddr,
        counts: Arc<Counts>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self> {
        Ok(Self {
            poll: Poll::new().context("cannot make a poll for polling clients")?,
            tongue,
            server,
            counts,
            stop,
            clients: Vec::new(),
            latencies: Latencies::default(),
            run: 0,
        })
    }

    pub(super) fn run(mut self, count: usize, offset: usize) -> Result<Latencies> {
        for index in 0..count {
            let mut client = Client::connect(self.tongue, self.server, index + offset)
                .context("cannot connect a polling client")?;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(client.stream(), Token(index), both)
                .context("cannot watch a polling client")?;
            self.clients.push(Some(client));
        }
        let mut events = Events::with_capacity(EVENTS);
        let mut scratch = vec![0; SCRATCH];
        while !self.stop.load(Relaxed) {
            match self.poll.poll(&mut events, Some(LOOK)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.context("cannot wait for polling clients")?,
            }
            self.follow_run();
            for event in &events {
                let index = event.token().0;
                let Some(mut client) = self.clients[index].take() else {
                    continue;
                };
                match self.serve(&mut client, &mut scratch) {
                    Ok(()) => self.clients[index] = Some(client),
                    Err(error) => {
                        self.counts.dropped.fetch_add(1, Relaxed);
                        let mut reason = self.counts.reason.lock();
                        reason.get_or_insert_with(|| format!("{error:#}"));
                    }
                }
            }
        }
        Ok(self.latencies)
    }

    fn follow_run(&mut self) {
        let run = self.counts.run.load(Relaxed);
        if run != self.run {
            self.run = run;
            for client in self.clients.iter_mut().flatten() {
                client.next = 0;
            }
        }
    }

    fn serve(&mut self, client: &mut Client, scratch: &mut [u8]) -> Result<()> {
        client.flush()?;
        while client.read(scratch)? {
            while let Some(answer) = client.answer()? {
                match answer {
                    Answer::Ready => {
                        self.counts.ready.fetch_add(1, Relaxed);
                    }
                    Answer::Unknown => {
                        self.counts.unknown.fetch_add(1, Relaxed);
                        anyhow::bail!("the server does not know the session");
                    }
                    Answer::Polled(body) => {
                        self.counts.polls.fetch_add(1, Relaxed);
                        self.hear(client, &body);
                    }
                    Answer::Done => {}
                }
            }
            client.flush()?;
        }
        Ok(())
    }

    fn hear(&mut self, client: &mut Client, body: &[u8]) {
        let now = clock::now();
        for packet in self.tongue.packets(body) {
            let Some(stamp) = Stamp::find(packet).filter(|stamp| stamp.run == self.run) else {
                continue;
            };
            if stamp.number != client.next {
                self.counts.disordered.fetch_add(1, Relaxed);
            }
            client.next = stamp.number + 1;
            self.counts.messages.fetch_add(1, Relaxed);
            self.latencies.record(now.saturating_sub(stamp.due));
        }
    }
}
