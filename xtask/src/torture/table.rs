//! The README's table of what torture counted: made from the report, never typed.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::report::{PATH, Report};
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
            format!("{} {what}", grouped(*count))
        });
        let counts: Vec<_> = counts.collect();
        // Into a string: cannot fail.
        let _ = writeln!(table, "| {} | {} |", entry.what, counts.join(", "));
    }
    table
}

/// Puts the table into the README.
pub(crate) fn write(root: &Path, report: &Report) -> Result<()> {
    let path = root.join(README);
    let text = std::fs::read_to_string(&path).context("cannot read the README")?;
    let (before, _, after) = around(&text).context("the README has no place for the table")?;
    std::fs::write(path, format!("{before}{}{after}", of(report)))?;
    Ok(())
}

/// The README must show what the report says, and every count of it.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(report) = tree.text(PATH) else {
        return Vec::new(); // Nothing was counted yet, so nothing can be shown.
    };
    let report = match Report::parse(report) {
        Ok(report) => report,
        Err(error) => return vec![Finding::of_file(PATH, format!("{error:#}"))],
    };
    let missing = |what: &str| vec![Finding::of_file(README, what)];
    match tree.text(README).and_then(around) {
        None => missing("has no place for the table of reliability"),
        Some((_, table, _)) if table != of(&report) => missing(
            "shows another table than docs/reports/reliability.json gives: run `cargo xtask torture --table`",
        ),
        Some(_) => Vec::new(),
    }
}

/// What stands before the table, the table, and what stands behind it; the marks stay outside.
fn around(text: &str) -> Option<(&str, &str, &str)> {
    let from = text.find(FROM)? + FROM.len();
    let to = from + text[from..].find(TO)?;
    Some((&text[..from], &text[from..to], &text[to..]))
}

/// Thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"lines":{"kill":{"what":"kill -9","seed":1,
        "counts":{"kills":10000,"lost":0,"rows_acknowledged":1234567},
        "seconds":9,"commit":"c","machine":"m"}},"skipped":{}}"#;
    const TABLE: &str = "| what was done | counted |\n|---|---|\n\
        | kill -9 | 10,000 kills, 0 lost, 1,234,567 rows acknowledged |\n";

    #[test]
    fn tables_show_every_count() {
        assert_eq!(of(&Report::parse(REPORT).unwrap()), TABLE);
    }

    #[test]
    fn a_readme_that_shows_something_else_is_found() {
        let found = |table: &str| {
            let readme = format!("# Title\n{FROM}{table}{TO}rest\n");
            check(&Tree::of(&[(PATH, REPORT), (README, &readme)])).len()
        };
        assert_eq!(found(TABLE), 0);
        assert_eq!(found(&TABLE.replace("0 lost", "1 lost")), 1);
        assert_eq!(found(""), 1);
        assert_eq!(
            check(&Tree::of(&[(PATH, REPORT), (README, "# Title\n")])).len(),
            1
        );
        assert_eq!(
            check(&Tree::of(&[(PATH, "{}"), (README, "# Title\n")])).len(),
            1
        );
        assert_eq!(check(&Tree::of(&[(README, "# Title\n")])).len(), 0);
    }
}
