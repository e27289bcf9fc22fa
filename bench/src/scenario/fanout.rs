//! (a), (b) and (f): one client talks, many hear it. Latency, deliveries and CPU per delivery at given rates, and the
//! highest rate that a server sustains.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Result;

use super::audience::{Heard, Reader, Speech, Talker};
use super::{CONNECT_LIMIT, LEAD, MAIN, Meter, Reading, Stage};
use crate::clock;
use crate::measure::{Goal, Measure};
use crate::server::{Kind, Server};
use crate::swarm::Swarm;
use crate::wire::language::Language;

const MANY: usize = 1_000;
const RATES: [u32; 3] = [50, 100, 300];
const FEW: usize = 100;
const SEVERAL: usize = 10;
const BUSY_RATE: u32 = 2_000;
/// Low enough that no server begins the measured window with a backlog.
const BUSY_WARM_UP_RATE: u32 = 500;

/// A sustained rate leaves no more than this to deliver after the last message was due,
const BACKLOG: Duration = Duration::from_millis(100);
/// and no more than this for the slowest hundredth.
const SLOWEST_P99_MS: f64 = 1_000.0;
/// The search for the highest sustained rate climbs by this factor.
const CLIMB: f64 = 1.5;

pub fn measure_rates(kind: Kind, stage: &Stage, language: Language) -> Result<Vec<Measure>> {
    let mut hall = Hall::open(kind, stage, language, MANY, 1)?;
    let mut measures = Vec::new();
    let mut held = None;
    hall.talk(RATES[0], stage.pace.warm_up)?;
    for rate in RATES {
        let window = hall.talk(rate, stage.pace.window)?;
        if window.is_sustained() {
            held = Some(rate);
        }
        measures.extend(window.measures());
        hall.recover(&window)?;
    }
    measures.extend(hall.highest_sustained(held.unwrap_or(RATES[0]))?);
    Ok(measures)
}

/// Once by one sender, whose messages must stay in order, and once by several, whose need not.
pub fn measure_busy(kind: Kind, stage: &Stage) -> Result<Vec<Measure>> {
    let mut measures = Vec::new();
    for talkers in [1, SEVERAL] {
        let mut hall = Hall::open(kind, stage, MAIN, FEW, talkers)?;
        hall.talk(BUSY_WARM_UP_RATE, stage.pace.warm_up)?;
        measures.extend(hall.talk(BUSY_RATE, stage.pace.window)?.measures());
    }
    Ok(measures)
}

/// A server with its readers and its talker.
struct Hall<'a> {
    kind: Kind,
    stage: &'a Stage,
    language: Language,
    readers: Swarm<Reader>,
    talker: Swarm<Talker>,
    server: Server,
}

/// What one stretch of talking at one rate has shown.
struct Window {
    rate: u32,
    talkers: usize,
    expected: u64,
    heard: Heard,
    began: u64,
    last_due: u64,
    dropped: usize,
    lateness_p99: f64,
    reading: Reading,
}

impl<'a> Hall<'a> {
    fn open(
        kind: Kind,
        stage: &'a Stage,
        language: Language,
        readers: usize,
        talkers: usize,
    ) -> Result<Self> {
        let server = stage.start(kind, language)?;
        let roles = (0..stage.cores.load()).map(|_| Reader::default());
        let mut hall = Self {
            kind,
            stage,
            language,
            readers: Swarm::start(server.address, language, roles)?,
            talker: Swarm::start(server.address, language, [Talker::default()])?,
            server,
        };
        hall.readers.connect(readers, CONNECT_LIMIT)?;
        hall.talker.connect(talkers, CONNECT_LIMIT)?;
        Ok(hall)
    }

    /// One talk: `rate` messages a second for `time`, then up to the grace time for the rest to arrive.
    fn talk(&mut self, rate: u32, time: Duration) -> Result<Window> {
        let run = self.stage.next_run();
        let messages = (f64::from(rate) * time.as_secs_f64()).round() as u32;
        let expected = u64::from(messages) * self.readers.size() as u64;
        self.readers.progress.done.store(0, Relaxed);
        self.readers.order(|_| run)?;
        let meter = Meter::start(&self.server, self.stage)?;
        let speech = Speech {
            run,
            begin: clock::now() + clock::nanos(LEAD),
            interval: 1_000_000_000 / u64::from(rate),
            messages,
        };
        self.talker.order(|_| speech)?;
        self.readers
            .wait_done(expected, LEAD + time + self.stage.pace.grace);
        let reading = meter.read()?;
        let mut heard = Heard::default();
        for theirs in self.readers.collect()?.0 {
            heard.merge(&theirs);
        }
        let mut lateness = crate::stats::Latencies::default();
        for theirs in self.talker.collect()?.0 {
            lateness.merge(&theirs);
        }
        Ok(Window {
            rate,
            talkers: self.talker.size(),
            expected,
            heard,
            began: speech.begin,
            last_due: speech.begin + u64::from(messages.saturating_sub(1)) * speech.interval,
            dropped: self.readers.progress.dropped.load(Relaxed)
                + self.talker.progress.dropped.load(Relaxed),
            lateness_p99: lateness.percentile(99.0),
            reading,
        })
    }

    /// Opens anew after a talk that left something behind, so that the next one begins with a clean slate.
    fn recover(&mut self, window: &Window) -> Result<()> {
        if window.lost() > 0 || window.dropped > 0 {
            *self = Self::open(
                self.kind,
                self.stage,
                self.language,
                self.readers.size(),
                self.talker.size(),
            )?;
            self.talk(window.rate.min(RATES[0]), self.stage.pace.warm_up)?;
        }
        Ok(())
    }

    /// A rate counts as sustained when one try out of those the pace allows succeeds: other work on the machine may
    /// have spoilt the first.
    fn try_to_sustain(&mut self, rate: u32) -> Result<Option<Window>> {
        for _ in 0..self.stage.pace.tries {
            let window = self.talk(rate, self.stage.pace.step)?;
            let sustained = window.is_sustained();
            self.recover(&window)?;
            if sustained {
                return Ok(Some(window));
            }
        }
        Ok(None)
    }

    /// Climbs (or descends) from a rate to the border between sustained and not, then closes in on it.
    fn highest_sustained(&mut self, from: u32) -> Result<Vec<Measure>> {
        let mut held: Option<(u32, Window)> = None;
        let (mut low, mut high) = (0.0, f64::INFINITY);
        let mut rate = f64::from(from);
        for _ in 0..self.stage.pace.steps {
            match self.try_to_sustain(rate.round() as u32)? {
                Some(window) => {
                    low = rate;
                    held = Some((rate.round() as u32, window));
                }
                None => high = rate,
            }
            if low > 0.0 && high / low <= self.stage.pace.precision {
                break;
            }
            rate = match (low, high) {
                (low, f64::INFINITY) => low * CLIMB,
                (0.0, high) => high / 2.0,
                (low, high) => (low * high).sqrt(),
            };
            if rate < 1.0 {
                break;
            }
        }
        let Some((rate, window)) = held else {
            return Ok(vec![Measure::mean("highest sustained: deliveries/s", 0.0)]);
        };
        let share = window.reading.load_share;
        let deliveries = f64::from(rate) * self.readers.size() as f64;
        let named = |what: &str, value| {
            Measure::mean(&format!("highest sustained: {what}"), value).load_share(share)
        };
        Ok(vec![
            named("deliveries/s", deliveries).goal(Goal::RatioAtLeast(3.0)),
            named("p99, ms", window.heard.latencies.percentile(99.0)),
            named("CPU per delivery, µs", window.cpu_per_delivery()).goal(Goal::RatioAtMost(0.7)),
            named("load clients' CPU, % of theirs", 100.0 * share),
        ])
    }
}

impl Window {
    fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.heard.messages)
    }

    fn is_sustained(&self) -> bool {
        let backlog = self.heard.last.saturating_sub(self.last_due);
        self.heard.messages == self.expected
            && self.dropped == 0
            && self.heard.latencies.percentile(99.0) <= SLOWEST_P99_MS
            && backlog <= clock::nanos(BACKLOG)
    }

    fn cpu_per_delivery(&self) -> f64 {
        self.reading.server_cpu * 1e6 / self.heard.messages.max(1) as f64
    }

    /// Over the time until the last was due, or until the last was delivered when that was later than a steady
    /// stream would need.
    fn deliveries_per_second(&self) -> f64 {
        let due_end = self.last_due + 1_000_000_000 / u64::from(self.rate);
        let time = clock::seconds(self.began, due_end.max(self.heard.last));
        self.heard.messages as f64 / time
    }

    fn measures(&self) -> Vec<Measure> {
        let Self { rate, talkers, .. } = self;
        let named = |what: &str| match talkers {
            1 => format!("{rate}/s: {what}"),
            several => format!("{rate}/s from {several} senders: {what}"),
        };
        let share = self.reading.load_share;
        let latencies = &self.heard.latencies;
        let mut measures = vec![
            Measure::mean(&named("deliveries/s"), self.deliveries_per_second()).load_share(share),
            Measure::mean(&named("p50, ms"), latencies.percentile(50.0)).load_share(share),
            Measure::mean(&named("p99, ms"), latencies.percentile(99.0)).load_share(share),
            Measure::mean(&named("CPU per delivery, µs"), self.cpu_per_delivery())
                .load_share(share)
                .goal(Goal::RatioAtMost(0.7)),
            Measure::mean(
                &named("server's CPU, % of a core"),
                100.0 * self.reading.server_cpu / self.reading.elapsed,
            ),
            Measure::sum(&named("not delivered in time"), self.lost() as f64),
            Measure::sum(&named("connections lost"), self.dropped as f64),
            Measure::mean(&named("sender's lateness p99, ms"), self.lateness_p99).aside(),
            Measure::mean(&named("load clients' CPU, % of theirs"), 100.0 * share),
        ];
        if *talkers == 1 {
            // Nobody promises an order between senders.
            let disordered = self.heard.disordered as f64;
            measures.push(Measure::sum(&named("out of place"), disordered));
        }
        measures
    }
}
