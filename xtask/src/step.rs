//! One step of the test run: a cargo command whose output is passed on while it is read.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::tally::Tally;

/// The cargo that started us, so that a `+toolchain` choice carries over.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The commit that is checked out, `+` after it when files differ from it other than reports and what is made
/// from them.
pub(crate) fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(root)
            .args(arguments)
            .output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    // These change with what is run.
    let others = [
        "status",
        "--porcelain",
        "--",
        ".",
        ":!docs/reports",
        ":!docs/performance.md",
        ":!docs/batch.svg",
        ":!README.md",
    ];
    let clean = git(&others).is_some_and(|changed| changed.is_empty());
    if clean { commit } else { commit + "+" }
}

/// A cargo command and what is expected of it.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) command: Command,
    /// Whether it runs test binaries whose results are to be added up.
    pub(crate) tests: bool,
}

/// How a step ended.
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) good: bool,
    pub(crate) took: Duration,
    pub(crate) tally: Tally,
}

impl Step {
    /// Runs the command to its end, passing what it prints on to `to`, line by line.
    pub(crate) fn run(mut self, to: &mut impl Write) -> Result<Outcome> {
        writeln!(to, "\n== {}", self.name)?;
        let started = Instant::now();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the step `{}`", self.name))?;
        let mut tally = Tally::default();
        if let Some(output) = child.stdout.take() {
            pass_through(BufReader::new(output), to, &mut tally)?;
        }
        let good = child
            .wait()
            .with_context(|| format!("the step `{}` was lost", self.name))?
            .success();
        Ok(judge(self.name, good, self.tests, started.elapsed(), tally))
    }
}

/// A test step which ran no test proves nothing, and one which broke before any test could
/// fail (a crash, a compile error) still counts as one failure in the closing line.
fn judge(name: &'static str, good: bool, tests: bool, took: Duration, tally: Tally) -> Outcome {
    let mut tally = if tests { tally } else { Tally::default() };
    let good = good && !(tests && tally.run() == 0);
    if tests && !good && tally.failed == 0 {
        tally.failed = 1;
    }
    Outcome {
        name,
        good,
        took,
        tally,
    }
}

/// Bytes, not strings: a test may print anything.
fn pass_through(mut from: impl BufRead, to: &mut impl Write, tally: &mut Tally) -> Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        tally.read_line(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(good: bool, tests: bool, passed: u64, failed: u64, want: (bool, u64)) {
        let tally = Tally { passed, failed };
        let outcome = judge("step", good, tests, Duration::ZERO, tally);
        assert_eq!((outcome.good, outcome.tally.failed), want);
    }

    #[test]
    fn test_steps_must_run_tests() {
        check(true, true, 3, 0, (true, 0));
        check(true, true, 0, 0, (false, 1));
        check(true, false, 0, 0, (true, 0));
    }

    #[test]
    fn a_crash_counts_as_a_failure() {
        check(false, true, 3, 0, (false, 1));
        check(false, true, 3, 2, (false, 2));
    }

    #[test]
    fn results_are_read_while_passing_through() -> Result<()> {
        let (mut tally, mut passed_on) = (Tally::default(), Vec::new());
        let output: &[u8] = b"\xff\xfe\ntest result: ok. 2 passed; 0 failed; 0 ignored";
        pass_through(output, &mut passed_on, &mut tally)?;
        assert_eq!(tally.passed, 2);
        assert_eq!(passed_on, output);
        Ok(())
    }

    #[test]
    fn a_real_command_is_run_and_judged() -> Result<()> {
        let run = |argument: &str| {
            let mut printed = Vec::new();
            let mut command = cargo(Path::new(env!("CARGO_MANIFEST_DIR")));
            command.arg(argument).stderr(Stdio::null());
            let step = Step {
                name: "cargo",
                command,
                tests: false,
            };
            step.run(&mut printed)
                .map(|outcome| (outcome.good, printed))
        };
        let (good, printed) = run("--version")?;
        assert!(good && String::from_utf8_lossy(&printed).starts_with("\n== cargo\ncargo 1."));
        assert!(!run("no-such-command")?.0);
        Ok(())
    }
}
