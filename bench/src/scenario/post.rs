//! (e): clients of the native dialect that post one message after the other, each when the last was acknowledged.
//! All are in one room, so each post is also delivered to all of them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{CONNECT_LIMIT, Meter, Stage};
use crate::clock;
use crate::measure::{Goal, Measure};
use crate::server::Kind;
use crate::stats::Latencies;
use crate::swarm::{Peer, Progress, Role, Swarm};
use crate::wire::language::Language;
use crate::wire::packet::{self, Packet};
use crate::wire::stamp::Stamp;

const CLIENTS: usize = 50;
const NAMESPACE: &str = "/chat";
const ROOM: &str = "lobby";

pub fn measure(kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
    let server = stage.start(kind, Language::SocketIo(NAMESPACE))?;
    let swarm = gather(server.address, stage)?;
    let meter = Meter::start(&server, stage)?;
    let posted = post_for(&swarm, stage, stage.pace.window)?;
    let reading = meter.read()?;
    let share = reading.load_share;

    let latencies = &posted.latencies;
    let acknowledged = latencies.count();
    let expected = acknowledged * CLIENTS as u64;
    let mean = |name, value| Measure::mean(name, value).load_share(share);
    Ok(vec![
        mean("acknowledged/s", posted.per_second()),
        mean("p50, ms", latencies.percentile(50.0)),
        mean("p99, ms", latencies.percentile(99.0)),
        mean(
            "CPU per post, µs",
            reading.server_cpu * 1e6 / acknowledged.max(1) as f64,
        ),
        mean(
            "deliveries/s",
            posted.heard as f64 / clock::seconds(posted.begin, posted.last),
        ),
        Measure::sum("acknowledged", acknowledged as f64).aside(),
        Measure::sum("not acknowledged", posted.unanswered as f64).goal(Goal::AtMost(0.0)),
        Measure::sum(
            "acknowledged, not delivered",
            expected.saturating_sub(posted.heard) as f64,
        )
        .goal(Goal::AtMost(0.0)),
        mean("load clients' CPU, % of theirs", 100.0 * share),
    ])
}

/// Posts acknowledged in a second by a server that runs already, and how long each took.
pub(super) fn measure_on(server: SocketAddr, stage: &Stage) -> Result<(f64, Latencies)> {
    let swarm = gather(server, stage)?;
    let posted = post_for(&swarm, stage, stage.pace.window)?;
    Ok((posted.per_second(), posted.latencies))
}

/// Connects the clients, and has them post for a while.
fn gather(server: SocketAddr, stage: &Stage) -> Result<Swarm<Poster>> {
    let roles = (0..stage.cores.load()).map(Poster::new);
    let mut swarm = Swarm::start(server, Language::SocketIo(NAMESPACE), roles)?;
    swarm.connect(CLIENTS, CONNECT_LIMIT)?;
    post_for(&swarm, stage, stage.pace.warm_up)?;
    Ok(swarm)
}

fn post_for(swarm: &Swarm<Poster>, stage: &Stage, time: Duration) -> Result<Posted> {
    let begin = clock::now();
    let task = Task {
        run: stage.next_run(),
        begin,
        until: begin + clock::nanos(time),
    };
    swarm.progress.done.store(0, Relaxed);
    swarm.progress.owed.store(0, Relaxed);
    swarm.order(|_| task)?;
    let answered = swarm.wait_done(CLIENTS as u64, time + stage.pace.grace);
    swarm.wait_settled(stage.pace.grace);
    let mut posted = Posted::default();
    for theirs in swarm.collect()?.0 {
        posted.merge(&theirs);
    }
    if !answered && posted.latencies.count() == 0 {
        bail!("no post was acknowledged; {}", swarm.progress.reasons());
    }
    posted.begin = begin;
    Ok(posted)
}

#[derive(Clone, Copy)]
struct Task {
    run: u32,
    begin: u64,
    until: u64,
}

/// What the clients of one worker have posted.
#[derive(Default)]
struct Posted {
    latencies: Latencies,
    unanswered: u64,
    heard: u64,
    begin: u64,
    last: u64,
}

impl Posted {
    fn per_second(&self) -> f64 {
        self.latencies.count() as f64 / clock::seconds(self.begin, self.last)
    }

    fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.unanswered += other.unanswered;
        self.heard += other.heard;
        self.last = self.last.max(other.last);
    }
}

/// Says hello, joins the room, and posts when told to.
struct Poster {
    worker: usize,
    task: Option<Task>,
    /// Per peer: the number of its latest request, and when that was sent if it is a post without an answer.
    requests: Vec<(u64, Option<u64>)>,
    posted: Posted,
}

/// Requests of a peer before its first post.
const HELLO: u64 = 0;
const JOIN: u64 = 1;

impl Poster {
    fn new(worker: usize) -> Self {
        Self {
            worker,
            task: None,
            requests: Vec::new(),
            posted: Posted::default(),
        }
    }

    fn request(&self, peer: &mut Peer, number: u64, array: &str) {
        peer.send(&packet::event(NAMESPACE, Some(number), array));
    }

    fn post(&mut self, peer: &mut Peer, task: Task) {
        let (number, _) = self.requests[peer.index];
        let number = number + 1;
        let now = clock::now();
        let text = Stamp {
            run: task.run,
            number: number as u32,
            due: now,
        }
        .text();
        let key = format!("{}-{}-{}-{number}", task.run, self.worker, peer.index);
        self.request(
            peer,
            number,
            &format!(r#"["post",{{"room":"{ROOM}","text":"{text}","key":"{key}"}}]"#),
        );
        self.requests[peer.index] = (number, Some(now));
    }

    fn answered(
        &mut self,
        peer: &mut Peer,
        id: u64,
        body: &[u8],
        now: u64,
        progress: &Progress,
    ) -> Result<()> {
        if memchr::memmem::find(body, br#""ok":true"#).is_none() {
            bail!("request {id} refused: {}", String::from_utf8_lossy(body));
        }
        match id {
            HELLO => self.request(peer, JOIN, &format!(r#"["join",{{"room":"{ROOM}"}}]"#)),
            JOIN => {
                self.requests[peer.index] = (JOIN, None);
                peer.become_ready();
            }
            _ => {
                let (number, Some(sent)) = self.requests[peer.index] else {
                    bail!("post {id} was answered twice");
                };
                if number != id {
                    bail!("post {id} was answered when {number} was waited for");
                }
                self.requests[peer.index].1 = None;
                self.posted.latencies.record(now - sent);
                self.posted.last = now;
                progress.owed.fetch_add(CLIENTS as i64, Relaxed);
                match self.task.filter(|task| now < task.until) {
                    Some(task) => self.post(peer, task),
                    None => {
                        progress.done.fetch_add(1, Relaxed);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Role for Poster {
    type Order = Task;
    type Tally = Posted;

    fn joined(&mut self, peer: &mut Peer) {
        if self.requests.len() <= peer.index {
            self.requests.resize(peer.index + 1, (HELLO, None));
        }
        let name = format!("b{}-{}", self.worker, peer.index);
        self.request(peer, HELLO, &format!(r#"["hello",{{"name":"{name}"}}]"#));
    }

    fn packet(
        &mut self,
        peer: &mut Peer,
        packet: Packet<'_>,
        now: u64,
        progress: &Progress,
    ) -> Result<()> {
        match packet {
            Packet::Ack(id, body) => self.answered(peer, id, body, now, progress)?,
            Packet::Event(body) => {
                let run = self.task.map(|task| task.run);
                let ours = Stamp::find(body).is_some_and(|stamp| Some(stamp.run) == run);
                self.posted.heard += u64::from(ours);
                progress.owed.fetch_sub(i64::from(ours), Relaxed);
            }
            _ => {}
        }
        Ok(())
    }

    fn order(&mut self, task: Task, peers: &mut [Peer]) {
        self.task = Some(task);
        self.posted = Posted {
            begin: task.begin,
            ..Posted::default()
        };
        for peer in peers {
            self.post(peer, task);
        }
    }

    fn tally(&mut self) -> Posted {
        let mut posted = std::mem::take(&mut self.posted);
        let open = self.requests.iter().filter(|(_, sent)| sent.is_some());
        posted.unanswered = open.count() as u64;
        posted
    }
}
