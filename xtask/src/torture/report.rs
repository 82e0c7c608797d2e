//! What torture counted, kept beside the documentation.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::line::{Form, Line};
use crate::step::commit;

/// Where the report lies in the repository.
pub(crate) const PATH: &str = "docs/reports/reliability.json";

/// What one test counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Counted {
    /// The line's name, as the test gives it.
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Counted {
    /// Both together.
    pub(crate) fn and(mut self, other: Counted) -> Counted {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self
    }
}

/// What a run of one line came to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Entry {
    pub(crate) what: String,
    pub(crate) seed: u64,
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) seconds: u64,
}

/// Of what a report tells: all of its lines are of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Run {
    /// The commit that was run, `+` after it when files differed from it.
    pub(crate) commit: String,
    pub(crate) machine: String,
    pub(crate) form: Form,
}

impl Run {
    /// What would be run now.
    pub(crate) fn now(root: &Path, form: Form) -> Run {
        Run {
            commit: commit(root),
            machine: machine(),
            form,
        }
    }
}

/// The report: what was run, what failed, and what was not run and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Report {
    /// None in reports that were made line by line, at several commits.
    #[serde(default)]
    pub(crate) run: Option<Run>,
    pub(crate) lines: BTreeMap<String, Entry>,
    /// Lines whose last run failed, with what they do.
    #[serde(default)]
    pub(crate) failed: BTreeMap<String, String>,
    pub(crate) skipped: BTreeMap<String, String>,
}

impl Report {
    /// Reads a report; `None` when there is none yet.
    pub(crate) fn read(path: &Path) -> Result<Option<Report>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Report::parse(&text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(format!("cannot read {}", path.display())),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Report> {
        serde_json::from_str(text).context("the report cannot be read")
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether it says anything about a line.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.lines.contains_key(name)
            || self.failed.contains_key(name)
            || self.skipped.contains_key(name)
    }

    fn drop(&mut self, line: &Line) {
        self.lines.remove(line.name);
        self.failed.remove(line.name);
        self.skipped.remove(line.name);
    }

    /// One without lines.
    pub(crate) fn of(run: Run) -> Report {
        Report {
            run: Some(run),
            ..Report::default()
        }
    }

    pub(crate) fn take(&mut self, line: &Line, counted: Counted, seconds: u64) {
        self.drop(line);
        let entry = Entry {
            what: line.what.to_owned(),
            seed: counted.seed,
            counts: counted.counts,
            seconds,
        };
        self.lines.insert(line.name.to_owned(), entry);
    }

    pub(crate) fn fail(&mut self, line: &Line) {
        self.drop(line);
        self.failed
            .insert(line.name.to_owned(), line.what.to_owned());
    }

    pub(crate) fn skip(&mut self, line: &Line, why: &str) {
        self.drop(line);
        self.skipped.insert(line.name.to_owned(), why.to_owned());
    }
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let name = name.map_or("unknown", |name| name.trim_start_matches(['\t', ' ', ':']));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{name}, {cores} cores, {os} {arch}")
}
