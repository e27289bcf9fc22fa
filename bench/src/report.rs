//! Puts the servers' measures side by side: a Markdown table for people, a JSON for whoever wants every round.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;

use crate::machine::Machine;
use crate::measure::{Combine, DOUBTFUL_SHARE, Goal, Measure};
use crate::pace::Pace;
use crate::scenario::Scenario;
use crate::server::Kind;

/// All that one invocation has found out.
#[derive(Serialize)]
pub struct Report {
    pub time: Timestamp,
    pub command: String,
    pub machine: Machine,
    pub pace: Pace,
    pub rounds: Vec<Round>,
    pub failures: Vec<String>,
}

/// One scenario measured once on one server.
#[derive(Serialize)]
pub struct Round {
    pub scenario: Scenario,
    pub server: Kind,
    pub round: usize,
    pub measures: Vec<Measure>,
}

/// One line of the table.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    node: Option<f64>,
    ours: Option<f64>,
    goal: Option<Goal>,
    doubtful: bool,
}

impl Report {
    /// The whole report in Markdown.
    pub fn markdown(&self) -> String {
        let Machine {
            cpu,
            cores,
            kernel,
            memory,
            data,
            busy,
            node,
            handshaken,
            rustc,
        } = &self.machine;
        let mut text = format!(
            "# Handshaken beside Node, {}\n\n\
             `{}`\n\n\
             - Machine: {cpu}; cores: {cores}; {memory}; {kernel}; data on {data}; load average before: {busy}\n\
             - Node: {node}\n\
             - Handshaken: {handshaken}; {rustc}\n\
             - {} round(s) of {:?}; values are means of the rounds, counts are sums\n",
            self.time.strftime("%Y-%m-%d %H:%M UTC"),
            self.command,
            self.pace.rounds,
            self.pace.window,
        );
        let mut scenarios: Vec<_> = self.rounds.iter().map(|round| round.scenario).collect();
        scenarios.sort();
        scenarios.dedup();
        let mut doubt = false;
        for scenario in scenarios {
            let rows = rows(self.rounds.iter().filter(|it| it.scenario == scenario));
            doubt |= rows.iter().any(|row| row.doubtful);
            let _ = writeln!(
                text,
                "\n## {}\n\n| | Node | Handshaken | Handshaken ÷ Node | goal |\n|---|--:|--:|--:|---|",
                scenario.title()
            );
            for row in rows {
                let _ = writeln!(text, "{}", row.markdown());
            }
        }
        if doubt {
            let percent = 100.0 * DOUBTFUL_SHARE;
            let _ = writeln!(
                text,
                "\n† The load clients used more than {percent} % of their cores: the server may do better."
            );
        }
        if !self.failures.is_empty() {
            let _ = writeln!(text, "\n## Not measured\n");
            for failure in &self.failures {
                let _ = writeln!(text, "- {failure}");
            }
        }
        text
    }

    /// Writes Markdown and JSON to `folder` under the time of the run; returns the Markdown.
    pub fn write(&self, folder: &Path) -> Result<String> {
        let markdown = self.markdown();
        let name = self.time.strftime("%Y-%m-%dT%H%M%SZ").to_string();
        let json = serde_json::to_string_pretty(self).context("cannot write the report as JSON")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(folder.join(format!("{name}.md")), &markdown))
            .and_then(|()| fs::write(folder.join(format!("{name}.json")), json + "\n"))
            .with_context(|| format!("cannot write the report to {}", folder.display()))?;
        Ok(markdown)
    }
}

/// Rows in the order in which the measures first appear.
fn rows<'a>(rounds: impl Iterator<Item = &'a Round>) -> Vec<Row> {
    let measures: Vec<(Kind, &Measure)> = rounds
        .flat_map(|round| round.measures.iter().map(|it| (round.server, it)))
        .filter(|(_, measure)| !measure.aside)
        .collect();
    let mut rows: Vec<Row> = Vec::new();
    for (_, measure) in &measures {
        if rows.iter().any(|row| row.name == measure.name) {
            continue;
        }
        let same = || measures.iter().filter(|(_, it)| it.name == measure.name);
        let value = |kind: Kind, combine: Combine| {
            let values: Vec<f64> = same()
                .filter(|(of, _)| *of == kind)
                .map(|(_, it)| it.value)
                .collect();
            (!values.is_empty()).then(|| combine.of(&values))
        };
        rows.push(Row {
            name: measure.name.clone(),
            node: value(Kind::Node, measure.combine),
            ours: value(Kind::Handshaken, measure.combine),
            goal: same().find_map(|(_, it)| it.goal),
            doubtful: same().any(|(_, it)| it.load_share.is_some_and(|at| at > DOUBTFUL_SHARE)),
        });
    }
    rows
}

impl Row {
    fn markdown(&self) -> String {
        let Self {
            name,
            node,
            ours,
            goal,
            doubtful,
        } = self;
        let ratio = match (ours, node) {
            (Some(ours), Some(node)) if *node > 0.0 => format!("{:.2}", ours / node),
            _ => "–".to_owned(),
        };
        let goal = goal.map_or(String::new(), |goal| {
            let reached = ours.and_then(|ours| goal.is_reached(ours, *node));
            let word = match reached {
                Some(true) => ", reached",
                Some(false) => ", **missed**",
                None => "",
            };
            format!("{goal}{word}")
        });
        let mark = if *doubtful { " †" } else { "" };
        format!(
            "| {name}{mark} | {} | {} | {ratio} | {goal} |",
            number(*node),
            number(*ours)
        )
    }
}

/// Three significant digits, thousands apart.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "–".to_owned();
    };
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 3) as usize;
    let plain = format!("{value:.digits$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut spaced = String::new();
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && digit != '-' && (whole.len() - position).is_multiple_of(3) {
            spaced.push(',');
        }
        spaced.push(digit);
    }
    spaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(server: Kind, values: &[f64]) -> Vec<Round> {
        values
            .iter()
            .enumerate()
            .map(|(round, value)| Round {
                scenario: Scenario::Storm,
                server,
                round,
                measures: vec![
                    Measure::mean("time", *value)
                        .goal(Goal::RatioAtMost(1.0))
                        .load_share(value / 100.0),
                    Measure::sum("failed", *value),
                    Measure::mean("aside", *value).aside(),
                ],
            })
            .collect()
    }

    #[test]
    fn rounds_become_one_row_per_measure_with_a_ratio() {
        let mut rounds = round(Kind::Node, &[40.0, 60.0]);
        rounds.extend(round(Kind::Handshaken, &[20.0, 10.0]));
        let rows = rows(rounds.iter());
        assert_eq!(rows.len(), 2);
        assert_eq!(
            rows[0].markdown(),
            "| time | 50.0 | 15.0 | 0.30 | ≤ 1×, reached |"
        );
        assert_eq!(rows[1].markdown(), "| failed | 100 | 30.0 | 0.30 |  |");
    }

    #[test]
    fn a_busy_generator_marks_the_row_and_a_missing_server_leaves_a_gap() {
        let rounds = round(Kind::Handshaken, &[95.0]);
        let rows = rows(rounds.iter());
        assert_eq!(rows[0].markdown(), "| time † | – | 95.0 | – | ≤ 1× |");
    }

    #[test]
    fn numbers_have_three_digits_and_separated_thousands() {
        for (value, wanted) in [
            (0.0, "0"),
            (0.01234, "0.012"),
            (1.234, "1.23"),
            (99.96, "100.0"),
            (1234.5, "1,234"),
            (299_700.4, "299,700"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(Some(value)), wanted);
        }
        assert_eq!(number(None), "–");
    }
}
