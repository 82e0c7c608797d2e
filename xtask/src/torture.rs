//! `cargo xtask torture`: the reliability tests at lengths that no test run has time for.
//!
//! Each line runs a test of the workspace with larger sizes. The test prints what it counted; a
//! line whose test passed and counted nothing has failed. What was counted goes into
//! `docs/reports/reliability.json`, and from there into the README's table. A report is of one commit,
//! one machine and one form, which it names.

mod line;
mod report;
mod table;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use self::line::{Form, LINES, Line};
use self::report::{Counted, Report, Run};
use crate::exit_code;

pub(crate) use self::table::check;

/// Of lines that a report does not know.
const ADDED_SINCE: &str = "was added after the run";

/// Runs all lines, or those that are asked for: they go into the report that is there where it is of
/// the same run, that is, of the same commit, machine and form.
pub(crate) fn run(root: &Path, only: &[String], short: bool, table: bool) -> Result<ExitCode> {
    let path = root.join(report::PATH);
    if table {
        let report = Report::read(&path)?;
        let mut report = report.context("there is no report yet: run the lines first")?;
        for line in &LINES {
            // What could not be run then and can now is new, too.
            let new = line.missing().is_none() && report.skipped.contains_key(line.name);
            if new || !report.knows(line.name) {
                report.skip(line, ADDED_SINCE);
            }
        }
        report.write(&path)?;
        table::write(root, &report)?;
        return Ok(ExitCode::SUCCESS);
    }
    for name in only {
        let known = LINES.iter().any(|line| line.name == name.as_str());
        ensure!(known, "no line is called `{name}`");
    }
    let mut to = std::io::stdout().lock();
    let form = if short { Form::Short } else { Form::Long };
    let run = Run::now(root, form);
    // A report of another run may be of another form of this file, and is not looked into.
    let there = Report::read(&path).ok().flatten();
    let there = there.filter(|report| report.run.as_ref() == Some(&run));
    let told = only.is_empty() || there.is_some();
    let mut report = there
        .filter(|_| !only.is_empty())
        .unwrap_or_else(|| Report::of(run));
    let keep = |report: &Report| {
        if told { report.write(&path) } else { Ok(()) }
    };
    let mut good = true;
    let chosen = |line: &&Line| only.is_empty() || only.iter().any(|name| name == line.name);
    for line in LINES.iter().filter(chosen) {
        if let Some(why) = line.missing() {
            writeln!(to, "\n== {}: skipped: {why}", line.name)?;
            report.skip(line, why);
            keep(&report)?;
            continue;
        }
        let started = Instant::now();
        let counted = line.run(root, form, &mut to)?;
        let seconds = started.elapsed().as_secs();
        if let Some(counted) = counted {
            report.take(line, counted, seconds);
        } else {
            writeln!(to, "== {}: FAILED", line.name)?;
            report.fail(line);
            good = false;
        }
        // After each line, so that an interruption loses only the one it interrupts.
        keep(&report)?;
    }
    writeln!(to, "\n{}", table::of(&report))?;
    if told {
        table::write(root, &report)?;
    } else {
        let why = "the report is of another commit, machine or form and stays as it is; run all \
                   lines to make it anew";
        writeln!(to, "{why}")?;
    }
    Ok(exit_code(good))
}

/// What a test printed about itself, added up over its reports.
fn counted(output: &str) -> Option<Counted> {
    let lines = output.lines().filter_map(|line| {
        // libtest may have begun a line of its own.
        let (_, json) = line.split_once("counted: ")?;
        serde_json::from_str::<Counted>(json).ok()
    });
    lines.reduce(Counted::and)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_print_is_added_up() {
        let output = "running 2 tests\n\
            test a ... counted: {\"name\":\"A1\",\"seed\":7,\"counts\":{\"kills\":3,\"lost\":0}}\n\
            ok\ncounted: {\"name\":\"A1\",\"seed\":7,\"counts\":{\"kills\":4,\"acks\":9}}\n";
        let counted = counted(output).unwrap();
        assert_eq!(counted.seed, 7);
        let counts: Vec<_> = counted.counts.into_iter().collect();
        let want = [("acks", 9), ("kills", 7), ("lost", 0)];
        assert_eq!(counts, want.map(|(what, count)| (what.to_owned(), count)));
    }

    #[test]
    fn a_test_that_counted_nothing_has_no_counts() {
        assert!(counted("test a ... ok\ncounted: nothing\n").is_none());
    }
}
