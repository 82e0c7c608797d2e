//! What kinds of machines once reached, so that it can be shown and losing it is noticed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::gate::{Gate, Kind};
use crate::machine::Machine;
use crate::verdict::{Outcome, Verdict};

/// A ratio whose upper bound lies below this share of the recorded one is a loss.
const SHARE_MIN: f64 = 0.75;

/// The content of `docs/reports/performance.json`: the last figure of every gate, for each kind of machine.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Record {
    machines: Vec<Reached>,
}

/// What one kind of machine reached.
#[derive(Debug, Deserialize, Serialize)]
struct Reached {
    cpu: String,
    cores: usize,
    isa: String,
    os: String,
    gates: BTreeMap<String, Figure>,
    /// Figures that no gate holds, with the command that gives them: written by `cargo xtask figures`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    figures: Option<serde_json::Value>,
}

/// What a gate came to.
#[derive(Debug, Deserialize, Serialize)]
struct Figure {
    kind: Kind,
    /// What is measured against what, as `gates.toml` says.
    baseline: String,
    bar: String,
    measured: f64,
    low: f64,
    high: f64,
    verdict: Verdict,
    /// Why, where the verdict is another one than `pass`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
    commit: String,
}

impl Reached {
    fn is_of(&self, machine: &Machine) -> bool {
        (&self.cpu, self.cores, &self.isa) == (&machine.cpu, machine.cores, &machine.isa)
    }
}

impl Record {
    /// Takes over every figure of a run; what the run has no figure of stays as it was.
    pub fn take(&mut self, machine: &Machine, gates: &[Gate], outcomes: &[Outcome]) {
        let at = self.machines.iter().position(|one| one.is_of(machine));
        let at = at.unwrap_or_else(|| {
            self.machines.push(Reached {
                cpu: machine.cpu.clone(),
                cores: machine.cores,
                isa: machine.isa.clone(),
                os: machine.os.clone(),
                gates: BTreeMap::new(),
                figures: None,
            });
            self.machines.len() - 1
        });
        for (gate, outcome) in gates.iter().zip(outcomes) {
            let Some(estimate) = outcome.estimate else {
                continue;
            };
            let passed = outcome.verdict == Verdict::Pass;
            let figure = Figure {
                kind: gate.kind,
                baseline: gate.baseline.clone(),
                bar: gate.required.to_string(),
                measured: estimate.median,
                low: estimate.low,
                high: estimate.high,
                verdict: outcome.verdict,
                note: if passed {
                    String::new()
                } else {
                    outcome.note.clone()
                },
                commit: machine.commit.clone(),
            };
            self.machines[at].gates.insert(gate.name.clone(), figure);
        }
    }

    /// Reads a record; an empty one where there is none yet.
    pub fn read(path: &Path) -> Result<Record> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Record::default());
            }
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        let record = serde_json::from_str(&text);
        record.with_context(|| format!("{} is not a record", path.display()))
    }

    /// Writes the record, one figure a line.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Fails those ratios that fell far below what the same kind of machine once reached.
    pub fn hold(&self, machine: &Machine, outcomes: &mut [Outcome]) {
        let Some(reached) = self.machines.iter().find(|one| one.is_of(machine)) else {
            return;
        };
        for outcome in outcomes.iter_mut().filter(|outcome| is_ratio(outcome)) {
            let (Some(estimate), Some(figure)) =
                (outcome.estimate, reached.gates.get(&outcome.gate))
            else {
                continue;
            };
            let passed = outcome.verdict == Verdict::Pass && figure.verdict == Verdict::Pass;
            if passed && estimate.high < SHARE_MIN * figure.measured {
                outcome.verdict = Verdict::Fail;
                let Figure {
                    measured, commit, ..
                } = figure;
                outcome.note = format!("was {measured:.2} at {commit}; {}", outcome.note);
            }
        }
    }
}

fn is_ratio(outcome: &Outcome) -> bool {
    matches!(outcome.kind, Kind::Ratio | Kind::Scaling)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Clock;
    use crate::stats::Estimate;

    fn gate(name: &str) -> Gate {
        Gate {
            name: name.to_owned(),
            kind: Kind::Ratio,
            baseline: "another".to_owned(),
            required: ">= 2".parse().unwrap(),
            clock: Clock::Cpu,
            needs: Vec::new(),
            isa: Vec::new(),
            extension: None,
        }
    }

    fn outcome(gate: &Gate, median: f64, verdict: Verdict) -> Outcome {
        Outcome::with_figure(gate, Estimate::exact(median), verdict, "why".to_owned())
    }

    fn machine(cores: usize) -> Machine {
        Machine {
            cpu: "cpu".to_owned(),
            cores,
            isa: "avx2".to_owned(),
            os: "linux".to_owned(),
            commit: "abc".to_owned(),
        }
    }

    fn record(of: &[(&str, f64, Verdict)]) -> Record {
        let mut record = Record::default();
        for &(name, median, verdict) in of {
            let gate = gate(name);
            let outcome = outcome(&gate, median, verdict);
            record.take(&machine(2), &[gate], &[outcome]);
        }
        record
    }

    #[track_caller]
    fn check(cores: usize, before: Verdict, median: f64, want: Verdict) {
        let record = record(&[("a", 4.0, before)]);
        let mut now = [outcome(&gate("a"), median, Verdict::Pass)];
        record.hold(&machine(cores), &mut now);
        assert_eq!(now[0].verdict, want);
    }

    #[test]
    fn a_quarter_below_the_record_fails_on_a_like_machine() {
        check(2, Verdict::Pass, 3.1, Verdict::Pass);
        check(2, Verdict::Pass, 2.9, Verdict::Fail);
        check(8, Verdict::Pass, 2.9, Verdict::Pass);
        check(2, Verdict::Unmeasurable, 2.9, Verdict::Pass);
    }

    #[test]
    fn the_last_figure_of_each_gate_stays() {
        let record = record(&[
            ("a", 3.0, Verdict::Fail),
            ("b", 5.0, Verdict::Pass),
            ("a", 4.0, Verdict::Pass),
        ]);
        let gates = &record.machines[0].gates;
        assert_eq!((gates["a"].measured, gates["b"].measured), (4.0, 5.0));
        assert_eq!(
            (gates["a"].bar.as_str(), gates["a"].note.as_str()),
            (">= 2", "")
        );
    }

    #[test]
    fn what_could_not_be_measured_leaves_what_was() {
        let mut record = record(&[("a", 3.0, Verdict::Pass)]);
        let gate = gate("a");
        let skipped = Outcome::without_figure(&gate, Verdict::Skipped, "no data");
        record.take(&machine(2), &[gate], &[skipped]);
        assert_eq!(record.machines[0].gates["a"].measured, 3.0);
    }

    #[test]
    fn records_round_trip_and_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        assert!(Record::read(&path).unwrap().machines.is_empty());
        let mut kept = record(&[("a", 4.0, Verdict::Pass)]);
        kept.machines[0].figures = Some(serde_json::json!({ "p50": 3 }));
        kept.write(&path).unwrap();
        let record = Record::read(&path).unwrap();
        assert_eq!(record.machines[0].gates["a"].measured, 4.0);
        assert_eq!(record.machines[0].figures, kept.machines[0].figures);
        std::fs::write(&path, "{").unwrap();
        assert!(Record::read(&path).is_err());
    }
}
