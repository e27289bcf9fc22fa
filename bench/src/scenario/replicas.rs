//! (k): what several replicas cost and bring. A client that polls through any replica beside one that keeps to its own;
//! a room whose readers are spread over one, two and three replicas; posts that Redis keeps; everybody coming back at once.

mod polling;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::audience::{Heard, Reader, Speech, Talker};
use super::{CONNECT_LIMIT, LEAD, MAIN, Stage, post};
use crate::balancer::Balancer;
use crate::clock;
use crate::cluster::Cluster;
use crate::machine::connections_within_limit;
use crate::measure::{Goal, Measure};
use crate::network::Network;
use crate::server::Kind;
use crate::swarm::Swarm;
use crate::wire::language::Language;

const REPLICAS: usize = 3;
const STICKY: &str = "sticky";
const READERS: usize = 999;
const RATE: u32 = 100;
const RETURNING: usize = 10_000;
/// There and back.
const DISTANCE: Duration = Duration::from_millis(5);
/// For the replicas to notice whom they lost.
const LULL: Duration = Duration::from_millis(1_500);

/// Of Node's server only what a sticky balancer before it gives: without one it needs all clients to speak WebSocket.
pub fn measure(kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    if kind == Kind::Node {
        let server = stage.start(kind, Language::SocketIo("/chat"))?;
        let balancer = Balancer::start(&[&[server.address]], stage)?;
        polling::converse(&balancer.listeners, stage.pace.warm_up)?;
        measure_polls(STICKY, &balancer.listeners, stage, &mut measures)?;
        return Ok(measures);
    }
    measure_ways(stage, &mut measures)?;
    for count in 1..=REPLICAS {
        measures.extend(measure_room(count, stage)?);
    }
    measures.extend(measure_posts(stage)?);
    measures.extend(measure_storm(stage)?);
    Ok(measures)
}

/// To the replica of the session; the same with one more proxy in between, for what any hop costs; to any replica.
fn measure_ways(stage: &Stage, measures: &mut Vec<Measure>) -> Result<()> {
    let cluster = Cluster::start(REPLICAS, stage)?;
    let replicas = cluster.addresses();
    let each: Vec<_> = replicas.iter().map(std::slice::from_ref).collect();
    let sticky = Balancer::start(&each, stage)?;
    let each: Vec<_> = (sticky.listeners.iter().map(std::slice::from_ref)).collect();
    let twice = Balancer::start(&each, stage)?;
    let any = Balancer::start(&[&replicas], stage)?;
    polling::converse(&any.listeners, stage.pace.warm_up)?;
    let kept = measure_polls(STICKY, &sticky.listeners, stage, measures)?;
    measure_polls("sticky, by two nginx", &twice.listeners, stage, measures)?;
    let passed = measure_polls("any replica", &any.listeners, stage, measures)?;
    let ratio = |what: &str, value| Measure::mean(what, value).goal(Goal::AtMost(1.1));
    measures.push(ratio("polls, any replica ÷ sticky: p50", passed / kept));
    // Clients are seldom on the same machine.
    let from_afar = |listeners: &[SocketAddr]| -> Result<f64> {
        let network = Network::before(listeners, DISTANCE / 2)?;
        let told = polling::converse(&network.listeners, stage.pace.window)?;
        Ok(told.polls.percentile(50.0))
    };
    let (kept, passed) = (from_afar(&sticky.listeners)?, from_afar(&any.listeners)?);
    measures.extend([
        Measure::mean("polls from 5 ms away, sticky: p50, ms", kept),
        Measure::mean("polls from 5 ms away, any replica: p50, ms", passed),
        ratio(
            "polls from 5 ms away, any replica ÷ sticky: p50",
            passed / kept,
        ),
    ]);
    Ok(())
}

/// Returns the p50 of a poll, in ms.
fn measure_polls(
    way: &str,
    listeners: &[SocketAddr],
    stage: &Stage,
    measures: &mut Vec<Measure>,
) -> Result<f64> {
    let polling::Told {
        connects,
        polls,
        messages,
    } = polling::converse(listeners, stage.pace.window)?;
    let mean = |what: &str, value| Measure::mean(&format!("polls, {way}: {what}"), value);
    measures.extend([
        mean("p50, ms", polls.percentile(50.0)),
        mean("p99, ms", polls.percentile(99.0)),
        mean("connect p50, ms", connects.percentile(50.0)),
        mean("post and its message p50, ms", messages.percentile(50.0)),
        mean("post and its message p99, ms", messages.percentile(99.0)),
    ]);
    Ok(polls.percentile(50.0))
}

/// One sender on the first replica, and readers on all.
fn measure_room(count: usize, stage: &Stage) -> Result<Vec<Measure>> {
    let cluster = Cluster::start(count, stage)?;
    let mut talker = Swarm::start(cluster.replicas[0].address, MAIN, [Talker::default()])?;
    talker.connect(1, CONNECT_LIMIT)?;
    let mut readers = Vec::new();
    for address in cluster.addresses() {
        let mut swarm = Swarm::start(address, MAIN, [Reader::default()])?;
        swarm.connect(READERS / count, CONNECT_LIMIT)?;
        readers.push(swarm);
    }
    let talk = |time: Duration| -> Result<(Heard, u64, f64, f64)> {
        let run = stage.next_run();
        let messages = (f64::from(RATE) * time.as_secs_f64()).round() as u32;
        for swarm in &readers {
            swarm.progress.done.store(0, Relaxed);
            swarm.order(|_| run)?;
        }
        let (began, before) = (Instant::now(), cluster.cpu_seconds()?);
        let speech = Speech {
            run,
            begin: clock::now() + clock::nanos(LEAD),
            interval: 1_000_000_000 / u64::from(RATE),
            messages,
        };
        talker.order(|_| speech)?;
        let deadline = Instant::now() + LEAD + time + stage.pace.grace;
        let mut heard = Heard::default();
        for swarm in &readers {
            let expected = u64::from(messages) * swarm.size() as u64;
            swarm.wait_done(expected, deadline.saturating_duration_since(Instant::now()));
            for theirs in swarm.collect()?.0 {
                heard.merge(&theirs);
            }
        }
        let cpu = cluster.cpu_seconds()? - before;
        Ok((
            heard,
            u64::from(messages),
            cpu,
            began.elapsed().as_secs_f64(),
        ))
    };
    talk(stage.pace.warm_up)?;
    let (heard, messages, cpu, elapsed) = talk(stage.pace.window)?;
    let expected = messages * (READERS / count * count) as u64;
    let mean =
        |what: &str, value| Measure::mean(&format!("{count} × {}: {what}", READERS / count), value);
    Ok(vec![
        mean("deliveries/s", heard.messages as f64 / elapsed),
        mean("p50, ms", heard.latencies.percentile(50.0)),
        mean("p99, ms", heard.latencies.percentile(99.0)),
        mean(
            "CPU per delivery, with Redis, µs",
            cpu * 1e6 / heard.messages.max(1) as f64,
        ),
        Measure::sum(
            &format!("{count} × {}: not delivered in time", READERS / count),
            expected.saturating_sub(heard.messages) as f64,
        ),
        Measure::sum(
            &format!("{count} × {}: out of place or twice", READERS / count),
            heard.disordered as f64,
        ),
    ])
}

/// The load of (e), whose posts are kept in Redis.
fn measure_posts(stage: &Stage) -> Result<Vec<Measure>> {
    let cluster = Cluster::start(1, stage)?;
    let (per_second, latencies) = post::measure_on(cluster.replicas[0].address, stage)?;
    Ok(vec![
        Measure::mean("posts kept in Redis: acknowledged/s", per_second),
        Measure::mean("posts kept in Redis: p50, ms", latencies.percentile(50.0)),
        Measure::mean("posts kept in Redis: p99, ms", latencies.percentile(99.0)),
    ])
}

fn measure_storm(stage: &Stage) -> Result<Vec<Measure>> {
    // Until the replicas have closed what was cut, both generations of connections are open.
    let count = RETURNING.min(connections_within_limit(2 * RETURNING)? / 2);
    let cluster = Cluster::start(REPLICAS, stage)?;
    let mut swarms = Vec::new();
    for address in cluster.addresses() {
        let mut swarm = Swarm::start(address, MAIN, [Reader::default()])?;
        swarm.connect(count / REPLICAS, CONNECT_LIMIT)?;
        swarms.push(swarm);
    }
    clock::wait(LULL);
    for swarm in &swarms {
        swarm.collect()?;
        swarm.progress.retries.store(0, Relaxed);
    }
    let began = Instant::now();
    for swarm in &swarms {
        swarm.storm()?;
    }
    for swarm in &swarms {
        swarm.wait_ready(CONNECT_LIMIT)?;
    }
    let all_back = began.elapsed().as_secs_f64() * 1e3;
    let retries: usize = swarms
        .iter()
        .map(|it| it.progress.retries.load(Relaxed))
        .sum();
    Ok(vec![
        Measure::mean("storm: connections", (count / REPLICAS * REPLICAS) as f64),
        Measure::mean("storm: all are back after, ms", all_back),
        Measure::sum("storm: attempts that failed", retries as f64),
    ])
}
