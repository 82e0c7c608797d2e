//! Runs gates: takes samples in interleaved pairs until they tell something.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cortica_env::Seed;
use cortica_simd::Isa;

use crate::gate::{Clock, Gate, Need};
use crate::stats::{Estimate, median};
use crate::stopwatch::Stopwatch;
use crate::subject::{NoPeer, Pair, Run, Scaled, Setup, Subject, Work};
use crate::verdict::{Outcome, Verdict, WIDTH_MAX, held_to, judge_below, judge_exact, judge_ratio};

/// Pairs taken at first, and at most when the bounds stay wide.
const PAIRS_MIN: usize = 15;
const PAIRS_MAX: usize = 60;

/// At most for elapsed times of gates that only full runs have, as long as their bounds are too far
/// apart to tell anything: threads that meet on a few processors fall into modes that last for
/// seconds.
const PAIRS_MAX_OF_MODES: usize = 240;

/// A machine on which plain arithmetic scales less than this share of perfectly is too busy or
/// too small to tell how anything else scales: 1.8 on two threads.
const LOOP_SHARE_MIN: f64 = 0.9;

/// How long one sample lasts at least, in measured time.
fn sample_min(setup: &Setup) -> Duration {
    Duration::from_millis(if setup.quick { 80 } else { 250 })
}

/// What stands in the way of a gate, if anything.
#[must_use]
pub fn skip_reason(gate: &Gate, subject: Option<&Subject>, setup: &Setup) -> Option<&'static str> {
    let reason = |need: &Need| match need {
        Need::Data if setup.data.is_none() => Some("skipped: needs --data"),
        Need::Full if setup.quick => Some("skipped: full runs only"),
        Need::Peers if subject.is_none() => Some("skipped: needs the feature `peers`"),
        _ => None,
    };
    gate.needs.iter().find_map(reason)
}

/// Runs one gate. What goes wrong on the way is a failure of the gate.
pub fn run(gate: &Gate, subject: Option<&Subject>, setup: &Setup) -> Outcome {
    if let Some(reason) = skip_reason(gate, subject, setup) {
        return Outcome::without_figure(gate, Verdict::Skipped, reason);
    }
    let isa = Isa::best();
    let outcome = subject
        .context("no subject is registered under this name")
        .and_then(|subject| {
            if gate.is_stated_for(isa) {
                measure(gate, subject, setup, 1.0)
            } else {
                answers_only(gate, subject, setup, isa)
            }
        });
    outcome.unwrap_or_else(|error| {
        let verdict = match error.downcast_ref::<NoPeer>() {
            Some(_) => Verdict::Skipped,
            None => Verdict::Fail,
        };
        Outcome::without_figure(gate, verdict, format!("{error:#}"))
    })
}

/// For a machine the bar says nothing about: its answers must be right all the same.
fn answers_only(gate: &Gate, subject: &Subject, setup: &Setup, isa: Isa) -> Result<Outcome> {
    match subject {
        Subject::Ratio(prepare) => (prepare(setup)?.check)(),
        Subject::Limited(prepare) => (prepare(setup)?.pair.check)(),
        Subject::Scaling(prepare) => (prepare(setup)?.check)(),
        Subject::Answer(_) | Subject::Count(_) => Ok(()), // Never stated for a few sets alone.
    }
    .context("the answer is wrong")?;
    let missing = gate.extension.filter(|extension| !isa.has(extension.0));
    let without = missing.map_or(String::new(), |missing| format!(" without {}", missing.0));
    let note = format!("skipped: no bar is stated for {isa}{without}; its answers are right");
    Ok(Outcome::without_figure(gate, Verdict::Skipped, note))
}

/// Measures a subject whose timed sections are held back by `brake`, and judges it.
pub fn measure(gate: &Gate, subject: &Subject, setup: &Setup, brake: f64) -> Result<Outcome> {
    ensure!(
        subject.kind() == gate.kind,
        "the subject registered under this name is of another kind"
    );
    let at_least = sample_min(setup);
    match subject {
        Subject::Answer(answer) | Subject::Count(answer) => {
            let measured = answer(setup)?;
            let verdict = judge_exact(&gate.required, measured);
            let estimate = Estimate::exact(measured);
            Ok(Outcome::with_figure(gate, estimate, verdict, String::new()))
        }
        Subject::Ratio(prepare) => {
            let pair = prepare(setup).context("cannot set the subject up")?;
            ratio(gate, pair, None, at_least, brake)
        }
        Subject::Limited(prepare) => {
            let limited = prepare(setup).context("cannot set the subject up")?;
            let roof = Some((limited.roof, limited.share));
            ratio(gate, limited.pair, roof, at_least, brake)
        }
        Subject::Scaling(prepare) => {
            let scaled = prepare(setup).context("cannot set the subject up")?;
            // Longer: two processors meet twice as much of what else the machine is doing.
            scaling(gate, scaled, 2 * at_least, brake)
        }
    }
}

fn ratio(
    gate: &Gate,
    mut pair: Pair,
    roof: Option<(Run, f64)>,
    at_least: Duration,
    brake: f64,
) -> Result<Outcome> {
    (pair.check)().context("the answer is wrong")?;
    let mut subject = Side::warmed_up(pair.subject, gate.clock, brake, at_least)?;
    let mut baseline = Side::warmed_up(pair.baseline, gate.clock, 1.0, at_least)?;
    let measured = interleave(gate, &mut subject, &mut baseline)?;
    let estimate = measured.estimate;
    let note = format!(
        "{} pairs; {:.3} ms a run, baseline {:.3} ms",
        measured.pairs,
        1e3 * measured.subject,
        1e3 * measured.baseline
    );
    let verdict = judge_ratio(&gate.required, &estimate);
    let mut outcome = Outcome::with_figure(gate, estimate, verdict, note);
    // One that is held back must fail, wherever it is.
    if verdict == Verdict::Fail && gate.clock == Clock::Wall && brake <= 1.0 {
        let scales = arithmetic_speed_up(at_least)?;
        outcome.verdict = on_a_machine_that_scales(verdict, scales);
        outcome.note = format!("{}; arithmetic on two threads x{scales:.2}", outcome.note);
    }
    let Some((roof, share)) = roof.filter(|_| estimate.median < gate.required.ratio()) else {
        return Ok(outcome);
    };
    // What the processor itself needs, beside the same baseline.
    let mut roof = Side::warmed_up(roof, gate.clock, 1.0, at_least)?;
    let ceiling = interleave(gate, &mut roof, &mut baseline)?.estimate;
    Ok(Outcome {
        verdict: judge_below(&gate.required, &estimate, &ceiling, share),
        held_to: held_to(&gate.required, &ceiling, share),
        note: format!(
            "{}; this processor's limit is {:.3} ({:.3} .. {:.3})",
            outcome.note, ceiling.median, ceiling.low, ceiling.high
        ),
        ..outcome
    })
}

/// What pairs came to; medians in seconds a run.
struct Measured {
    /// The baseline's time over the subject's.
    estimate: Estimate,
    pairs: usize,
    subject: f64,
    baseline: f64,
}

fn interleave(gate: &Gate, subject: &mut Side, baseline: &mut Side) -> Result<Measured> {
    let mut times = (Vec::new(), Vec::new());
    // Disks and shared caches have their moods, of seconds each: what is red in one is looked at
    // for longer.
    let is_doubtful = |estimate: &Estimate| judge_ratio(&gate.required, estimate) == Verdict::Fail;
    let has_modes = gate.clock == Clock::Wall && gate.needs.contains(&Need::Full);
    let most = if has_modes {
        PAIRS_MAX_OF_MODES
    } else {
        PAIRS_MAX
    };
    let (estimate, pairs) = converge(&gate.name, most, is_doubtful, |subject_first| {
        let (of_subject, of_baseline);
        if subject_first {
            of_subject = subject.sample()?;
            of_baseline = baseline.sample()?;
        } else {
            of_baseline = baseline.sample()?;
            of_subject = subject.sample()?;
        }
        times.0.push(of_subject);
        times.1.push(of_baseline);
        Ok(of_baseline / of_subject)
    })?;
    Ok(Measured {
        estimate,
        pairs,
        subject: median(&times.0).unwrap_or_default(),
        baseline: median(&times.1).unwrap_or_default(),
    })
}

/// One side of a pair, and how often it is run for one sample.
struct Side {
    run: Run,
    clock: Clock,
    brake: f64,
    repeats: u32,
}

impl Side {
    /// Runs it once for the caches and once to see how many runs a sample needs.
    fn warmed_up(run: Run, clock: Clock, brake: f64, at_least: Duration) -> Result<Side> {
        let mut side = Side {
            run,
            clock,
            brake,
            repeats: 1,
        };
        side.sample()?;
        let once = side.sample()?;
        side.repeats = repeats(at_least, once);
        Ok(side)
    }

    /// Seconds per run.
    fn sample(&mut self) -> Result<f64> {
        let mut watch = Stopwatch::new(self.clock, self.brake);
        for _ in 0..self.repeats {
            (self.run)(&mut watch)?;
        }
        let seconds = watch.total().as_secs_f64();
        ensure!(seconds > 0.0, "a sample took no time at all");
        Ok(seconds / f64::from(self.repeats))
    }
}

/// How often work that takes `once` seconds is repeated to fill `at_least`.
fn repeats(at_least: Duration, once: f64) -> u32 {
    (at_least.as_secs_f64() / once.max(1e-9)).ceil().max(1.0) as u32
}

/// Takes pairs until their bounds are close enough and leave no doubt, or there are [`PAIRS_MAX`] of
/// them, or, while the bounds are too far apart, `most`; all of them count. The
/// argument of `sample` says whether the subject goes first: A B, B A, A B, so that a machine
/// which slows down during a pair favours neither side.
fn converge(
    name: &str,
    most: usize,
    is_doubtful: impl Fn(&Estimate) -> bool,
    mut sample: impl FnMut(bool) -> Result<f64>,
) -> Result<(Estimate, usize)> {
    let seed = Seed(0).derive(name);
    let mut samples = Vec::with_capacity(PAIRS_MAX);
    loop {
        for _ in 0..PAIRS_MIN {
            samples.push(sample(samples.len() % 2 == 0)?);
        }
        let estimate = Estimate::of(&samples, seed).context("a sample is not a number")?;
        let is_wide = estimate.width() > WIDTH_MAX;
        let enough = match (is_wide, is_doubtful(&estimate)) {
            (true, _) => most,
            (false, true) => PAIRS_MAX,
            (false, false) => 0,
        };
        if samples.len() >= enough {
            return Ok((estimate, samples.len()));
        }
    }
}

/// What fails by the clock on the wall fails by what else the machine does where two threads of plain
/// arithmetic do not get two processors: most of what is timed so needs two at a time.
fn on_a_machine_that_scales(verdict: Verdict, scales: f64) -> Verdict {
    if verdict == Verdict::Fail && scales < 2.0 * LOOP_SHARE_MIN {
        Verdict::Unmeasurable
    } else {
        verdict
    }
}

/// How many times as much plain arithmetic two threads do as one.
fn arithmetic_speed_up(at_least: Duration) -> Result<f64> {
    let plain = Work::Share(Box::new(plain_work));
    let plain = Repeated::warmed_up(&plain, at_least)?;
    let samples: Result<Vec<f64>> = (0..PAIRS_MIN).map(|_| plain.speed_up(2, 1.0)).collect();
    median(&samples?).context("nothing was measured")
}

#[allow(clippy::unnecessary_wraps, reason = "it stands for work that may fail")]
fn plain_work(thread: usize) -> Result<()> {
    black_box(arithmetic(black_box(thread as u64)));
    Ok(())
}

fn scaling(gate: &Gate, mut scaled: Scaled, at_least: Duration, brake: f64) -> Result<Outcome> {
    (scaled.check)().context("the answer is wrong")?;
    let threads = scaled.threads;
    let subject = Repeated::warmed_up(&scaled.work, at_least)?;
    let arithmetic = Work::Share(Box::new(plain_work));
    let arithmetic = Repeated::warmed_up(&arithmetic, at_least)?;
    let mut of_arithmetic = Vec::new();
    let mut of_subject = Vec::new();
    let (estimate, pairs) = converge(
        &gate.name,
        PAIRS_MAX,
        // Whatever else the machine does comes in spells, too, and is felt by all processors.
        |estimate| judge_ratio(&gate.required, estimate) == Verdict::Fail,
        |subject_first| {
            let (ours, plain);
            if subject_first {
                ours = subject.speed_up(threads, brake)?;
                plain = arithmetic.speed_up(threads, 1.0)?;
            } else {
                plain = arithmetic.speed_up(threads, 1.0)?;
                ours = subject.speed_up(threads, brake)?;
            }
            of_subject.push(ours);
            of_arithmetic.push(plain);
            Ok(threads as f64 * ours / plain)
        },
    )?;
    let ours = median(&of_subject).unwrap_or_default();
    let plain = median(&of_arithmetic).unwrap_or_default();
    let verdict = if plain < LOOP_SHARE_MIN * threads as f64 {
        Verdict::Unmeasurable
    } else {
        judge_ratio(&gate.required, &estimate)
    };
    let note = format!("{pairs} pairs; alone x{ours:.2}, arithmetic x{plain:.2}");
    Ok(Outcome::with_figure(gate, estimate, verdict, note))
}

/// The work of a scaling gate, and how often it is done for one sample.
struct Repeated<'a> {
    work: &'a Work,
    repeats: u64,
}

impl<'a> Repeated<'a> {
    fn warmed_up(work: &'a Work, at_least: Duration) -> Result<Repeated<'a>> {
        work.elapsed(1, 1, 1.0)?;
        let once = work.elapsed(1, 1, 1.0)?.as_secs_f64();
        Ok(Repeated {
            work,
            repeats: repeats(at_least, once).into(),
        })
    }

    /// How many times as much gets done per second by `threads` threads as by one. The brake
    /// holds back only the many: it stands for a lock they would wait on.
    fn speed_up(&self, threads: usize, brake: f64) -> Result<f64> {
        let alone = self.work.elapsed(1, self.repeats, 1.0)?.as_secs_f64();
        let together = self
            .work
            .elapsed(threads, self.repeats, brake)?
            .as_secs_f64();
        ensure!(together > 0.0, "a sample took no time at all");
        Ok(threads as f64 * alone / together)
    }
}

/// A chain of multiplications in registers: nothing that threads could share or wait for.
fn arithmetic(start: u64) -> u64 {
    (0..1_000_000).fold(start, |x, _| {
        x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1) ^ (x >> 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{IsaName, Kind};
    use std::path::PathBuf;

    fn gate(kind: Kind, required: &str) -> Gate {
        Gate {
            name: "test".to_owned(),
            kind,
            baseline: "a wait".to_owned(),
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

    /// A run that lasts so many milliseconds.
    fn wait(milliseconds: u64) -> Run {
        Box::new(move |watch| {
            watch.time(|| std::thread::sleep(Duration::from_millis(milliseconds)));
            Ok(())
        })
    }

    fn twice_as_fast() -> Pair {
        Pair {
            check: Box::new(|| Ok(())),
            subject: wait(2),
            baseline: wait(4),
        }
    }

    #[test]
    fn pairs_alternate_and_stop_when_sure() {
        let mut order = Vec::new();
        let (estimate, pairs) = converge(
            "test",
            PAIRS_MAX,
            |_| false,
            |subject_first| {
                order.push(subject_first);
                Ok(2.0)
            },
        )
        .unwrap();
        assert_eq!((estimate.median, pairs), (2.0, PAIRS_MIN));
        assert_eq!(order[..4], [true, false, true, false]);
    }

    #[test]
    fn noise_takes_more_pairs_and_then_gives_up() {
        let mut rng = Seed(3).rng();
        let (estimate, pairs) =
            converge("test", PAIRS_MAX, |_| false, |_| Ok(1.0 + 9.0 * rng.unit())).unwrap();
        assert_eq!(pairs, PAIRS_MAX);
        let bar = ">= 1".parse().unwrap();
        assert_eq!(judge_ratio(&bar, &estimate), Verdict::Unmeasurable);
    }

    /// Two modes, of which one holds more often: 60 pairs do not tell which, 240 do.
    #[test]
    fn what_has_modes_may_be_taken_for_longer() {
        let mut taken = 0;
        let mut sample = |_: bool| {
            taken += 1;
            Ok(if taken % 5 < 3 { 3.0 } else { 6.0 })
        };
        let (_, pairs) = converge("test", PAIRS_MAX, |_| false, &mut sample).unwrap();
        assert_eq!(pairs, PAIRS_MAX);
        let most = PAIRS_MAX_OF_MODES;
        let (estimate, pairs) = converge("test", most, |_| false, &mut sample).unwrap();
        assert_eq!(estimate, Estimate::exact(3.0));
        assert!((PAIRS_MAX..=most).contains(&pairs), "{pairs}");
    }

    #[test]
    fn what_is_in_doubt_takes_more_pairs_all_of_which_count() {
        let mut taken = 0;
        let below = |estimate: &Estimate| estimate.median < 2.0;
        let (estimate, pairs) = converge("test", PAIRS_MAX, below, |_| {
            taken += 1;
            Ok(if taken <= PAIRS_MIN { 1.9 } else { 2.1 })
        })
        .unwrap();
        assert_eq!((estimate.median, pairs), (2.0, 2 * PAIRS_MIN));
        let (estimate, pairs) = converge("test", PAIRS_MAX, below, |_| Ok(1.9)).unwrap();
        assert_eq!((estimate.median, pairs), (1.9, PAIRS_MAX));
    }

    #[test]
    fn a_busy_machine_fails_nothing_by_the_clock_on_the_wall() {
        for (scales, want) in [(1.79, Verdict::Unmeasurable), (1.81, Verdict::Fail)] {
            assert_eq!(on_a_machine_that_scales(Verdict::Fail, scales), want);
            assert_eq!(
                on_a_machine_that_scales(Verdict::Pass, scales),
                Verdict::Pass
            );
        }
        let scales = arithmetic_speed_up(Duration::from_millis(2)).unwrap();
        assert!(scales > 0.2 && scales < 4.0, "{scales}");
    }

    #[test]
    fn a_ratio_is_baseline_over_subject() {
        let gate = gate(Kind::Ratio, ">= 1.4");
        let outcome = ratio(&gate, twice_as_fast(), None, Duration::ZERO, 1.0).unwrap();
        let median = outcome.estimate.unwrap().median;
        assert!((1.4..2.6).contains(&median), "{median}");
        assert_ne!(outcome.verdict, Verdict::Fail);
    }

    #[test]
    fn the_brake_brings_a_ratio_below_its_bar() {
        let gate = gate(Kind::Ratio, ">= 1.4");
        let outcome = ratio(&gate, twice_as_fast(), None, Duration::ZERO, 4.0).unwrap();
        assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
    }

    /// A subject that does nothing but what the roof does is not asked for more; one that wastes
    /// time fails on any processor.
    #[test]
    fn a_roof_is_looked_at_where_the_bar_is_missed() {
        let gate = gate(Kind::Ratio, ">= 5");
        let judged = |brake| {
            let roof = Some((wait(2), 0.8));
            let outcome = ratio(&gate, twice_as_fast(), roof, Duration::ZERO, brake).unwrap();
            assert!(outcome.held_to < 5.0, "{outcome:?}");
            outcome.verdict
        };
        assert_eq!(judged(1.0), Verdict::Beyond);
        assert_eq!(judged(3.0), Verdict::Fail);
    }

    #[test]
    fn a_wrong_answer_is_never_timed() {
        let gate = gate(Kind::Ratio, ">= 1");
        let subject = Subject::Ratio(|_| {
            Ok(Pair {
                check: Box::new(|| anyhow::bail!("4 is not 5")),
                subject: Box::new(|_| anyhow::bail!("was run")),
                baseline: Box::new(|_| anyhow::bail!("was run")),
            })
        });
        let outcome = run(&gate, Some(&subject), &setup());
        assert_eq!(outcome.verdict, Verdict::Fail);
        assert_eq!(outcome.note, "the answer is wrong: 4 is not 5");
    }

    /// On a set no bar is stated for, a subject is checked and not timed.
    #[test]
    fn other_instruction_sets_are_held_to_their_answers() {
        let other = Isa::ALL
            .into_iter()
            .find(|&isa| isa != Isa::best())
            .unwrap();
        let mut gate = gate(Kind::Ratio, ">= 1");
        gate.isa = vec![IsaName(other)];
        let right = Subject::Ratio(|_| {
            Ok(Pair {
                check: Box::new(|| Ok(())),
                subject: Box::new(|_| anyhow::bail!("was run")),
                baseline: Box::new(|_| anyhow::bail!("was run")),
            })
        });
        let outcome = run(&gate, Some(&right), &setup());
        assert_eq!(outcome.verdict, Verdict::Skipped, "{outcome:?}");
        assert!(
            outcome.note.contains(&Isa::best().to_string()),
            "{outcome:?}"
        );
        let wrong = Subject::Ratio(|_| {
            Ok(Pair {
                check: Box::new(|| anyhow::bail!("4 is not 5")),
                subject: Box::new(|_| anyhow::bail!("was run")),
                baseline: Box::new(|_| anyhow::bail!("was run")),
            })
        });
        let outcome = run(&gate, Some(&wrong), &setup());
        assert_eq!(outcome.verdict, Verdict::Fail, "{outcome:?}");
        gate.isa.push(IsaName(Isa::best()));
        let outcome = run(&gate, Some(&right), &setup());
        assert_eq!(outcome.note, "was run");
    }

    #[test]
    fn counts_and_answers_are_compared() {
        let subject = Subject::Count(|_| Ok(2.0));
        let outcome = run(&gate(Kind::Count, "== 1"), Some(&subject), &setup());
        assert_eq!(outcome.verdict, Verdict::Fail);
        let outcome = run(&gate(Kind::Count, "== 2"), Some(&subject), &setup());
        assert_eq!(outcome.verdict, Verdict::Pass);
        assert_eq!(outcome.estimate, Some(Estimate::exact(2.0)));
    }

    #[test]
    fn what_is_missing_is_skipped_and_what_is_wrong_fails() {
        let mut gate = gate(Kind::Count, "== 1");
        assert_eq!(run(&gate, None, &setup()).verdict, Verdict::Fail);
        gate.needs = vec![Need::Peers];
        assert_eq!(run(&gate, None, &setup()).verdict, Verdict::Skipped);
        gate.needs = vec![Need::Data];
        let outcome = run(&gate, Some(&Subject::Count(|_| Ok(1.0))), &setup());
        assert_eq!(outcome.note, "skipped: needs --data");
        gate.needs = Vec::new();
        let other = Subject::Ratio(|_| anyhow::bail!("was run"));
        assert_eq!(run(&gate, Some(&other), &setup()).verdict, Verdict::Fail);
    }

    /// Threads that wait for each other do not scale, whatever the machine.
    #[test]
    fn work_behind_one_lock_does_not_scale() {
        let lock = std::sync::Mutex::new(());
        let scaled = Scaled {
            threads: 2,
            check: Box::new(|| Ok(())),
            work: Work::Share(Box::new(move |_| {
                let _held = lock.lock();
                std::thread::sleep(Duration::from_millis(2));
                Ok(())
            })),
        };
        let gate = gate(Kind::Scaling, ">= 1.6");
        let outcome = scaling(&gate, scaled, Duration::from_millis(4), 1.0).unwrap();
        assert_ne!(outcome.verdict, Verdict::Pass, "{outcome:?}");
    }
}
