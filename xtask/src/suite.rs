//! The whole test run: every step is run whatever the others did, then a summary.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::step::{Outcome, Step, cargo};
use crate::tally::Tally;
use crate::{exit_code, loom, tidy};

/// How much of the workspace a run covers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Default features: no heavy peers, nothing that takes long to build.
    Test,
    /// Every feature of every crate, the trainer too.
    CheckAll,
}

/// Builds for minutes and is used by nobody: only `check-all` covers it.
const TRAINER: &str = "cortica-train";

/// Crates that no instruction set changes; all others are tested once more on the portable path.
/// A crate missing here costs time, one too many would hide what only shows there.
const ISA_BLIND: [&str; 7] = [
    "cortica-env",
    "cortica-formats",
    "cortica-queue",
    "cortica-reclaim",
    "cortica-storage",
    "cortica-testkit",
    "xtask",
];

/// Test targets, of the other crates, that are about files, signals, words and links, which no instruction
/// set changes either, and take long. All that is not named here is run on the portable path.
const ISA_BLIND_TESTS: [&str; 17] = [
    "bench",
    "chaos",
    "copies",
    "durability",
    "flips",
    "full_disk",
    "kill",
    "kill_allocate",
    "kill_checkpoint",
    "kill_upkeep",
    "overload",
    "readme",
    "replaced",
    "shutdown",
    "signals",
    "space",
    "sweep",
];

/// Runs all steps and prints the summary; its last line is `N passed, N failed`.
pub(crate) fn run(root: &Path, extent: Extent) -> Result<ExitCode> {
    let mut to = std::io::stdout().lock();
    let mut outcomes = Vec::new();
    let mut steps = steps(root, extent)?.into_iter();
    // Formatting first and tidy second: the cheapest answers come before the long builds.
    if let Some(format) = steps.next() {
        outcomes.push(format.run(&mut to)?);
    }
    outcomes.push(tidy_step(root, &mut to)?);
    for step in steps.chain(loom::steps(root)?) {
        outcomes.push(step.run(&mut to)?);
    }
    let (summary, good) = summarise(&outcomes);
    writeln!(to, "\n{summary}")?;
    Ok(exit_code(good))
}

fn steps(root: &Path, extent: Extent) -> Result<Vec<Step>> {
    let all = |command: &mut Command| {
        command.arg("--workspace");
        match extent {
            Extent::Test => command.args(["--exclude", TRAINER]),
            Extent::CheckAll => command.arg("--all-features"),
        };
    };
    let step = |name, tests, arguments: &[&str]| {
        let mut command = cargo(root);
        command.args(arguments);
        Step {
            name,
            command,
            tests,
        }
    };

    let format = step("format", false, &["fmt", "--all", "--check"]);
    let mut clippy = step("clippy", false, &["clippy", "--all-targets"]);
    all(&mut clippy.command);
    clippy.command.args(["--", "--deny", "warnings"]);

    // Criterion's targets are left out: they time things, `perf-check` judges them.
    let mut tests = step(
        "tests",
        true,
        &[
            "test",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ],
    );
    all(&mut tests.command);
    let mut doctests = step("doctests", true, &["test", "--no-fail-fast", "--doc"]);
    all(&mut doctests.command);

    let mut docs = step("docs", false, &["doc", "--no-deps"]);
    all(&mut docs.command);
    docs.command.env("RUSTDOCFLAGS", "-D warnings");

    // In one call of cargo, whatever the crate: for fewer packages it would build their libraries anew,
    // with fewer features.
    let mut scalar = step(
        "tests on the scalar path",
        true,
        &["test", "--no-fail-fast", "--lib", "--bins"],
    );
    all(&mut scalar.command);
    for name in ISA_BLIND {
        scalar.command.args(["--exclude", name]);
    }
    for target in test_targets(root)? {
        scalar.command.args(["--test", &target]);
    }
    scalar.command.env("CORTICA_ISA", "scalar");

    let mut all = vec![format, clippy, tests, doctests, docs, scalar];
    if extent == Extent::Test {
        // On its own, so that all the steps before test the build that people get by default.
        all.push(step(
            "tests with Parquet",
            true,
            &[
                "test",
                "--no-fail-fast",
                "--package",
                "cortica-cli",
                "--package",
                "cortica-formats",
                "--features",
                "cortica-cli/parquet",
                "--lib",
                "--test",
                "parquet",
            ],
        ));
    }
    Ok(all)
}

/// The names of the test targets that instruction sets may change.
fn test_targets(root: &Path) -> Result<BTreeSet<String>> {
    let mut targets = BTreeSet::new();
    let crates = root.join("crates");
    for name in loom::names(&crates)? {
        let tests = crates.join(&name).join("tests");
        let package = format!("cortica-{name}");
        let is_tested = package != TRAINER && !ISA_BLIND.contains(&&*package);
        if !is_tested || !tests.is_dir() {
            continue;
        }
        for file in loom::names(&tests)? {
            let folder = tests.join(&file).join("main.rs").is_file();
            let target = file.strip_suffix(".rs").or(folder.then_some(&*file));
            targets.extend(target.map(str::to_owned));
        }
    }
    for blind in ISA_BLIND_TESTS {
        ensure!(
            targets.remove(blind),
            "there is no test target {blind} any more: take it out of ISA_BLIND_TESTS"
        );
    }
    Ok(targets)
}

fn tidy_step(root: &Path, to: &mut impl Write) -> Result<Outcome> {
    writeln!(to, "\n== tidy")?;
    let started = Instant::now();
    let findings = tidy::run(root)?;
    for finding in &findings {
        writeln!(to, "{finding}")?;
    }
    Ok(Outcome {
        name: "tidy",
        good: findings.is_empty(),
        took: started.elapsed(),
        tally: Tally::default(),
    })
}

/// The closing lines and whether all is well: one line per step, the slowest of which a
/// reader can see, then the tally alone on its line.
fn summarise(outcomes: &[Outcome]) -> (String, bool) {
    use std::fmt::Write as _;
    let mut tally = Tally::default();
    let mut text = String::from("== summary\n");
    for outcome in outcomes {
        tally.add(outcome.tally);
        let verdict = if outcome.good { "ok" } else { "FAILED" };
        let seconds = outcome.took.as_secs_f64();
        let _ = write!(text, "{:<26} {verdict:<6} {seconds:>7.1} s", outcome.name);
        let _ = match outcome.tally.run() {
            0 => writeln!(text),
            _ => writeln!(text, "  {}", outcome.tally),
        };
    }
    let good = outcomes.iter().all(|outcome| outcome.good) && tally.run() > 0;
    let _ = write!(text, "{tally}");
    (text, good)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn outcome(name: &'static str, good: bool, passed: u64, failed: u64) -> Outcome {
        Outcome {
            name,
            good,
            took: Duration::from_millis(1500),
            tally: Tally { passed, failed },
        }
    }

    #[track_caller]
    fn check(outcomes: &[Outcome], want_line: &str, want_good: bool) {
        let (text, good) = summarise(outcomes);
        assert_eq!(text.lines().last(), Some(want_line));
        assert_eq!(good, want_good);
    }

    #[test]
    fn tests_of_all_steps_are_added_up() {
        let outcomes = [outcome("format", true, 0, 0), outcome("tests", true, 7, 0)];
        check(&outcomes, "7 passed, 0 failed", true);
    }

    #[test]
    fn any_failed_step_fails_the_run() {
        let outcomes = [outcome("format", false, 0, 0), outcome("tests", true, 7, 0)];
        check(&outcomes, "7 passed, 0 failed", false);
        check(
            &[outcome("tests", false, 7, 2)],
            "7 passed, 2 failed",
            false,
        );
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        check(
            &[outcome("format", true, 0, 0)],
            "0 passed, 0 failed",
            false,
        );
    }

    /// A crate that depends on the kernels, or on one that does, is not blind to them.
    #[test]
    fn whoever_sees_the_kernels_is_tested_on_the_scalar_path() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tree = |package: &str| {
            let mut command = cargo(&root);
            command.args([
                "tree",
                "--locked",
                "--edges",
                "normal",
                "--package",
                package,
            ]);
            let output = command.output().unwrap();
            assert!(output.status.success(), "cargo tree of {package}");
            String::from_utf8(output.stdout).unwrap()
        };
        for package in ISA_BLIND {
            assert!(!tree(package).contains("cortica-simd "), "{package}");
        }
        assert!(tree("cortica-index").contains("cortica-simd "));
    }

    #[test]
    fn what_gives_answers_is_among_the_tests_of_the_scalar_path() {
        let targets = test_targets(&crate::repository_root()).unwrap();
        for answers in [
            "equivalence",
            "exact",
            "forced",
            "golden",
            "hnsw",
            "model",
            "networks",
        ] {
            assert!(targets.contains(answers), "{answers} of {targets:?}");
        }
        for blind in ISA_BLIND_TESTS {
            assert!(!targets.contains(blind), "{blind}");
        }
    }

    #[test]
    fn what_is_heavy_is_only_in_check_all() {
        let arguments = |extent| -> Vec<String> {
            steps(&crate::repository_root(), extent)
                .unwrap()
                .iter()
                .flat_map(|step| step.command.get_args())
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect()
        };
        let heavy = "--all-features".to_owned();
        assert!(!arguments(Extent::Test).contains(&heavy));
        assert!(arguments(Extent::CheckAll).contains(&heavy));
        let trainer = TRAINER.to_owned();
        let excluded = |extent| arguments(extent).iter().filter(|a| **a == trainer).count();
        assert_eq!(excluded(Extent::CheckAll), 0);
        // Every step that covers the workspace.
        let whole = |step: &Step| step.command.get_args().any(|it| it == "--workspace");
        let steps = steps(&crate::repository_root(), Extent::Test).unwrap();
        assert_eq!(
            excluded(Extent::Test),
            steps.iter().filter(|it| whole(it)).count()
        );
        assert_eq!(excluded(Extent::Test), 5);
    }
}
