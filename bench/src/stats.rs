//! Latencies: recorded by the load clients in microseconds, read by the report as percentiles in milliseconds.

use hdrhistogram::Histogram;

const LOWEST_US: u64 = 1;
const HIGHEST_US: u64 = 120_000_000;
const DIGITS: u8 = 3;

/// A bounded histogram of durations; 1 µs to 2 minutes, three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS);
        Self(histogram.expect("the bounds are constants that the histogram accepts"))
    }
}

impl Latencies {
    /// Adds one duration in nanoseconds; what is out of range counts as the nearest bound.
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.div_ceil(1_000));
    }

    /// Adds all of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all latencies share their bounds");
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration in milliseconds that `percent` % of all do not exceed; 0 when there are none.
    pub fn percentile(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_millis(millis: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        for value in millis {
            latencies.record(value * 1_000_000);
        }
        latencies
    }

    fn assert_near(found: f64, wanted: f64) {
        assert!(
            (found - wanted).abs() <= wanted * 0.002,
            "{found}, not near {wanted}"
        );
    }

    #[test]
    fn percentiles_are_those_of_the_recorded_values() {
        let latencies = of_millis(1..=1_000);
        assert_eq!(latencies.count(), 1_000);
        assert_near(latencies.percentile(50.0), 500.0);
        assert_near(latencies.percentile(99.0), 990.0);
        assert_near(latencies.percentile(100.0), 1_000.0);
    }

    #[test]
    fn one_straggler_shows_in_the_maximum_not_in_the_99th() {
        let latencies = of_millis((0..999).map(|_| 2).chain([5_000]));
        assert_near(latencies.percentile(99.0), 2.0);
        assert_near(latencies.percentile(100.0), 5_000.0);
    }

    #[test]
    fn merging_equals_recording_together() {
        let mut halves = of_millis(1..=500);
        halves.merge(&of_millis(501..=1_000));
        let whole = of_millis(1..=1_000);
        for percent in [1.0, 50.0, 99.0, 100.0] {
            assert_eq!(halves.percentile(percent), whole.percentile(percent));
        }
    }

    #[test]
    fn nothing_recorded_is_zero_and_beyond_the_range_is_the_bound() {
        assert_eq!(Latencies::default().percentile(99.0), 0.0);
        assert_near(of_millis([600_000]).percentile(100.0), 120_000.0);
        let mut tiny = Latencies::default();
        tiny.record(0);
        assert_eq!(tiny.count(), 1);
    }
}
