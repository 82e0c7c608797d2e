//! Sees every gate fail: a gate that cannot fail guards nothing.

use anyhow::{Context, Result, ensure};
use cortica_simd::Isa;

use crate::gate::{Gate, Kind};
use crate::runner::{measure, skip_reason};
use crate::subject::{Setup, Subject};
use crate::verdict::{Outcome, Verdict};

/// Where a held-back ratio is to land, as a share of its bar.
const SHARE_OF_BAR: f64 = 0.8;

/// How far from there it may land, as a share of where it should.
const MISS_MAX: f64 = 0.05;

/// How often a ratio is tried when it lands elsewhere, or the machine was too noisy to tell.
const ATTEMPTS: usize = 3;

/// Runs one gate with its subject made worse on purpose: answers and counts come out wrong,
/// timed sections burn so much time that the ratio lands at 0.8 of its bar.
///
/// The outcome's verdict is `Fail` when all is well with the gate. An error is none of the
/// gate's doing: the subject must work before it can be seen to fail.
pub fn run(gate: &Gate, subject: Option<&Subject>, setup: &Setup) -> Result<Outcome> {
    if let Some(reason) = skip_reason(gate, subject, setup) {
        return Ok(Outcome::without_figure(gate, Verdict::Skipped, reason));
    }
    if !gate.is_stated_for(Isa::best()) {
        let note = format!("skipped: no bar is stated for {}", Isa::best());
        return Ok(Outcome::without_figure(gate, Verdict::Skipped, note));
    }
    let subject = subject.context("no subject is registered under this name")?;
    let honest = measure(gate, subject, setup, 1.0).context("fails before it is made worse")?;
    match gate.kind {
        Kind::Answer | Kind::Count => {
            ensure!(
                honest.verdict == Verdict::Pass,
                "is wrong before it is made wrong"
            );
            let corrupted = Setup {
                corrupt: true,
                ..setup.clone()
            };
            measure(gate, subject, &corrupted, 1.0)
        }
        Kind::Ratio | Kind::Scaling => {
            let ratio = honest.estimate.context("nothing was measured")?.median;
            held_back(gate, subject, setup, ratio, honest.held_to)
        }
    }
}

/// Holds a subject of this ratio back until it lands where it should. The first guess is seldom
/// right: work that stops to burn time finds its caches colder when it goes on. Where the bar is
/// beyond this processor, what it is held to instead stands for the bar.
fn held_back(
    gate: &Gate,
    subject: &Subject,
    setup: &Setup,
    ratio: f64,
    held_to: f64,
) -> Result<Outcome> {
    let aim = SHARE_OF_BAR * gate.required.ratio().min(held_to);
    let mut brake = (ratio / aim).max(1.0);
    let mut attempts = 0;
    loop {
        let mut outcome = measure(gate, subject, setup, brake)?;
        attempts += 1;
        let landed = outcome.estimate.context("nothing was measured")?.median;
        let off = landed / aim;
        let good = outcome.verdict != Verdict::Unmeasurable && (off - 1.0).abs() <= MISS_MAX;
        // A subject that is slower than that on its own needs no brake, and cannot be sped up.
        let slow_alone = brake == 1.0 && off < 1.0;
        if good || slow_alone || attempts == ATTEMPTS {
            let note = &outcome.note;
            outcome.note = format!("was {ratio:.3}, held back x{brake:.2}; {note}");
            return Ok(outcome);
        }
        brake = (brake * off).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Clock;
    use crate::subject::Pair;
    use std::path::PathBuf;
    use std::time::Duration;

    fn gate(kind: Kind, required: &str) -> Gate {
        Gate {
            name: "test".to_owned(),
            kind,
            baseline: String::new(),
            required: required.parse().unwrap(),
            clock: Clock::Wall,
            needs: Vec::new(),
            isa: Vec::new(),
            extension: None,
        }
    }

    fn setup() -> Setup {
        Setup {
            quick: true,
            data: None,
            scratch: PathBuf::new(),
            corrupt: false,
        }
    }

    fn counted(subject: fn(&Setup) -> Result<f64>) -> Result<Verdict> {
        let subject = Subject::Count(subject);
        run(&gate(Kind::Count, "== 1"), Some(&subject), &setup()).map(|outcome| outcome.verdict)
    }

    #[test]
    fn a_count_that_reacts_is_seen_to_fail() {
        let verdict = counted(|setup| Ok(if setup.corrupt { 2.0 } else { 1.0 }));
        assert_eq!(verdict.unwrap(), Verdict::Fail);
    }

    #[test]
    fn a_count_that_never_reacts_is_found_out() {
        assert_eq!(counted(|_| Ok(1.0)).unwrap(), Verdict::Pass);
    }

    #[test]
    fn a_broken_subject_proves_nothing() {
        assert!(counted(|_| Ok(3.0)).is_err());
        assert!(counted(|_| anyhow::bail!("no disk")).is_err());
    }

    #[test]
    fn a_ratio_lands_below_its_bar() {
        let subject = Subject::Ratio(|_| {
            let wait = |milliseconds| -> crate::subject::Run {
                Box::new(move |watch| {
                    watch.time(|| std::thread::sleep(Duration::from_millis(milliseconds)));
                    Ok(())
                })
            };
            Ok(Pair {
                check: Box::new(|| Ok(())),
                subject: wait(10),
                baseline: wait(20),
            })
        });
        let outcome = run(&gate(Kind::Ratio, ">= 1.5"), Some(&subject), &setup()).unwrap();
        assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
        let median = outcome.estimate.unwrap().median;
        assert!((1.0..1.4).contains(&median), "{median}");
    }
}
