//! The README's table of what torture counted: made from the report, never typed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::line::{Form, LINES, Line};
use super::report::{PATH, Report};
use crate::marked;
use crate::tidy::{Finding, Tree};

const README: &str = "README.md";
const FROM: &str = "<!-- reliability: made by `cargo xtask torture` -->\n";
const TO: &str = "<!-- end of reliability -->\n";

/// The table.
pub(crate) fn of(report: &Report) -> String {
    let mut table = String::from("| what was done | counted |\n|---|---|\n");
    for entry in report.lines.values() {
        let counts = entry.counts.iter().map(|(what, count)| {
            let what = what.replace('_', " ");
            format!("{} {what}", marked::grouped(*count))
        });
        let counts: Vec<_> = counts.collect();
        // Into a string: cannot fail.
        let _ = writeln!(table, "| {} | {} |", entry.what, counts.join(", "));
    }
    for what in report.failed.values() {
        let _ = writeln!(table, "| {what} | **failed** |");
    }
    for (name, why) in &report.skipped {
        let _ = writeln!(table, "| {} | not run: {why} |", name.replace('_', " "));
    }
    for line in LINES.iter().filter(|line| !report.knows(line.name)) {
        let _ = writeln!(table, "| {} | not run yet |", line.what);
    }
    let seconds: u64 = report.lines.values().map(|entry| entry.seconds).sum();
    let Some(run) = &report.run else {
        table.push_str("\nCounted at several commits: `cargo xtask torture` makes it anew.\n");
        return table;
    };
    let command = match run.form {
        Form::Short => "cargo xtask torture --short",
        Form::Long => "cargo xtask torture",
    };
    let _ = writeln!(
        table,
        "\nAll of it at commit {}, by `{command}`, in {} minutes on {}.",
        run.commit,
        seconds.div_ceil(60),
        run.machine
    );
    table
}

/// Puts the table into the README.
pub(crate) fn write(root: &Path, report: &Report) -> Result<()> {
    let path = root.join(README);
    let text = std::fs::read_to_string(&path).context("cannot read the README")?;
    let (before, _, after) =
        marked::around(&text, FROM, TO).context("the README has no place for the table")?;
    std::fs::write(path, format!("{before}{}{after}", of(report)))?;
    Ok(())
}

/// The README must show what the report says, and every count of it.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(report) = tree.text(PATH) else {
        return vec![Finding::of_file(
            PATH,
            "is missing: run `cargo xtask torture`",
        )];
    };
    let report = match Report::parse(report) {
        Ok(report) => report,
        Err(error) => return vec![Finding::of_file(PATH, format!("{error:#}"))],
    };
    // What was run line by line may lack new ones, and the table says so; a whole run lacks none.
    let lacks = |line: &&Line| report.run.is_some() && !report.knows(line.name);
    if let Some(line) = LINES.iter().find(lacks) {
        let what = format!("says nothing about the line `{}`", line.name);
        return vec![Finding::of_file(PATH, what)];
    }
    let missing = |what: &str| vec![Finding::of_file(README, what)];
    match tree
        .text(README)
        .and_then(|text| marked::around(text, FROM, TO))
    {
        None => missing("has no place for the table of reliability"),
        Some((_, table, _)) if table != of(&report) => missing(
            "shows another table than docs/reports/reliability.json gives: run `cargo xtask torture --table`",
        ),
        Some(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"what":"kill -9","seed":1,
        "counts":{"kills":10000,"lost":0,"rows_acknowledged":1234567},
        "seconds":61}"#;
    const RUN: &str = r#""run":{"commit":"c0ffee","machine":"m","form":"short"}"#;
    const CLOSING: &str =
        "\nAll of it at commit c0ffee, by `cargo xtask torture --short`, in 2 minutes on m.\n";
    const ROW: &str = "| kill -9 | 10,000 kills, 0 lost, 1,234,567 rows acknowledged |\n";

    /// A report in which every line but the first was not run.
    fn report(first: &str) -> String {
        let others: Vec<_> = LINES[1..]
            .iter()
            .map(|line| format!("\"{}\":\"later\"", line.name))
            .collect();
        format!("{{{RUN},{first},\"skipped\":{{{}}}}}", others.join(","))
    }

    fn counted() -> String {
        report(&format!("\"lines\":{{\"{}\":{ENTRY}}}", LINES[0].name))
    }

    #[test]
    fn tables_show_every_count_and_what_is_missing() {
        let table = of(&Report::parse(&counted()).unwrap());
        assert!(table.contains(ROW), "{table}");
        assert!(table.ends_with(CLOSING), "{table}");
        assert_eq!(table.matches("not run: later").count(), LINES.len() - 1);
        let failed = format!(
            "\"lines\":{{}},\"failed\":{{\"{}\":\"kill -9\"}}",
            LINES[0].name
        );
        let table = of(&Report::parse(&report(&failed)).unwrap());
        assert!(table.contains("| kill -9 | **failed** |"), "{table}");
    }

    #[test]
    fn a_readme_that_shows_something_else_is_found() {
        let table = of(&Report::parse(&counted()).unwrap());
        let found = |report: &str, table: &str| {
            let readme = format!("# Title\n{FROM}{table}{TO}rest\n");
            check(&Tree::of(&[(PATH, report), (README, &readme)])).len()
        };
        assert_eq!(found(&counted(), &table), 0);
        assert_eq!(found(&counted(), &table.replace("0 lost", "1 lost")), 1);
        assert_eq!(found(&counted(), ""), 1);
        assert_eq!(found("{}", &table), 1, "no report");
        assert_eq!(
            found(&report("\"lines\":{}"), &table),
            1,
            "a line is missing"
        );
        assert_eq!(
            check(&Tree::of(&[(PATH, &counted()), (README, "# Title\n")])).len(),
            1
        );
        assert_eq!(check(&Tree::of(&[(README, "# Title\n")])).len(), 1);
    }
}
