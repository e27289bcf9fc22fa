//! (f): a crowd that chats, first by itself, then in the company of one client that floods the room and one that has
//! stopped reading. What the others notice of the two is the figure.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

use super::audience::{Heard, Reader, Speech, Talker};
use super::{CONNECT_LIMIT, LEAD, MAIN, Meter, Stage};
use crate::clock;
use crate::measure::{Goal, Measure};
use crate::server::{Kind, Rules, Server};
use crate::swarm::Swarm;
use crate::wire::{frame, packet};

/// Readers who do nothing wrong; with the sender and the two they are 500 and one.
const READERS: usize = 498;
/// Messages a second of the one who talks to them.
const RATE: u32 = 25;
/// Messages a second of the one who floods: many times what the event rate allows.
const FLOOD: u32 = 1_000;
/// How long one who is about to stop reading waits for what it still reads.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// Pairs of windows, each on a fresh server; the figures are the medians of the pairs.
pub fn measure(kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
    let pairs = (0..stage.pace.pairs)
        .map(|_| measure_pair(kind, stage))
        .collect::<Result<Vec<_>>>()?;
    let median_of = |figure: fn(&Pair) -> f64| {
        let mut figures: Vec<_> = pairs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let share = median_of(|pair| pair.load_share);
    let mean = |name, value| Measure::mean(name, value).load_share(share);
    Ok(vec![
        mean(
            "alone: p50, ms",
            median_of(|pair| pair.alone.latencies.percentile(50.0)),
        ),
        mean(
            "alone: p99, ms",
            median_of(|pair| pair.alone.latencies.percentile(99.0)),
        ),
        mean(
            "with the two: p50, ms",
            median_of(|pair| pair.with_the_two.latencies.percentile(50.0)),
        ),
        mean(
            "with the two: p99, ms",
            median_of(|pair| pair.with_the_two.latencies.percentile(99.0)),
        ),
        mean("p99 with the two ÷ alone", median_of(Pair::growth)).goal(Goal::AtMost(1.1)),
        Measure::sum(
            "not delivered in time",
            pairs.iter().map(|pair| pair.lost as f64).sum(),
        ),
        mean("load clients' CPU, % of theirs", 100.0 * share),
    ])
}

/// The same talk twice.
struct Pair {
    alone: Heard,
    with_the_two: Heard,
    lost: u64,
    load_share: f64,
}

impl Pair {
    fn growth(&self) -> f64 {
        let p99 = |heard: &Heard| heard.latencies.percentile(99.0);
        p99(&self.with_the_two) / p99(&self.alone)
    }
}

fn measure_pair(kind: Kind, stage: &Stage) -> Result<Pair> {
    let server = stage.start_with(kind, MAIN, Rules::Default)?;
    let roles = (0..stage.cores.load()).map(|_| Reader::default());
    let mut readers = Swarm::start(server.address, MAIN, roles)?;
    let mut talker = Swarm::start(server.address, MAIN, [Talker::default()])?;
    readers.connect(READERS, CONNECT_LIMIT)?;
    talker.connect(1, CONNECT_LIMIT)?;
    let talk = |time| talk(&server, stage, &readers, &talker, time);

    talk(stage.pace.warm_up)?;
    let (alone, lost_alone, _) = talk(stage.pace.window)?;

    let _stalled = stall(server.address)?;
    let mut flooder = Swarm::start(server.address, MAIN, [Talker::default()])?;
    flooder.connect(1, CONNECT_LIMIT)?;
    let flood = speech(
        stage.next_run(),
        FLOOD,
        stage.pace.window + stage.pace.grace,
    );
    flooder.order(|_| flood)?;
    let (with_the_two, lost, load_share) = talk(stage.pace.window)?;
    Ok(Pair {
        alone,
        with_the_two,
        lost: lost_alone + lost,
        load_share,
    })
}

fn speech(run: u32, rate: u32, time: Duration) -> Speech {
    Speech {
        run,
        begin: clock::now() + clock::nanos(LEAD),
        interval: 1_000_000_000 / u64::from(rate),
        messages: (f64::from(rate) * time.as_secs_f64()).round() as u32,
    }
}

/// What the readers heard of one talk, how much they did not hear in time, and the load clients' share of CPU.
fn talk(
    server: &Server,
    stage: &Stage,
    readers: &Swarm<Reader>,
    talker: &Swarm<Talker>,
    time: Duration,
) -> Result<(Heard, u64, f64)> {
    let run = stage.next_run();
    readers.progress.done.store(0, Relaxed);
    readers.order(|_| run)?;
    let meter = Meter::start(server, stage)?;
    let speech = speech(run, RATE, time);
    talker.order(|_| speech)?;
    let expected = u64::from(speech.messages) * readers.size() as u64;
    readers.wait_done(expected, LEAD + time + stage.pace.grace);
    let reading = meter.read()?;
    let mut heard = Heard::default();
    for theirs in readers.collect()?.0 {
        heard.merge(&theirs);
    }
    let lost = expected.saturating_sub(heard.messages);
    Ok((heard, lost, reading.load_share))
}

/// A client that joins and then reads nothing any more, with a receive buffer as small as the system has it.
fn stall(server: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(1)?;
    socket.connect(&server.into()).context("cannot connect")?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(GREETING_LIMIT))?;
    stream.write_all(&frame::upgrade_request(&server.to_string(), MAIN.path()))?;
    let mut join = Vec::new();
    frame::write(&mut join, frame::TEXT, packet::connect("/").as_bytes());
    stream.write_all(&join)?;
    let (mut read, mut part) = (Vec::new(), [0; 1024]);
    while !read.windows(2).any(|bytes| bytes == b"40") {
        match stream.read(&mut part)? {
            0 => bail!("the server hung up on a client that joins"),
            count => read.extend_from_slice(&part[..count]),
        }
    }
    Ok(stream)
}
