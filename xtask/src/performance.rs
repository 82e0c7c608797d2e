//! What was measured: `docs/reports/performance.json`, and the tables that are made from it.
//!
//! `perf-check --record` keeps the figures of gates there, `cargo xtask figures` those that no gate
//! holds. The tables of docs/performance.md and the README are never typed.

mod figures;
mod table;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::table::check;

pub(crate) const PATH: &str = "docs/reports/performance.json";

/// As `perf-check` writes it, with the figures beside.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) machines: Vec<Reached>,
}

/// What one kind of machine reached.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Reached {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) isa: String,
    pub(crate) os: String,
    pub(crate) gates: BTreeMap<String, Gate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) figures: Option<Figures>,
}

/// What a gate came to. Ratios are times as good as the baseline, also where the bar is `<=`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Gate {
    pub(crate) kind: String,
    pub(crate) baseline: String,
    pub(crate) bar: String,
    pub(crate) measured: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) verdict: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    pub(crate) commit: String,
}

/// What `cortica bench` measured.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Figures {
    pub(crate) commit: String,
    pub(crate) report: Value,
}

impl Report {
    pub(crate) fn parse(text: &str) -> Result<Report> {
        serde_json::from_str(text).with_context(|| format!("{PATH} is no report"))
    }

    fn read(root: &Path) -> Result<Report> {
        let text = std::fs::read_to_string(root.join(PATH));
        Report::parse(&text.with_context(|| {
            format!("cannot read {PATH}; `cargo xtask perf-check --record` makes it")
        })?)
    }

    fn write(&self, root: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(root.join(PATH), text).with_context(|| format!("cannot write {PATH}"))
    }
}

/// Measures the figures, keeps them beside the gates of the same kind of machine, and makes the tables anew.
pub(crate) fn measure(root: &Path, data: Option<&Path>) -> Result<ExitCode> {
    let mut report = Report::read(root)?;
    let figures = figures::measured(root, data)?;
    figures::keep(&mut report, figures)?;
    report.write(root)?;
    tables(root)
}

/// Makes the tables anew from the report that is there.
pub(crate) fn tables(root: &Path) -> Result<ExitCode> {
    table::write(root, &Report::read(root)?)?;
    Ok(ExitCode::SUCCESS)
}
