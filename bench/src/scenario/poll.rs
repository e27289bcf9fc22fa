//! (g): clients that poll, of Socket.IO 0.9 and of Engine.IO 4 one after the other, while somebody talks slowly. What a
//! poll costs, and whether each client stays known and hears everything.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;

use super::audience::{Speech, Talker};
use super::{CONNECT_LIMIT, MAIN, Meter, Stage};
use crate::clock;
use crate::machine::connections_within_limit;
use crate::measure::{Goal, Measure};
use crate::poller::{Pollers, Tongue};
use crate::server::Kind;
use crate::swarm::Swarm;

const CLIENTS: usize = 2_000;
/// Messages a second; each costs every client a poll.
const RATE: u32 = 2;
const LEAD: Duration = Duration::from_millis(200);

/// Node's server does not speak 0.9 any more.
pub fn measure(kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
    let (current, mut measures) = measure_tongue(Tongue::Current, kind, stage)?;
    if kind == Kind::Handshaken {
        let (legacy, more) = measure_tongue(Tongue::Legacy, kind, stage)?;
        measures.extend(more);
        measures.push(
            Measure::mean("0.9 ÷ Engine.IO 4: CPU per poll", legacy / current)
                .goal(Goal::AtMost(2.0)),
        );
    }
    Ok(measures)
}

/// The CPU of a poll, in µs, and all that was measured.
fn measure_tongue(tongue: Tongue, kind: Kind, stage: &Stage) -> Result<(f64, Vec<Measure>)> {
    let count = connections_within_limit(CLIENTS)?;
    let server = stage.start(kind, MAIN)?;
    let pollers = Pollers::connect(
        tongue,
        server.address,
        count,
        stage.cores.load(),
        CONNECT_LIMIT,
    )?;
    let mut talker = Swarm::start(server.address, MAIN, [Talker::default()])?;
    talker.connect(1, CONNECT_LIMIT)?;
    clock::wait(stage.pace.settle);

    let counts = &pollers.counts;
    let run = stage.next_run();
    counts.run.store(run, Relaxed);
    counts.messages.store(0, Relaxed);
    let messages = (f64::from(RATE) * stage.pace.polling.as_secs_f64()).round() as u32;
    let expected = u64::from(messages) * count as u64;
    let polls_before = counts.polls.load(Relaxed);
    let meter = Meter::start(&server, stage)?;
    let speech = Speech {
        run,
        begin: clock::now() + clock::nanos(LEAD),
        interval: 1_000_000_000 / u64::from(RATE),
        messages,
    };
    talker.order(|_| speech)?;
    pollers.wait_messages(expected, LEAD + stage.pace.polling + stage.pace.grace);
    let reading = meter.read()?;
    let polls = counts.polls.load(Relaxed) - polls_before;
    let heard = counts.messages.load(Relaxed);
    let per_poll = reading.server_cpu * 1e6 / polls.max(1) as f64;
    let (unknown, disordered) = (
        counts.unknown.load(Relaxed) as f64,
        counts.disordered.load(Relaxed) as f64,
    );
    let dropped = counts.dropped.load(Relaxed);
    if dropped > 0 {
        eprintln!(
            "bench: {dropped} polling clients dropped: {}",
            pollers.reason()
        );
    }
    let latencies = pollers.finish()?;

    let share = reading.load_share;
    let name = match tongue {
        Tongue::Legacy => "0.9",
        Tongue::Current => "Engine.IO 4",
    };
    let named = |what: &str| format!("{name}: {what}");
    let mean = |what: &str, value| Measure::mean(&named(what), value).load_share(share);
    let measures = vec![
        mean("clients", count as f64),
        mean("polls/s", polls as f64 / reading.elapsed),
        mean("CPU per poll, µs", per_poll),
        mean("p50, ms", latencies.percentile(50.0)),
        mean("p99, ms", latencies.percentile(99.0)),
        Measure::sum(
            &named("not delivered in time"),
            expected.saturating_sub(heard) as f64,
        ),
        Measure::sum(&named("out of place or twice"), disordered),
        Measure::sum(&named("session not known"), unknown),
        Measure::sum(&named("connections lost"), dropped as f64),
        Measure::mean(&named("load clients' CPU, % of theirs"), 100.0 * share),
    ];
    Ok((per_poll, measures))
}
