//! (c) and (g): connections that say nothing and only answer pings. What one costs in the server's memory, in the kernel's,
//! and how much CPU all of them take.

use std::sync::atomic::Ordering::Relaxed;

use anyhow::Result;

use super::audience::Reader;
use super::{CONNECT_LIMIT, Meter, Stage};
use crate::clock;
use crate::machine::connections_within_limit;
use crate::measure::{Goal, Measure};
use crate::proc::KernelMemory;
use crate::server::Kind;
use crate::swarm::Swarm;
use crate::wire::language::Language;

const CONNECTIONS: usize = 10_000;

pub fn measure(kind: Kind, stage: &Stage, language: Language) -> Result<Vec<Measure>> {
    let count = connections_within_limit(CONNECTIONS)?;
    let server = stage.start(kind, language)?;
    let roles = (0..stage.cores.load()).map(|_| Reader::default());
    let mut swarm = Swarm::start(server.address, language, roles)?;
    clock::wait(stage.pace.settle);
    let bare = server.resident_bytes()?;
    let kernel_before = KernelMemory::read()?;

    let connecting = Meter::start(&server, stage)?;
    swarm.connect(count, CONNECT_LIMIT)?;
    let connected = connecting.read()?;
    clock::wait(stage.pace.settle);
    let full = server.resident_bytes()?;
    let kernel = KernelMemory::read()?;

    swarm.progress.pings.store(0, Relaxed);
    let watching = Meter::start(&server, stage)?;
    clock::wait(stage.pace.idle);
    let watched = watching.read()?;
    let later = server.resident_bytes()?;
    let pings = swarm.progress.pings.load(Relaxed);

    let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / count as f64 / 1e3;
    Ok(vec![
        Measure::mean("connections", count as f64),
        Measure::mean("RSS per connection, KB", each(full, bare)).goal(Goal::AtMost(12.0)),
        Measure::mean(
            "RSS per connection after the idle time, KB",
            each(later, bare),
        )
        .goal(Goal::AtMost(12.0)),
        Measure::mean("RSS of the bare server, MB", bare as f64 / 1e6),
        Measure::mean(
            "kernel slab per connection, both ends, KB",
            each(kernel.slab, kernel_before.slab),
        ),
        Measure::mean(
            "TCP buffers per connection, both ends, KB",
            each(kernel.tcp_buffers, kernel_before.tcp_buffers),
        ),
        Measure::mean(
            "CPU while idle, % of a core",
            100.0 * watched.server_cpu / watched.elapsed,
        ),
        Measure::mean(
            "pings per connection meanwhile",
            pings as f64 / count as f64,
        ),
        Measure::mean(
            "CPU per connect, µs",
            connected.server_cpu * 1e6 / count as f64,
        )
        .load_share(connected.load_share),
        Measure::sum(
            "connections lost",
            swarm.progress.dropped.load(Relaxed) as f64,
        ),
    ])
}
