//! (d): all clients lose their connections at the same moment and come back at once, without waiting; who fails tries
//! again, a bounded number of times.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;

use super::audience::Reader;
use super::{CONNECT_LIMIT, MAIN, Meter, Stage};
use crate::clock;
use crate::machine::connections_within_limit;
use crate::measure::{Goal, Measure};
use crate::server::Kind;
use crate::swarm::Swarm;

const CONNECTIONS: usize = 5_000;
/// Between storms, for the server to notice whom it lost.
const LULL: Duration = Duration::from_millis(1_500);

pub fn measure(kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
    // Until the server has closed what was cut, both generations of connections are open.
    let count = CONNECTIONS.min(connections_within_limit(2 * CONNECTIONS)? / 2);
    let server = stage.start(kind, MAIN)?;
    let roles = (0..stage.cores.load()).map(|_| Reader::default());
    let mut swarm = Swarm::start(server.address, MAIN, roles)?;
    swarm.connect(count, CONNECT_LIMIT)?;

    let mut measures = vec![Measure::mean("connections", count as f64)];
    for _ in 0..stage.pace.storms {
        clock::wait(LULL);
        swarm.collect()?;
        swarm.progress.retries.store(0, Relaxed);
        let meter = Meter::start(&server, stage)?;
        let cut = swarm.storm()?;
        swarm.wait_ready(CONNECT_LIMIT)?;
        let all_back = cut.elapsed();
        let reading = meter.read()?;
        let (_, journeys) = swarm.collect()?;
        let share = reading.load_share;
        let mean = |name, value| Measure::mean(name, value).load_share(share);
        measures.extend([
            mean("all are back after, ms", all_back.as_secs_f64() * 1e3)
                .goal(Goal::RatioAtMost(1.0)),
            mean("back after, p50, ms", journeys.percentile(50.0)),
            mean("back after, p99, ms", journeys.percentile(99.0)),
            mean(
                "CPU per connection, µs",
                reading.server_cpu * 1e6 / count as f64,
            ),
            mean("load clients' CPU, % of theirs", 100.0 * share),
            Measure::sum(
                "attempts that failed",
                swarm.progress.retries.load(Relaxed) as f64,
            ),
        ]);
    }
    Ok(measures)
}
