//! One line of the torture run: a test, and how large it is made.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};

use super::counted;
use super::report::Counted;
use crate::step::cargo;

/// A test of the workspace at a larger size.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    /// For people: what is done to the store, and what is looked for.
    pub(crate) what: &'static str,
    /// Package, test target and the test's name; none: it cannot be run yet, for this reason.
    pub(crate) test: Result<Test, &'static str>,
}

/// Where a test is, and the sizes it runs at.
pub(crate) struct Test {
    pub(crate) package: &'static str,
    pub(crate) target: &'static str,
    pub(crate) name: &'static str,
    pub(crate) sizes: &'static [(&'static str, u64)],
}

pub(crate) const LINES: [Line; 1] = [Line {
    name: "kill",
    what: "",
    test: Err(""),
}];

impl Line {
    /// Why it cannot be run, if it cannot.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        self.test.as_ref().err().copied()
    }

    /// Runs the test, passing on what it prints. `None` when it failed, or counted nothing.
    pub(crate) fn run(&self, root: &Path, to: &mut impl Write) -> Result<Option<Counted>> {
        let Ok(test) = &self.test else {
            return Ok(None);
        };
        writeln!(to, "\n== {}: {}", self.name, self.what)?;
        let mut command = cargo(root);
        command.args(["test", "--release", "--package", test.package]);
        command.args([
            "--test",
            test.target,
            "--",
            "--exact",
            "--nocapture",
            test.name,
        ]);
        for (variable, size) in test.sizes {
            command.env(format!("CORTICA_SIZE_{variable}"), size.to_string());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        let mut printed = String::new();
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                writeln!(to, "{line}")?;
                printed.push_str(&line);
                printed.push('\n');
            }
        }
        let good = child.wait().context("the test was lost")?.success();
        Ok(counted(&printed).filter(|_| good))
    }
}
