//! (g): pairs of users of the native dialect, each known by a token. One of each pair writes to the other, who
//! acknowledges; the next message goes out when the server has acknowledged the last.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

use super::{CONNECT_LIMIT, Meter, Stage};
use crate::clock;
use crate::measure::{Goal, Measure};
use crate::server::{Kind, TOKEN_SECRET};
use crate::stats::Latencies;
use crate::swarm::{Peer, Progress, Role, Swarm};
use crate::wire::language::Language;
use crate::wire::packet::{self, Packet};
use crate::wire::stamp::Stamp;

const PAIRS: usize = 1_000;
const NAMESPACE: &str = "/chat";

pub fn measure(kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
    let server = stage.start(kind, Language::SocketIo(NAMESPACE))?;
    let workers = stage.cores.load();
    // Both of a pair belong to one worker.
    let pairs = PAIRS / workers * workers;
    let mut swarm = Swarm::start(
        server.address,
        Language::SocketIo(NAMESPACE),
        (0..workers).map(Writer::new),
    )?;
    swarm.connect(2 * pairs, CONNECT_LIMIT)?;

    write_for(&swarm, stage, pairs, stage.pace.warm_up)?;
    let meter = Meter::start(&server, stage)?;
    let written = write_for(&swarm, stage, pairs, stage.pace.window)?;
    let reading = meter.read()?;
    let share = reading.load_share;

    let acknowledged = written.acknowledged.count();
    let delivered = written.delivered.count();
    let mean = |name, value| Measure::mean(name, value).load_share(share);
    Ok(vec![
        mean(
            "acknowledged/s",
            acknowledged as f64 / clock::seconds(written.begin, written.last),
        ),
        mean("p50, ms", written.acknowledged.percentile(50.0)),
        mean("p99, ms", written.acknowledged.percentile(99.0)),
        mean("delivery p50, ms", written.delivered.percentile(50.0)),
        mean("delivery p99, ms", written.delivered.percentile(99.0)),
        mean(
            "CPU per message, µs",
            reading.server_cpu * 1e6 / acknowledged.max(1) as f64,
        ),
        Measure::sum("acknowledged", acknowledged as f64).aside(),
        Measure::sum("not acknowledged", written.unanswered as f64).goal(Goal::AtMost(0.0)),
        Measure::sum(
            "acknowledged, not delivered",
            acknowledged.saturating_sub(delivered) as f64,
        )
        .goal(Goal::AtMost(0.0)),
        mean("load clients' CPU, % of theirs", 100.0 * share),
    ])
}

fn write_for(
    swarm: &Swarm<Writer>,
    stage: &Stage,
    pairs: usize,
    time: Duration,
) -> Result<Written> {
    let begin = clock::now();
    let task = Task {
        run: stage.next_run(),
        until: begin + clock::nanos(time),
    };
    swarm.progress.done.store(0, Relaxed);
    swarm.progress.owed.store(0, Relaxed);
    swarm.order(|_| task)?;
    let answered = swarm.wait_done(pairs as u64, time + stage.pace.grace);
    swarm.wait_settled(stage.pace.grace);
    let mut written = Written::default();
    for theirs in swarm.collect()?.0 {
        written.merge(&theirs);
    }
    if !answered && written.acknowledged.count() == 0 {
        bail!("no message was acknowledged; {}", swarm.progress.reasons());
    }
    written.begin = begin;
    Ok(written)
}

#[derive(Clone, Copy)]
struct Task {
    run: u32,
    until: u64,
}

/// What the pairs of one worker have written and read.
#[derive(Default)]
struct Written {
    acknowledged: Latencies,
    delivered: Latencies,
    unanswered: u64,
    begin: u64,
    last: u64,
}

impl Written {
    fn merge(&mut self, other: &Self) {
        self.acknowledged.merge(&other.acknowledged);
        self.delivered.merge(&other.delivered);
        self.unanswered += other.unanswered;
        self.last = self.last.max(other.last);
    }
}

/// Says hello; of two neighbours the even one writes to the odd one.
struct Writer {
    worker: usize,
    task: Option<Task>,
    /// Per peer: when the message without an answer was sent, and the number of the next.
    sent: Vec<(Option<u64>, u64)>,
    written: Written,
}

/// The request of a peer before its first message.
const HELLO: u64 = 0;

impl Writer {
    fn new(worker: usize) -> Self {
        Self {
            worker,
            task: None,
            sent: Vec::new(),
            written: Written::default(),
        }
    }

    fn user(&self, index: usize) -> String {
        format!("b{}-{index}", self.worker)
    }

    fn write(&mut self, peer: &mut Peer, task: Task) {
        let (_, number) = self.sent[peer.index];
        let now = clock::now();
        let text = Stamp {
            run: task.run,
            number: number as u32,
            due: now,
        }
        .text();
        let to = self.user(peer.index + 1);
        let array = format!(
            r#"["direct",{{"to":"{to}","text":"{text}","key":"{}-{number}"}}]"#,
            task.run
        );
        peer.send(&packet::event(NAMESPACE, Some(number), &array));
        self.sent[peer.index] = (Some(now), number + 1);
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
        if id == HELLO {
            peer.become_ready();
            return Ok(());
        }
        let Some(sent) = self.sent[peer.index].0.take() else {
            bail!("message {id} was answered twice");
        };
        self.written.acknowledged.record(now - sent);
        self.written.last = now;
        progress.owed.fetch_add(1, Relaxed);
        match self.task.filter(|task| now < task.until) {
            Some(task) => self.write(peer, task),
            None => {
                progress.done.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    }

    fn received(&mut self, peer: &Peer, body: &[u8], now: u64, progress: &Progress) {
        let run = self.task.map(|task| task.run);
        // The even ones are shown what they wrote themselves.
        if let Some(stamp) = Stamp::find(body)
            && Some(stamp.run) == run
            && peer.index % 2 == 1
        {
            self.written.delivered.record(now.saturating_sub(stamp.due));
            progress.owed.fetch_sub(1, Relaxed);
        }
    }
}

impl Role for Writer {
    type Order = Task;
    type Tally = Written;

    fn joined(&mut self, peer: &mut Peer) {
        if self.sent.len() <= peer.index {
            self.sent.resize(peer.index + 1, (None, HELLO + 1));
        }
        let user = self.user(peer.index);
        let token = token(&user).unwrap_or_default();
        let hello = format!(r#"["hello",{{"name":"{user}","token":"{token}"}}]"#);
        peer.send(&packet::event(NAMESPACE, Some(HELLO), &hello));
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
            Packet::Asked(id, body) => {
                self.received(peer, body, now, progress);
                peer.send(&packet::ack(NAMESPACE, id));
            }
            Packet::Event(body) => self.received(peer, body, now, progress),
            _ => {}
        }
        Ok(())
    }

    fn order(&mut self, task: Task, peers: &mut [Peer]) {
        self.task = Some(task);
        self.written = Written::default();
        for peer in peers.iter_mut().step_by(2) {
            self.write(peer, task);
        }
    }

    fn tally(&mut self) -> Written {
        let mut written = std::mem::take(&mut self.written);
        let open = self.sent.iter().filter(|(sent, _)| sent.is_some());
        written.unanswered = open.count() as u64;
        written
    }
}

fn token(user: &str) -> Result<String> {
    #[derive(Serialize)]
    struct Claims<'a> {
        sub: &'a str,
        exp: u64,
    }
    // In the year 2100.
    let claims = Claims {
        sub: user,
        exp: 4_102_444_800,
    };
    let key = EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).context("cannot sign a token")
}
