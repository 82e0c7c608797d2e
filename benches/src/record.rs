//! The figures a machine once reached, so that losing them is noticed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::gate::Kind;
use crate::machine::Machine;
use crate::verdict::{Outcome, Verdict};

/// A figure whose upper bound lies below this share of the recorded one is a loss.
const SHARE_MIN: f64 = 0.75;

/// The content of `record.json`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Record {
    machine: Machine,
    /// Median ratios by gate.
    ratios: BTreeMap<String, f64>,
}

impl Record {
    /// What is worth recording of a run: ratios that could be measured and met their bars.
    #[must_use]
    pub fn of(machine: Machine, outcomes: &[Outcome]) -> Record {
        let measured = outcomes
            .iter()
            .filter(|outcome| is_ratio(outcome) && outcome.verdict == Verdict::Pass)
            .filter_map(|outcome| Some((outcome.gate.clone(), outcome.estimate?.median)))
            .collect();
        Record {
            machine,
            ratios: measured,
        }
    }

    /// Reads a record; `None` when there is none yet.
    pub fn read(path: &Path) -> Result<Option<Record>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(format!("cannot read {}", path.display())),
        };
        let record = serde_json::from_str(&text);
        Ok(Some(record.with_context(|| {
            format!("{} is not a record", path.display())
        })?))
    }

    /// Writes the record, one figure a line.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Fails those outcomes that fell far below what the same kind of machine once reached.
    pub fn hold(&self, machine: &Machine, outcomes: &mut [Outcome]) {
        if !self.machine.is_like(machine) {
            return;
        }
        for outcome in outcomes.iter_mut().filter(|outcome| is_ratio(outcome)) {
            let (Some(estimate), Some(&recorded)) =
                (outcome.estimate, self.ratios.get(&outcome.gate))
            else {
                continue;
            };
            if outcome.verdict == Verdict::Pass && estimate.high < SHARE_MIN * recorded {
                outcome.verdict = Verdict::Fail;
                let commit = &self.machine.commit;
                outcome.note = format!("was {recorded:.2} at {commit}; {}", outcome.note);
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
    use crate::stats::Estimate;

    fn outcome(gate: &str, kind: Kind, median: f64, verdict: Verdict) -> Outcome {
        Outcome {
            gate: gate.to_owned(),
            kind,
            estimate: Some(Estimate::exact(median)),
            required: 1.0,
            held_to: 1.0,
            baseline: String::new(),
            verdict,
            note: String::new(),
        }
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

    #[track_caller]
    fn check(cores: usize, median: f64, want: Verdict) {
        let best = [outcome("a", Kind::Ratio, 4.0, Verdict::Pass)];
        let record = Record::of(machine(2), &best);
        let mut now = [outcome("a", Kind::Ratio, median, Verdict::Pass)];
        record.hold(&machine(cores), &mut now);
        assert_eq!(now[0].verdict, want);
    }

    #[test]
    fn a_quarter_below_the_record_fails_on_a_like_machine() {
        check(2, 3.1, Verdict::Pass);
        check(2, 2.9, Verdict::Fail);
        check(8, 2.9, Verdict::Pass);
    }

    #[test]
    fn only_ratios_that_passed_are_recorded() {
        let outcomes = [
            outcome("answer", Kind::Answer, 1.0, Verdict::Pass),
            outcome("good", Kind::Scaling, 1.9, Verdict::Pass),
            outcome("noisy", Kind::Ratio, 3.0, Verdict::Unmeasurable),
        ];
        let record = Record::of(machine(2), &outcomes);
        assert_eq!(record.ratios.keys().collect::<Vec<_>>(), ["good"]);
    }

    #[test]
    fn records_round_trip_and_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        assert!(Record::read(&path).unwrap().is_none());
        let outcomes = [outcome("a", Kind::Ratio, 4.0, Verdict::Pass)];
        Record::of(machine(2), &outcomes).write(&path).unwrap();
        let record = Record::read(&path).unwrap().unwrap();
        assert_eq!(record.ratios["a"], 4.0);
        assert_eq!(record.machine, machine(2));
        std::fs::write(&path, "{").unwrap();
        assert!(Record::read(&path).is_err());
    }
}
